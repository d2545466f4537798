// Shared memory of one block at a time. A guard that nobody may write lies around every variable.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <memory>
#include <vector>

namespace emulator {

constexpr size_t kPlainSharedBytes = 48 << 10;  // without asking for more
constexpr size_t kSharedBytes = 227 << 10;

class SharedMemory {
 public:
  void reset(size_t dynamic_bytes);
  void* dynamic() const { return dynamic_; }
  const char* begin() const { return bytes_.get(); }
  size_t size() const { return kBytes; }
  void* variable(const void* tag, size_t bytes, size_t alignment);
  // Without AddressSanitizer, which reports a stray write when it happens: looks for one
  // afterwards.
  void check() const;

 private:
  struct Variable {
    const void* tag;
    void* address;
    size_t bytes;
  };
  static constexpr size_t kGuard = 64, kBytes = kSharedBytes + (64 << 10);
  static constexpr char kFill = char(0xCD);

  void* allocate(size_t bytes, size_t alignment);

  std::unique_ptr<char[]> bytes_ = std::make_unique<char[]>(kBytes);
  std::vector<Variable> variables_;
  size_t used_ = kBytes, static_bytes_ = 0, dynamic_bytes_ = 0;
  void* dynamic_ = nullptr;
};

}  // namespace emulator
