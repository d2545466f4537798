// The draws that choose positions of a row. A warp takes them in chunks of 128, four per lane, and
// replaces items part by part; a part is one or more chunks.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "random_replacement/cuda/copy_row.cuh"
#include "random_replacement/cuda/select_smallest.cuh"
#include "random_replacement/random_replacement.h"

namespace atjt::cuda {

constexpr int kChunk = 4 * kWarpSize;

// A lane's part of a chunk. (draw, position), packed into one key, chooses positions. All keys
// differ, so the k smallest are those below a cutoff.
struct LaneDraws {
  uint32_t position;  // of the first of four
  uint32_t items;     // bit i: position + i holds an item
  uint32_t draw[4];

  __device__ bool is_below(uint64_t cutoff, int i) const {
    const uint64_t key = uint64_t{draw[i]} << 32 | (position + uint32_t(i));
    return (items >> i & 1) != 0 && key < cutoff;
  }
};

// The position `place` draws after the first. The first draws may belong to positions -1, -2 or -3,
// modulo 2^32, which hold no item.
template <class Id>
__device__ __forceinline__ uint32_t position_at(const RandomReplacementParams<Id>& p,
                                                uint32_t place) {
  return place - first_index(p) % 4;
}

template <class Id>
__device__ __forceinline__ uint32_t chunk_count(const RandomReplacementParams<Id>& p) {
  return (first_index(p) % 4 + uint32_t(p.open_length) + kChunk - 1) / kChunk;
}

template <class Id>
__device__ __forceinline__ LaneDraws lane_draws(const RandomReplacementParams<Id>& p,
                                                const CallKey& call, uint64_t key, const Id* in,
                                                uint32_t chunk) {
  const uint32_t group = first_index(p) / 4 + chunk * kWarpSize + lane_index();
  const Philox4<uint64_t> word = position_draws(call, key, uint64_t{group});
  LaneDraws lane = {position_at(p, chunk * kChunk + 4 * lane_index()),
                    0,
                    {uint32_t(word.x), uint32_t(word.y), uint32_t(word.z), uint32_t(word.w)}};
#pragma unroll
  for (uint32_t i = 0; i < 4; ++i) {
    const uint32_t position = lane.position + i;
    if (position < uint32_t(p.open_length) && in[position] != p.padding_idx)
      lane.items |= uint32_t{1} << i;
  }
  return lane;
}

// Rows of up to kMaxHeldLength are one part of at most two chunks; their draws are computed once.
constexpr int64_t kMaxHeldLength = 2 * kChunk - 3;

template <class Id>
class HeldDraws {
 public:
  __device__ __forceinline__ HeldDraws(const RandomReplacementParams<Id>& p, const CallKey& call,
                                       uint64_t key, const Id* in)
      : two_(chunk_count(p) > 1), first_(lane_draws(p, call, key, in, 0)), second_{} {
    if (two_) second_ = lane_draws(p, call, key, in, 1);
  }

  static constexpr int kPartLength = 2 * kChunk;
  __device__ uint32_t parts() const { return 1; }

  // Calls visit(place in the part, draws) for each chunk of the part.
  template <class Visit>
  __device__ __forceinline__ void for_each_chunk(uint32_t, const Visit& visit) const {
    visit(0, first_);
    if (two_) visit(kChunk, second_);
  }

 private:
  const bool two_;
  LaneDraws first_, second_;
};

// Rows of any length: every chunk is a part, and its draws are computed again for each visit.
template <class Id>
class RepeatedDraws {
 public:
  __device__ __forceinline__ RepeatedDraws(const RandomReplacementParams<Id>& p,
                                           const CallKey& call, uint64_t key, const Id* in)
      : p_(p), call_(call), key_(key), in_(in) {}

  static constexpr int kPartLength = kChunk;
  __device__ uint32_t parts() const { return chunk_count(p_); }

  template <class Visit>
  __device__ __forceinline__ void for_each_chunk(uint32_t part, const Visit& visit) const {
    visit(0, lane_draws(p_, call_, key_, in_, part));
  }

 private:
  const RandomReplacementParams<Id>& p_;
  const CallKey& call_;
  const uint64_t key_;
  const Id* const in_;
};

}  // namespace atjt::cuda
