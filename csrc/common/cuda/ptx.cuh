// Instructions without a CUDA C++ function, one wrapper each. Outside of nvcc the block emulator
// provides them.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cuda_runtime.h>

#include <cstdint>
#include <type_traits>

#include "common/half.h"

namespace atjt::cuda {

// Tag: floats rounded to 11 bits.
struct Tf32 {};

#if defined(__CUDACC__)
__device__ __forceinline__ uint32_t shared_address(const void* shared) {
  return uint32_t(__cvta_generic_to_shared(shared));
}
#endif

// d += a b, accumulated in float: 16 x 16 by 16 x 8 halves, or 16 x 8 by 8 x 8 numbers of TF32.
// Every lane of the warp takes part; AccumulatorLayout says where d lies.
template <class T>
__device__ __forceinline__ void mma(float (&d)[4], const uint32_t (&a)[4], const uint32_t (&b)[2]) {
#if defined(__CUDACC__)
  if constexpr (std::is_same_v<T, Tf32>) {
    asm("mma.sync.aligned.m16n8k8.row.col.f32.tf32.tf32.f32 "
        "{%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"
        : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
        : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
  } else if constexpr (std::is_same_v<T, BFloat16>) {
    asm("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 "
        "{%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"
        : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
        : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
  } else {
    static_assert(std::is_same_v<T, Float16>);
    asm("mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 "
        "{%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"
        : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
        : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
  }
#else
  constexpr emulator::Numbers kNumbers = std::is_same_v<T, Tf32> ? emulator::Numbers::kTf32
                                         : std::is_same_v<T, Float16>
                                             ? emulator::Numbers::kFloat16
                                             : emulator::Numbers::kBFloat16;
  emulator::mma(kNumbers, d, a, b);
#endif
}

// Four matrices of 8 x 8 halves, or 8 x 4 words, from shared memory: lane 8 i + j names the 16
// bytes of row j of matrix i, and gets of each the two halves (the word) at row lane / 4, place
// lane % 4.
template <bool kTransposed = false>
__device__ __forceinline__ void load_matrices(uint32_t (&matrices)[4], const void* row) {
#if defined(__CUDACC__)
  if constexpr (kTransposed)
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0, %1, %2, %3}, [%4];"
                 : "=r"(matrices[0]), "=r"(matrices[1]), "=r"(matrices[2]), "=r"(matrices[3])
                 : "r"(shared_address(row))
                 : "memory");
  else
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];"
                 : "=r"(matrices[0]), "=r"(matrices[1]), "=r"(matrices[2]), "=r"(matrices[3])
                 : "r"(shared_address(row))
                 : "memory");
#else
  emulator::ldmatrix_x4(matrices, row, kTransposed);
#endif
}

// Begins to copy 16 or 4 bytes to shared memory; writes zeros and reads nothing if not `valid`. The
// bytes may be read after wait_for_copies and a barrier.
template <int kBytes>
__device__ __forceinline__ void copy_async(void* shared, const void* global, bool valid) {
  static_assert(kBytes == 4 || kBytes == 16);
#if defined(__CUDACC__)
  const int from_bytes = valid ? kBytes : 0;
  if constexpr (kBytes == 16)  // bypasses the first-level cache: no other block needs it
    asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(shared_address(shared)),
                 "l"(global), "r"(from_bytes)
                 : "memory");
  else
    asm volatile("cp.async.ca.shared.global [%0], [%1], 4, %2;" ::"r"(shared_address(shared)),
                 "l"(global), "r"(from_bytes)
                 : "memory");
#else
  emulator::begin_copy(shared, global, kBytes, valid ? kBytes : 0);
#endif
}

// Closes a group of the thread's copies; it may be empty.
__device__ __forceinline__ void commit_copies() {
#if defined(__CUDACC__)
  asm volatile("cp.async.commit_group;" ::: "memory");
#else
  emulator::commit_copies();
#endif
}

// Waits until at most the thread's latest kMostLeft groups are under way.
template <int kMostLeft>
__device__ __forceinline__ void wait_for_copies() {
#if defined(__CUDACC__)
  asm volatile("cp.async.wait_group %0;" ::"n"(kMostLeft) : "memory");
#else
  emulator::wait_for_copies(kMostLeft);
#endif
}

// Rounds to TF32, ties away from zero. An mma would cut off instead.
__device__ __forceinline__ uint32_t round_to_tf32(float x) {
#if defined(__CUDACC__)
  uint32_t bits;
  asm("cvt.rna.tf32.f32 %0, %1;" : "=r"(bits) : "f"(x));
  return bits;
#else
  const uint32_t bits = bits_of_float(x);
  return x != x ? 0x7FFFFFFFu : (bits + 0x1000u) & 0xFFFFE000u;
#endif
}

// Hides a value from the compiler, so that it does not compute derived values early (before a loop,
// for example) and keep them in registers.
template <class V>
__device__ __forceinline__ V forgotten(V value) {
#if defined(__CUDACC__)
  if constexpr (sizeof(V) == 8)
    asm volatile("" : "+l"(value));
  else
    asm volatile("" : "+r"(value));
#endif
  return value;
}

}  // namespace atjt::cuda
