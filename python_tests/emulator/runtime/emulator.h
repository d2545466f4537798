// Runs CUDA kernels on the host. include/cuda_runtime.h is built on these functions.
//
// A thread of a block is a fiber. It runs until a barrier, a shuffle or its end; then another fiber
// is resumed, which the order chooses (see device.h).
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string>
#include <type_traits>

struct uint3 {
  unsigned x, y, z;
};
struct dim3 {
  unsigned x, y, z;
  constexpr dim3(unsigned x = 1, unsigned y = 1, unsigned z = 1) : x(x), y(y), z(z) {}
};

// Constant for a thread; device.cpp sets them when it resumes a thread.
extern const uint3 threadIdx, blockIdx;
extern const dim3 blockDim, gridDim;

namespace emulator {

constexpr int kWarpSize = 32;

// A place in the sources, for messages and to tell two barriers apart. Return addresses would not
// tell them: compilers duplicate calls.
struct Site {
  const char* file;
  int line;
};
#define EMULATOR_SITE const char *file = __builtin_FILE(), int line = __builtin_LINE()

enum class Collective { kSyncWarp, kShuffle, kBallot, kAny, kAll, kTogether };

// Waits until every thread of the block is here.
void block_barrier(Site site);
// Waits until the lanes named in mask are here. A shuffle returns the value of lane `source`, a
// vote the outcome of all `value != 0`.
uint64_t warp_collective(Collective kind, unsigned mask, uint64_t value, int source, Site site);
// Waits until the whole warp is here, then runs `act` once with each lane's argument.
void warp_together(const char* name, void* mine, void (*act)(void* const* lanes), Site site);
int lane();
// In random order, a place to be interrupted at.
void before_atomic(const void* address, size_t bytes);
void thread_fence();
// Reports an access to the search for races; under AddressSanitizer, fails for unowned memory.
void read_memory(const void* address, size_t bytes);
void write_memory(const void* address, size_t bytes);
// A thread's copies happen when it waits for them, the latest moment allowed.
void begin_copy(void* to, const void* from, int bytes, int from_bytes);
void commit_copies();
void wait_for_copies(int most_left);
// The first statement of every kernel, inserted by translate.py, with the __launch_bounds__.
void enter_kernel(const char* name, int most_threads = 1024, int = 0, int = 0);
// Stops the launch; the message names kernel, block and thread.
[[noreturn]] void fail(const std::string& what);

// --- shared memory: every block finds it filled with 0xCD ---
// `tag` names the variable and outlives the launch.
void* shared_variable(const void* tag, size_t bytes, size_t alignment);
void* dynamic_shared();

// The type of a lambda names the declaration, once per instantiation of a template around it.
template <class T, size_t kAlignment, class Declaration>
T& shared(Declaration) {
  static const char tag = 0;
  return *static_cast<T*>(
      shared_variable(&tag, sizeof(T), alignof(T) > kAlignment ? alignof(T) : kAlignment));
}

// --- launches ---
struct Launch {
  const void* kernel;
  dim3 grid, block;
  size_t shared_bytes;
  void (*run)(void*);  // one thread of the kernel
  void* arguments;
};
// Null, or why a GPU would refuse the launch.
const char* refusal(const Launch& launch);
// Throws std::runtime_error where the kernel is wrong.
void run(const Launch& launch);
int multiprocessors();

template <class T>
uint64_t to_bits(T value) {
  static_assert(sizeof(T) <= 8 && std::is_trivially_copyable_v<T>, "what a shuffle can carry");
  uint64_t bits = 0;
  std::memcpy(&bits, &value, sizeof value);
  return bits;
}
template <class T>
T from_bits(uint64_t bits) {
  T value;
  std::memcpy(static_cast<void*>(&value), &bits, sizeof value);
  return value;
}

}  // namespace emulator
