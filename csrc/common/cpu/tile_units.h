// A loop over tiles as units for threads: a unit is a staying tile by a part of the stream.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <cstdint>
#include <memory>
#include <new>

#include "common/cpu/parallel.h"
#include "common/cpu/tiles.h"

namespace atjt::cpu {

// With few tiles the stream is cut as well, or threads would have no work. The shape alone decides:
// the number of threads must not change the sums.
class TileUnits {
 public:
  TileUnits(int64_t staying, int64_t streaming, int lanes)
      : staying_(staying), streaming_(streaming), lanes_(lanes) {
    constexpr int64_t kUnits = 128;       // enough for most machines' threads
    constexpr int64_t kShortestPart = 8;  // stream tiles: shorter parts cost more than they bring
    const int64_t tiles = num_tiles();
    if (tiles > 0) parts_ = std::min((kUnits + tiles - 1) / tiles, stream_tiles() / kShortestPart);
    parts_ = std::max<int64_t>(parts_, 1);
  }

  int64_t parts() const { return parts_; }

  // Calls f(part, staying range, streaming range, scratch of TileScratch); f must not throw.
  template <class Real, class F>
  void run(int64_t width, int num_threads, const F& f) const {
    run_with(TileScratch<Real>::bytes(width, lanes_), streaming_ / parts_ * lanes_ * width,
             num_threads, f);
  }

  // The same with scratch of so many bytes, for units of so many products.
  template <class F>
  void run_with(int64_t scratch_bytes, int64_t work, int num_threads, const F& f) const {
    const int64_t bytes = (scratch_bytes + 63) / 64 * 64;
    const AlignedBytes scratch(bytes * num_threads);
    parallel_rows(
        num_tiles() * parts_, work, num_threads, [&](int thread, int64_t begin, int64_t end) {
          for (int64_t unit = begin; unit < end; ++unit) {
            const int64_t tile = unit / parts_, part = unit % parts_;
            f(part, Range{tile * lanes_, std::min((tile + 1) * lanes_, staying_)},
              Range{stream_begin(part), stream_begin(part + 1)}, scratch.data() + bytes * thread);
          }
        });
  }

 private:
  class AlignedBytes {
   public:
    explicit AlignedBytes(int64_t bytes)
        : data_(static_cast<char*>(::operator new(size_t(bytes), kAlignment))) {}
    AlignedBytes(const AlignedBytes&) = delete;
    AlignedBytes& operator=(const AlignedBytes&) = delete;
    ~AlignedBytes() { ::operator delete(data_, kAlignment); }
    char* data() const { return data_; }

   private:
    static constexpr std::align_val_t kAlignment{64};
    char* data_;
  };

  int64_t num_tiles() const { return (staying_ + lanes_ - 1) / lanes_; }
  int64_t stream_tiles() const { return (streaming_ + kStreamTile - 1) / kStreamTile; }
  int64_t stream_begin(int64_t part) const {
    return std::min(stream_tiles() * part / parts_ * kStreamTile, streaming_);
  }

  int64_t staying_, streaming_, lanes_, parts_ = 1;
};

}  // namespace atjt::cpu
