// The functions that threads of a kernel call, through cuda_runtime.h.
// SPDX-License-Identifier: Apache-2.0
#include <cstring>
#include <utility>

#include "device.h"

namespace emulator {

int lane() { return device().lane(); }

void block_barrier(Site site) {
  device().current().site = site;
  device().wait(Thread::kAtBlockBarrier);
}

uint64_t warp_collective(Collective kind, unsigned mask, uint64_t value, int source, Site site) {
  Thread& thread = device().current();
  thread.kind = kind;
  thread.mask = mask;
  thread.value = value;
  thread.source = source;
  thread.site = site;
  if ((mask >> lane() & 1) == 0)
    fail(std::string(name_of(kind)) + " with a mask that leaves out the caller, in " + text(site));
  device().wait(Thread::kAtCollective);
  return thread.value;
}

void warp_together(const char* name, void* mine, void (*act)(void* const*), Site site) {
  Thread& thread = device().current();
  thread.name = name;
  thread.act = act;
  warp_collective(Collective::kTogether, 0xFFFFFFFFu, reinterpret_cast<uint64_t>(mine), 0, site);
}

void thread_fence() { device().races.fence(); }

// The search for races checks both ends of the time in which the copy may happen.
void begin_copy(void* to, const void* from, int bytes, int from_bytes) {
  const auto at = reinterpret_cast<uintptr_t>(to), source = reinterpret_cast<uintptr_t>(from);
  if (at % unsigned(bytes) != 0 || source % unsigned(bytes) != 0)
    fail("cp.async of " + std::to_string(bytes) + " bytes between addresses not so aligned");
  read_memory(from, size_t(from_bytes));
  write_memory(to, size_t(bytes));
  device().current().begun.push_back({to, from, size_t(bytes), size_t(from_bytes)});
}

void commit_copies() {
  Thread& thread = device().current();
  thread.in_flight.push_back(std::move(thread.begun));
  thread.begun.clear();
}

void wait_for_copies(int most_left) {
  std::deque<std::vector<Copy>>& groups = device().current().in_flight;
  for (; int(groups.size()) > most_left; groups.pop_front())
    for (const Copy& copy : groups.front()) {
      write_memory(copy.to, copy.bytes);
      std::memset(copy.to, 0, copy.bytes);
      std::memcpy(copy.to, copy.from, copy.from_bytes);
    }
}

void enter_kernel(const char* name, int most_threads, int, int) {
  device().kernel_name = name;
  const int threads = int(blockDim.x * blockDim.y * blockDim.z);
  if (threads > most_threads)
    fail(std::to_string(threads) + " threads, and __launch_bounds__ of " +
         std::to_string(most_threads));
}

void fail(const std::string& what) { device().fail(what); }

void* shared_variable(const void* tag, size_t bytes, size_t alignment) {
  return device().shared.variable(tag, bytes, alignment);
}
void* dynamic_shared() { return device().shared.dynamic(); }

}  // namespace emulator
