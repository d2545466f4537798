// SPDX-License-Identifier: Apache-2.0
#include "shared_memory.h"

#include <cstdint>
#include <cstring>

#include "asan.h"
#include "emulator.h"

namespace emulator {

void SharedMemory::reset(size_t dynamic_bytes) {
  __asan_unpoison_memory_region(bytes_.get(), kBytes);
  std::memset(bytes_.get(), kFill, used_);  // the rest still is
  __asan_poison_memory_region(bytes_.get(), kBytes);
  variables_.clear();
  used_ = kGuard;
  static_bytes_ = 0;
  dynamic_bytes_ = dynamic_bytes;
  dynamic_ = allocate(dynamic_bytes, 16);  // no more than a GPU promises
}

void* SharedMemory::variable(const void* tag, size_t bytes, size_t alignment) {
  for (const Variable& variable : variables_)
    if (variable.tag == tag) return variable.address;
  static_bytes_ += bytes;
  if (static_bytes_ > kPlainSharedBytes) fail("more than 48 KiB of static shared memory");
  if (static_bytes_ + dynamic_bytes_ > kSharedBytes) fail("more than 227 KiB of shared memory");
  variables_.push_back({tag, allocate(bytes, alignment), bytes});
  return variables_.back().address;
}

void SharedMemory::check() const {
#if !EMULATOR_ASAN
  const char* at = bytes_.get();
  const auto skip_to = [&](const char* end) {
    for (; at < end; ++at)
      if (*at != kFill) fail("a write outside of every variable in shared memory");
  };
  skip_to(static_cast<const char*>(dynamic_));
  at += dynamic_bytes_;
  for (const Variable& variable : variables_) {
    skip_to(static_cast<const char*>(variable.address));
    at += variable.bytes;
  }
  skip_to(bytes_.get() + used_);
#endif
}

// Aligned as asked and no better, so that a wider access shows.
void* SharedMemory::allocate(size_t bytes, size_t alignment) {
  const auto base = reinterpret_cast<uintptr_t>(bytes_.get());
  uintptr_t address = (base + used_ + 2 * alignment - 1) / (2 * alignment) * (2 * alignment);
  address += alignment;
  used_ = address - base + bytes + kGuard;
  if (used_ > kBytes) fail("too many variables in shared memory");
  __asan_unpoison_memory_region(reinterpret_cast<void*>(address), bytes);
  return reinterpret_cast<void*>(address);
}

}  // namespace emulator
