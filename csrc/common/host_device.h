// Functions that g++ compiles for the CPU kernels and nvcc for both sides.
// SPDX-License-Identifier: Apache-2.0
#pragma once

// `static` and always inlined: the CPU sources are compiled once per instruction set, and a shared
// (weak) copy of a function would let the linker hand AVX-512 code to every CPU.
#if defined(__CUDACC__)
#define ATJT_HD static __host__ __device__ __forceinline__
#else
#define ATJT_HD [[gnu::always_inline]] static inline
#endif

// Unrolls the next loop, of constant count. nvcc's pass over host code has no such pragma.
#if defined(__CUDA_ARCH__)
#define ATJT_UNROLL _Pragma("unroll")
#elif defined(__CUDACC__)
#define ATJT_UNROLL
#else
#define ATJT_UNROLL _Pragma("GCC unroll 16")
#endif
