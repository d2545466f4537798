// Finds accesses of different threads to the same bytes without a barrier between them, in whatever
// order they happened.
//
// -fsanitize=thread puts a call before every load and store of a kernel; accesses.cpp defines the
// called functions instead of ThreadSanitizer. Accesses are ordered as CUDA defines it: by
// __syncthreads and
// __syncwarp. A shuffle or a vote is no memory barrier. Only __threadfence with an atomic orders
// accesses of different blocks.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <unordered_map>
#include <unordered_set>
#include <vector>

#include "emulator.h"

namespace emulator {

class Races {
 public:
  enum Kind : uint8_t { kNone, kRead, kWrite, kAtomic };

  void start_launch();
  void start_block(uint64_t block, int num_threads, const char* shared, size_t shared_bytes);
  void block_barrier() { ++epoch_; }
  void warp_barrier(int warp, unsigned mask);
  void fence() { fenced_.insert(block_); }

  // Empty, or the message about a race with this access.
  std::string access(int thread, const void* address, size_t bytes, Kind kind, const void* code);

 private:
  struct Access {
    uint32_t block;
    uint16_t thread;
    uint8_t bytes;  // a bit for each of the eight
    Kind kind;
    uint32_t epoch, clock;
    const void* code;
  };
  // The last few accesses to eight bytes. Earlier ones are forgotten: a race may be missed, but
  // every reported race is real.
  struct Cell {
    Access accesses[4];
  };
  static constexpr int kCells = 64;
  struct Page {
    uint64_t launch;
    std::array<Cell, kCells> cells;
  };
  struct Warp {
    // clock[a][b]: the time up to which lane a sees lane b's accesses.
    uint32_t clock[kWarpSize][kWarpSize];
  };

  Cell& cell(uintptr_t granule);
  bool ordered(const Access& earlier, int thread, bool in_shared) const;

  uint64_t launch_ = 0;
  uint32_t block_ = 0, epoch_ = 0, turn_ = 0;
  uintptr_t shared_begin_ = 0, shared_end_ = 0;
  std::vector<Warp> warps_;
  std::unordered_map<uintptr_t, std::unique_ptr<Page>> pages_;
  uintptr_t last_number_ = 0;
  Page* last_page_ = nullptr;
  std::unordered_set<uint32_t> fenced_, atomics_;
};

}  // namespace emulator
