// SPDX-License-Identifier: Apache-2.0
#include "fiber.h"

#include <sys/mman.h>

#include <cstdint>
#include <new>

#if EMULATOR_ASAN
#include <sanitizer/asan_interface.h>
#include <sanitizer/common_interface_defs.h>
#endif

namespace emulator {
namespace {

constexpr size_t kStackBytes = size_t{1} << 18, kGuardBytes = size_t{1} << 12;

thread_local Fiber* entering = nullptr;

}  // namespace

#if defined(__x86_64__)
// Saves the registers that a callee must keep. swapcontext() would cost two system calls a switch.
extern "C" void emulator_switch(void** save, void* load);
asm(R"(
.text
.type emulator_switch, @function
emulator_switch:
  pushq %rbp
  pushq %rbx
  pushq %r12
  pushq %r13
  pushq %r14
  pushq %r15
  movq %rsp, (%rdi)
  movq %rsi, %rsp
  popq %r15
  popq %r14
  popq %r13
  popq %r12
  popq %rbx
  popq %rbp
  ret
.size emulator_switch, . - emulator_switch
)");
#endif

Fiber::Fiber() {
  // The stack grows down: an overflow must hit a page without access below it.
  void* const mapping = mmap(nullptr, kGuardBytes + kStackBytes, PROT_READ | PROT_WRITE,
                             MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (mapping == MAP_FAILED) throw std::bad_alloc();
  mapping_ = static_cast<char*>(mapping);
  mprotect(mapping_, kGuardBytes, PROT_NONE);
}

Fiber::~Fiber() { munmap(mapping_, kGuardBytes + kStackBytes); }

void Fiber::start(void (*entry)()) {
#if EMULATOR_ASAN
  // Dropped frames leave their red zones behind.
  if (!left_forever_) __asan_unpoison_memory_region(mapping_ + kGuardBytes, kStackBytes);
#endif
  left_forever_ = false;
  entry_ = entry;
  own_fake_stack_ = nullptr;
#if defined(__x86_64__)
  auto* top = reinterpret_cast<uintptr_t*>(mapping_ + kGuardBytes + kStackBytes);
  *--top = 0;                                   // main()'s return address: no caller
  *--top = reinterpret_cast<uintptr_t>(&main);  // where the switch returns to
  for (int i = 0; i < 6; ++i) *--top = 0;       // the registers it pops
  own_ = top;
#else
  getcontext(&own_);
  own_.uc_stack.ss_sp = mapping_ + kGuardBytes;
  own_.uc_stack.ss_size = kStackBytes;
  own_.uc_link = nullptr;
  makecontext(&own_, &main, 0);
#endif
}

void Fiber::resume() {
  entering = this;
#if EMULATOR_ASAN
  __sanitizer_start_switch_fiber(&other_fake_stack_, mapping_ + kGuardBytes, kStackBytes);
#endif
#if defined(__x86_64__)
  emulator_switch(&other_, own_);
#else
  swapcontext(&other_, &own_);
#endif
#if EMULATOR_ASAN
  __sanitizer_finish_switch_fiber(other_fake_stack_, nullptr, nullptr);
#endif
}

void Fiber::leave(bool forever) {
  left_forever_ = forever;
#if EMULATOR_ASAN
  __sanitizer_start_switch_fiber(forever ? nullptr : &own_fake_stack_, other_stack_, other_bytes_);
#endif
#if defined(__x86_64__)
  emulator_switch(&own_, other_);
#else
  swapcontext(&own_, &other_);
#endif
  arrive();
}

bool Fiber::holds(const void* address) const {
  return mapping_ <= address && address < mapping_ + kGuardBytes + kStackBytes;
}

void Fiber::arrive() {
#if EMULATOR_ASAN
  __sanitizer_finish_switch_fiber(own_fake_stack_, &other_stack_, &other_bytes_);
#endif
}

void Fiber::main() {
  Fiber* const fiber = entering;
  fiber->arrive();
  fiber->entry_();
  __builtin_unreachable();
}

}  // namespace emulator
