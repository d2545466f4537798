// Reports every load, store and atomic of a kernel to the search for races.
// SPDX-License-Identifier: Apache-2.0
#include "asan.h"
#include "device.h"

namespace emulator {
namespace {

void record(const void* address, size_t bytes, Races::Kind kind, const void* code) {
  if (!launching) return;  // host code beside a launch of another thread
  const int thread = device().thread();
  if (thread < 0 || device().current().fiber.holds(address)) return;
  const std::string race = device().races.access(thread, address, bytes, kind, code);
  if (!race.empty()) fail(race);
}

void touch(const void* address, size_t bytes, Races::Kind kind) {
  if (bytes > 0 && __asan_region_is_poisoned(const_cast<void*>(address), bytes) != nullptr)
    fail(std::string(kind == Races::kRead ? "reads" : "writes") +
         " memory that is nobody's, by an instruction of the warp or cp.async");
  record(address, bytes, kind, __builtin_return_address(0));
}
}  // namespace

void before_atomic(const void* address, size_t bytes) {
  record(address, bytes, Races::kAtomic, __builtin_return_address(0));
  if (launching && device().interrupts()) device().wait(Thread::kReady);
}

void read_memory(const void* address, size_t bytes) { touch(address, bytes, Races::kRead); }
void write_memory(const void* address, size_t bytes) { touch(address, bytes, Races::kWrite); }

}  // namespace emulator

// The functions that kernels call because of -fsanitize=thread.
extern "C" {
#define EMULATOR_ACCESS(name, bytes, kind)                                                \
  void __tsan_##name(const void* address) {                                               \
    emulator::record(address, bytes, emulator::Races::kind, __builtin_return_address(0)); \
  }
#define EMULATOR_ACCESSES(bytes)                       \
  EMULATOR_ACCESS(read##bytes, bytes, kRead)           \
  EMULATOR_ACCESS(write##bytes, bytes, kWrite)         \
  EMULATOR_ACCESS(unaligned_read##bytes, bytes, kRead) \
  EMULATOR_ACCESS(unaligned_write##bytes, bytes, kWrite)
EMULATOR_ACCESSES(1)
EMULATOR_ACCESSES(2)
EMULATOR_ACCESSES(4)
EMULATOR_ACCESSES(8)
EMULATOR_ACCESSES(16)
void __tsan_read_range(const void* address, size_t bytes) {
  emulator::record(address, bytes, emulator::Races::kRead, __builtin_return_address(0));
}
void __tsan_write_range(const void* address, size_t bytes) {
  emulator::record(address, bytes, emulator::Races::kWrite, __builtin_return_address(0));
}
void __tsan_init() {}
}
