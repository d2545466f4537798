// IEEE half precision as stored, and conversions that round to nearest even.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "cuda_runtime.h"

namespace emulator {

inline uint16_t half_bits(float x) {
  const uint32_t bits = __float_as_uint(x), sign = bits >> 16 & 0x8000u;
  uint32_t size = bits & 0x7FFFFFFFu;
  if (size > 0x7F800000u) return 0x7FFF;                     // NaN, as CUDA writes it
  if (size >= 0x477FF000u) return uint16_t(sign | 0x7C00u);  // 65520 and more: infinity
  // Below 2^-14 halves lie 2^-24 apart, as floats do in [0.5, 1).
  if (size < 0x38800000u)
    return uint16_t(sign | (__float_as_uint(__uint_as_float(size) + 0.5f) - 0x3F000000u));
  size += 0xFFFu + (size >> 13 & 1u);
  return uint16_t(sign | (size - 0x38000000u) >> 13);
}

inline float half_value(uint16_t bits) {
  const uint32_t sign = uint32_t(bits & 0x8000u) << 16, size = bits & 0x7FFFu;
  if (size >= 0x7C00u) return __uint_as_float(sign | 0x7F800000u | (size & 0x3FFu) << 13);
  if (size < 0x400u) return (sign != 0 ? -0x1p-24f : 0x1p-24f) * float(size);
  return __uint_as_float(sign | ((size << 13) + 0x38000000u));
}

}  // namespace emulator

struct __half {
  uint16_t bits;
  __half() = default;
  __half(float x) : bits(emulator::half_bits(x)) {}
  operator float() const { return emulator::half_value(bits); }
};
using half = __half;
struct __align__(4) __half2 {
  __half x, y;
};
using half2 = __half2;

inline __half __ushort_as_half(unsigned short bits) { return emulator::from_bits<__half>(bits); }
inline unsigned short __half_as_ushort(__half x) { return x.bits; }
inline float __half2float(__half x) { return emulator::half_value(x.bits); }
inline __half __float2half(float x) { return x; }
inline __half __float2half_rn(float x) { return x; }
inline float2 __half22float2(__half2 x) { return {__half2float(x.x), __half2float(x.y)}; }
inline __half2 __float22half2_rn(float2 x) { return {x.x, x.y}; }
inline __half2 __floats2half2_rn(float x, float y) { return {x, y}; }
inline float __low2float(__half2 x) { return __half2float(x.x); }
inline float __high2float(__half2 x) { return __half2float(x.y); }
