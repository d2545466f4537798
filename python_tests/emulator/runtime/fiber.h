// A function on its own stack, which can be left and resumed.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>

#if !defined(__x86_64__)
#include <ucontext.h>
#endif

namespace emulator {

class Fiber {
 public:
  Fiber();
  ~Fiber();
  Fiber(const Fiber&) = delete;
  Fiber& operator=(const Fiber&) = delete;

  // From outside: start(entry) prepares the fiber, resume() runs it until it calls leave(). `entry`
  // must not return: it ends with leave(true). A fiber may also be dropped unfinished.
  void start(void (*entry)());
  void resume();
  // Called inside the fiber.
  void leave(bool forever = false);
  bool holds(const void* address) const;

 private:
  char* mapping_;
  bool left_forever_ = true;
#if defined(__x86_64__)
  void *own_ = nullptr, *other_ = nullptr;  // stack pointers
#else
  ucontext_t own_, other_;
#endif
  void *own_fake_stack_ = nullptr, *other_fake_stack_ = nullptr;  // AddressSanitizer's
  const void* other_stack_ = nullptr;
  size_t other_bytes_ = 0;
  void (*entry_)() = nullptr;

  static void main();
  void arrive();
};

}  // namespace emulator
