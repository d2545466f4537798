// SPDX-License-Identifier: Apache-2.0
#include "device.h"

#include <algorithm>
#include <cstring>
#include <numeric>
#include <stdexcept>
#include <utility>

namespace emulator {

// What emulator.h declares constant under these names.
uint3 thread_index asm("threadIdx"), block_index asm("blockIdx");
dim3 block_dim asm("blockDim"), grid_dim asm("gridDim");

Settings settings;
uint64_t launches = 0;
std::mutex mutex;
__thread bool launching = false;

namespace {

std::string text(const uint3& at) {
  return "(" + std::to_string(at.x) + ", " + std::to_string(at.y) + ", " + std::to_string(at.z) +
         ")";
}
bool same(const Site& a, const Site& b) {
  return a.line == b.line && std::strcmp(a.file, b.file) == 0;
}

}  // namespace

std::string text(const Site& site) {
  return std::string(site.file) + ":" + std::to_string(site.line);
}
const char* name_of(Collective kind) {
  constexpr const char* kNames[] = {"__syncwarp", "a shuffle",  "__ballot_sync",
                                    "__any_sync", "__all_sync", "an instruction of the warp"};
  return kNames[int(kind)];
}

bool Thread::copies_are_left() const {
  return !begun.empty() || std::any_of(in_flight.begin(), in_flight.end(),
                                       [](const auto& group) { return !group.empty(); });
}

std::string Thread::whereabouts() const {
  if (state == kFinished) return "thread " + text(index) + " has finished";
  if (state == kReady) return "thread " + text(index) + " is running";
  return "thread " + text(index) + " waits at " +
         (state == kAtBlockBarrier        ? "__syncthreads"
          : kind == Collective::kTogether ? name
                                          : name_of(kind)) +
         " in " + text(site);
}

void Device::run(const Launch& launch) {
  launch_ = &launch;
  grid_dim = launch.grid;
  block_dim = launch.block;
  num_threads_ = int(launch.block.x * launch.block.y * launch.block.z);
  while (int(threads_.size()) < num_threads_) threads_.push_back(std::make_unique<Thread>());
  warps_.resize((num_threads_ + kWarpSize - 1) / kWarpSize);
  races.start_launch();
  uint64_t block = 0;
  for (unsigned z = 0; z < grid_dim.z; ++z)
    for (unsigned y = 0; y < grid_dim.y; ++y)
      for (unsigned x = 0; x < grid_dim.x; ++x) {
        block_index = {x, y, z};
        start_block(block++);
        run_block();
        shared.check();
      }
}

void Device::start_block(uint64_t number) {
  order_ = settings.order == kEachInTurn ? Order((launches + number) % kNumOrders)
                                         : Order(settings.order);
  random_.seed(settings.seed + 1000003 * launches + number);
  std::iota(warps_.begin(), warps_.end(), 0);
  std::iota(lanes_.begin(), lanes_.end(), 0);
  if (order_ == Order::kDescending) {
    std::reverse(warps_.begin(), warps_.end());
    std::reverse(lanes_.begin(), lanes_.end());
  }
  shared.reset(launch_->shared_bytes);
  races.start_block(number, num_threads_, shared.begin(), shared.size());
  for (int i = 0; i < num_threads_; ++i) {
    Thread& thread = *threads_[i];
    const unsigned in_plane = unsigned(i) / block_dim.x;
    thread.index = {unsigned(i) % block_dim.x, in_plane % block_dim.y, in_plane / block_dim.y};
    thread.state = Thread::kReady;
    thread.begun.clear();
    thread.in_flight.clear();
    thread.fiber.start(&thread_main);
  }
}

void Device::thread_main() {
  Device& self = device();
  self.launch_->run(self.launch_->arguments);
  if (self.current().copies_are_left()) self.fail("ends before its copies by cp.async have");
  self.current().state = Thread::kFinished;
  self.current().fiber.leave(true);
}

void Device::resume(int thread) {
  current_ = thread;
  thread_index = threads_[thread]->index;
  threads_[thread]->fiber.resume();
  current_ = -1;
  if (!failure_.empty()) throw std::runtime_error(std::exchange(failure_, {}));
}

void Device::run_block() {
  for (;;) {
    if (order_ == Order::kRandom) std::shuffle(warps_.begin(), warps_.end(), random_);
    bool progress = false;
    for (const int warp : warps_) {
      while (run_warp(warp)) {
        progress = true;
        if (order_ == Order::kLockstep || (order_ == Order::kRandom && random_() % 2 == 0)) break;
      }
    }
    if (progress || complete_barrier()) continue;
    const auto finished = [](const auto& thread) { return thread->state == Thread::kFinished; };
    if (std::all_of(threads_.begin(), threads_.begin() + num_threads_, finished)) return;
    report_deadlock();
  }
}

// Resumes each ready lane of a warp once. False if there was none.
bool Device::run_warp(int warp) {
  if (order_ == Order::kRandom) std::shuffle(lanes_.begin(), lanes_.end(), random_);
  bool progress = false;
  for (const int lane : lanes_) {
    const int thread = warp * kWarpSize + lane;
    if (thread >= num_threads_ || threads_[thread]->state != Thread::kReady) continue;
    resume(thread);
    progress = true;
    // A part of a warp that is complete runs ahead of the rest.
    const bool in_part =
        threads_[thread]->state == Thread::kAtCollective && ~threads_[thread]->mask;
    if (in_part && order_ != Order::kLockstep && complete_collectives(warp)) return true;
  }
  return complete_collectives(warp) || progress;
}

// Releases the lanes whose partners have all arrived.
bool Device::complete_collectives(int warp) {
  const int first = warp * kWarpSize, count = std::min(num_threads_ - first, kWarpSize);
  bool any = false;
  for (int lane = 0; lane < count; ++lane) {
    const Thread& one = *threads_[first + lane];
    if (one.state != Thread::kAtCollective) continue;
    const unsigned mask = one.mask;
    const auto in_mask = [mask](int other) { return (mask >> other & 1) != 0; };
    std::array<uint64_t, kWarpSize> values = {};
    unsigned ballot = 0;
    bool complete = true;
    for (int other = 0; other < kWarpSize; ++other) {
      if (!in_mask(other)) continue;
      if (other >= count || threads_[first + other]->state == Thread::kFinished)
        throw std::runtime_error(prefix() + one.whereabouts() + " for lane " +
                                 std::to_string(other) + ", which " +
                                 (other >= count ? "the block does not have" : "has finished"));
      const Thread& partner = *threads_[first + other];
      complete = complete && partner.state == Thread::kAtCollective && partner.mask == mask &&
                 partner.kind == one.kind && same(partner.site, one.site);
      values[other] = partner.value;
      ballot |= unsigned(partner.value != 0) << other;
    }
    if (!complete) continue;
    any = true;
    const Collective kind = one.kind;
    if (kind == Collective::kSyncWarp) races.warp_barrier(warp, mask);
    if (kind == Collective::kTogether) {
      std::array<void*, kWarpSize> lanes;
      for (int other = 0; other < kWarpSize; ++other)
        lanes[other] = reinterpret_cast<void*>(values[other]);
      one.act(lanes.data());
    }
    for (int other = 0; other < count; ++other) {
      if (!in_mask(other)) continue;
      Thread& partner = *threads_[first + other];
      partner.state = Thread::kReady;
      switch (kind) {
        case Collective::kSyncWarp:
        case Collective::kTogether:
          break;
        case Collective::kShuffle:
          if (!in_mask(partner.source))
            throw std::runtime_error(prefix() + "thread " + text(partner.index) + " reads lane " +
                                     std::to_string(partner.source) +
                                     ", which its mask does not name, by a shuffle in " +
                                     text(partner.site));
          partner.value = values[partner.source];
          break;
        case Collective::kBallot:
          partner.value = ballot;
          break;
        case Collective::kAny:
          partner.value = ballot != 0;
          break;
        case Collective::kAll:
          partner.value = ballot == mask;
          break;
      }
    }
  }
  return any;
}

bool Device::complete_barrier() {
  const Site site = threads_[0]->site;
  for (int i = 0; i < num_threads_; ++i)
    if (threads_[i]->state != Thread::kAtBlockBarrier || !same(threads_[i]->site, site))
      return false;
  for (int i = 0; i < num_threads_; ++i) threads_[i]->state = Thread::kReady;
  races.block_barrier();
  return true;
}

// No thread can go on: names the first waiting thread and the first thread in another state.
void Device::report_deadlock() {
  const Thread* waiting = nullptr;
  for (int i = 0; i < num_threads_ && waiting == nullptr; ++i)
    if (threads_[i]->state != Thread::kFinished) waiting = threads_[i].get();
  std::string message = prefix() + waiting->whereabouts();
  for (int i = 0; i < num_threads_; ++i) {
    const Thread& other = *threads_[i];
    if (other.state == waiting->state && same(other.site, waiting->site) &&
        (other.state == Thread::kAtBlockBarrier || other.mask == waiting->mask))
      continue;
    message += ", but " + other.whereabouts();
    break;
  }
  throw std::runtime_error(message);
}

std::string Device::prefix() const {
  constexpr const char* kOrders[] = {"ascending", "descending", "lockstep", "random"};
  return std::string("CUDA emulator, ") + kernel_name + ", block " + text(block_index) + ", " +
         kOrders[int(order_)] + " order: ";
}

void Device::fail(const std::string& what) {
  if (current_ < 0) throw std::runtime_error(prefix() + what);
  failure_ = prefix() + "thread " + text(current().index) + ": " + what;
  current().fiber.leave();
  __builtin_unreachable();
}

}  // namespace emulator
