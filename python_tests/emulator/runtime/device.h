// Runs the threads of a block as fibers, and decides who is resumed next.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <deque>
#include <memory>
#include <mutex>
#include <random>
#include <string>
#include <vector>

#include "emulator.h"
#include "fiber.h"
#include "races.h"
#include "shared_memory.h"

namespace emulator {

// The order in which threads are resumed. A missing barrier shows in some orders only, so there are
// four:
//   ascending   warp after warp, each as far as it can go alone; within it lane after lane
//   descending  the same from the last to the first
//   lockstep    every thread up to its next barrier or shuffle, then all of them on
//   random      warps and lanes in any order, interrupted at atomics
enum class Order { kAscending, kDescending, kLockstep, kRandom };
constexpr int kNumOrders = 4;
constexpr int kEachInTurn = -1;  // another order for each block of each launch

struct Settings {
  int order = kEachInTurn;
  uint64_t seed = 0;
  int multiprocessors = 4;
  bool enabled = true;
};
extern Settings settings;
extern uint64_t launches;
extern std::mutex mutex;         // one launch at a time
extern __thread bool launching;  // in this thread of the host; thread_local would be slower

std::string text(const Site& site);
const char* name_of(Collective kind);

struct Copy {
  void* to;
  const void* from;
  size_t bytes, from_bytes;  // the rest is zero
};

struct Thread {
  enum State { kReady, kAtBlockBarrier, kAtCollective, kFinished };

  Fiber fiber;
  uint3 index;
  State state;
  Site site;
  // The collective that the thread waits for, and its result.
  Collective kind;
  unsigned mask;
  uint64_t value;
  int source;
  // For kTogether: its name and its function.
  const char* name;
  void (*act)(void* const*);
  std::vector<Copy> begun;                  // copies in no group yet
  std::deque<std::vector<Copy>> in_flight;  // groups, the oldest first

  bool copies_are_left() const;

  std::string whereabouts() const;
};

class Device {
 public:
  void run(const Launch& launch);

  Thread& current() { return *threads_[current_]; }
  int lane() const { return current_ % kWarpSize; }
  int thread() const { return current_; }
  bool interrupts() { return order_ == Order::kRandom && random_() % 4 == 0; }
  void wait(Thread::State state) {
    current().state = state;
    current().fiber.leave();
  }
  [[noreturn]] void fail(const std::string& what);

  SharedMemory shared;
  Races races;
  const char* kernel_name = "a kernel that has not begun";

 private:
  void start_block(uint64_t number);
  void run_block();
  void resume(int thread);
  bool run_warp(int warp);
  bool complete_collectives(int warp);
  bool complete_barrier();
  void report_deadlock();
  std::string prefix() const;

  static void thread_main();

  const Launch* launch_ = nullptr;
  std::vector<std::unique_ptr<Thread>> threads_;  // kept for later launches
  int num_threads_ = 0, current_ = -1;            // -1: no thread, the scheduler
  Order order_ = Order::kAscending;
  std::mt19937_64 random_;
  std::vector<int> warps_;
  std::array<int, kWarpSize> lanes_;
  std::string failure_;
};

inline Device& device() {
  static Device device;
  return device;
}

}  // namespace emulator
