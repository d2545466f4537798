// The conversions of half.h by a GPU's instructions. Same numbers; only the bits of a NaN may
// differ.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cuda_bf16.h>
#include <cuda_fp16.h>

#include <cstdint>
#include <type_traits>

#include "common/half.h"

namespace atjt::cuda {

template <class T>
__device__ __forceinline__ Arithmetic<T> widen_in_hardware(T x) {
#if defined(__CUDA_ARCH__)
  if constexpr (std::is_same_v<T, Float16>) return __half2float(__ushort_as_half(x.bits));
#endif
  return widen(x);
}

template <class T>
__device__ __forceinline__ void narrow_in_hardware(Arithmetic<T> x, T* to) {
#if defined(__CUDA_ARCH__)
  if constexpr (std::is_same_v<T, Float16>) {
    to->bits = __half_as_ushort(__float2half_rn(x));
    return;
  } else if constexpr (std::is_same_v<T, BFloat16>) {
    to->bits = __bfloat16_as_ushort(__float2bfloat16_rn(x));
    return;
  }
#endif
  narrow(x, to);
}

// Two halves in a word, the first in its low bits: one instruction for both.
template <class T>
__device__ __forceinline__ uint32_t narrow_pair(float first, float second) {
#if defined(__CUDA_ARCH__)
  if constexpr (std::is_same_v<T, BFloat16>) {
    const __nv_bfloat162 pair = __floats2bfloat162_rn(first, second);
    return uint32_t{__bfloat16_as_ushort(pair.y)} << 16 | __bfloat16_as_ushort(pair.x);
  } else {
    const __half2 pair = __floats2half2_rn(first, second);
    return uint32_t{__half_as_ushort(pair.y)} << 16 | __half_as_ushort(pair.x);
  }
#else
  T pair[2];
  narrow(first, &pair[0]);
  narrow(second, &pair[1]);
  return uint32_t{pair[1].bits} << 16 | pair[0].bits;
#endif
}

}  // namespace atjt::cuda
