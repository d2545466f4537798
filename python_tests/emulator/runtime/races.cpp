// SPDX-License-Identifier: Apache-2.0
#include "races.h"

#include <dlfcn.h>

#include <algorithm>
#include <cstdio>

namespace emulator {
namespace {

constexpr size_t kMostPages = 1 << 15;  // some 200 MB

// file:line of an instruction, from the debug information in the module's file.
std::string line_of(const void* code) {
  Dl_info info = {};
  if (dladdr(code, &info) == 0) return "?";
  const auto offset = static_cast<const char*>(code) - static_cast<char*>(info.dli_fbase) - 1;
  char command[4096];
  std::snprintf(command, sizeof command, "addr2line -e '%s' 0x%zx 2>&1", info.dli_fname,
                size_t(offset));
  FILE* const pipe = popen(command, "r");
  if (pipe == nullptr) return "?";
  char line[4096] = "?";
  if (std::fgets(line, sizeof line, pipe) == nullptr) line[0] = '?';
  pclose(pipe);
  std::string text = line;
  while (!text.empty() && text.back() == '\n') text.pop_back();
  return text;
}

const char* name_of(Races::Kind kind) {
  return kind == Races::kRead ? "read" : kind == Races::kWrite ? "written" : "changed atomically";
}

}  // namespace

void Races::start_launch() {
  ++launch_;
  fenced_.clear();
  atomics_.clear();
}

void Races::start_block(uint64_t block, int num_threads, const char* shared, size_t shared_bytes) {
  block_ = uint32_t(block);
  epoch_ = 0;
  shared_begin_ = reinterpret_cast<uintptr_t>(shared);
  shared_end_ = shared_begin_ + shared_bytes;
  warps_.resize(size_t(num_threads + kWarpSize - 1) / kWarpSize);
  std::memset(warps_.data(), 0, warps_.size() * sizeof(Warp));
  for (Warp& warp : warps_)
    for (int lane = 0; lane < kWarpSize; ++lane) warp.clock[lane][lane] = 1;
}

void Races::warp_barrier(int warp, unsigned mask) {
  auto& clock = warps_[size_t(warp)].clock;
  uint32_t known[kWarpSize] = {};
  const auto in_mask = [mask](int lane) { return (mask >> lane & 1) != 0; };
  for (int lane = 0; lane < kWarpSize; ++lane)
    for (int other = 0; in_mask(lane) && other < kWarpSize; ++other)
      known[other] = std::max(known[other], clock[lane][other]);
  for (int lane = 0; lane < kWarpSize; ++lane) {
    if (!in_mask(lane)) continue;
    std::memcpy(clock[lane], known, sizeof known);
    ++clock[lane][lane];
  }
}

Races::Cell& Races::cell(uintptr_t granule) {
  const uintptr_t number = granule / kCells;
  if (last_page_ == nullptr || number != last_number_) {
    if (pages_.size() > kMostPages) pages_.clear();
    std::unique_ptr<Page>& page = pages_[number];
    if (page == nullptr) page = std::make_unique<Page>();
    last_number_ = number;
    last_page_ = page.get();
  }
  if (last_page_->launch != launch_) {
    last_page_->cells = {};
    last_page_->launch = launch_;
  }
  return last_page_->cells[granule % kCells];
}

bool Races::ordered(const Access& earlier, int thread, bool in_shared) const {
  if (earlier.block != block_)
    return in_shared || (fenced_.count(earlier.block) != 0 && atomics_.count(block_) != 0);
  if (earlier.thread == thread || earlier.epoch < epoch_) return true;
  const int warp = thread / kWarpSize;
  return earlier.thread / kWarpSize == warp &&
         warps_[size_t(warp)].clock[thread % kWarpSize][earlier.thread % kWarpSize] >=
             earlier.clock;
}

std::string Races::access(int thread, const void* address, size_t size, Kind kind,
                          const void* code) {
  const int lane = thread % kWarpSize;
  auto at = reinterpret_cast<uintptr_t>(address);
  const uintptr_t end = at + size;
  if (kind == kAtomic) atomics_.insert(block_);
  while (at < end) {
    const uintptr_t granule = at / 8;
    const auto first = unsigned(at % 8), count = unsigned(std::min<uintptr_t>(end - at, 8 - first));
    const auto bytes = uint8_t(((1u << count) - 1) << first);
    const bool in_shared = shared_begin_ <= at && at < shared_end_;
    const Access now = {block_, uint16_t(thread),
                        bytes,  kind,
                        epoch_, warps_[size_t(thread / kWarpSize)].clock[lane][lane],
                        code};
    Access* place = nullptr;
    for (Access& earlier : cell(granule).accesses) {
      const bool before = earlier.kind == kNone || ordered(earlier, thread, in_shared);
      // `now` may replace `earlier` if it conflicts with every access that `earlier` conflicts
      // with.
      if (before && (earlier.kind == kNone ||
                     ((earlier.bytes & ~bytes) == 0 && (earlier.kind == kind || kind == kWrite))))
        place = &earlier;
      if (before || (earlier.bytes & bytes) == 0 || (earlier.kind == kRead && kind == kRead) ||
          (earlier.kind == kAtomic && kind == kAtomic))
        continue;
      return std::string("a race: ") + (in_shared ? "shared" : "global") + " memory is " +
             name_of(kind) + " in " + line_of(code) + " and was " + name_of(earlier.kind) + " in " +
             line_of(earlier.code) + " by thread number " + std::to_string(earlier.thread) +
             (earlier.block == block_ ? " of the block"
                                      : " of block number " + std::to_string(earlier.block)) +
             ", with no barrier between";
    }
    if (place == nullptr) place = &cell(granule).accesses[turn_++ % 4];
    *place = now;
    at += count;
  }
  return {};
}

}  // namespace emulator
