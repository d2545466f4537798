// Finds accesses of different threads to the same bytes with no barrier between them, whatever the
// order they happened in.
//
// Kernels are compiled with -fsanitize=thread, which puts a call before every load and store; the
// functions called are these, not ThreadSanitizer's. What orders accesses is what CUDA says does:
// __syncthreads and __syncwarp. A shuffle or a vote is no memory barrier. Accesses of different
// blocks are never ordered, unless by __threadfence and an atomic.
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

  // Empty, or what is wrong with this access.
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
  // The last few accesses to eight bytes. More are forgotten: a race may be missed, none is made
  // up.
  struct Cell {
    Access accesses[4];
  };
  static constexpr int kCells = 64;
  struct Page {
    uint64_t launch;
    std::array<Cell, kCells> cells;
  };
  struct Warp {
    // clock[a][b]: up to when lane a knows what lane b did.
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
