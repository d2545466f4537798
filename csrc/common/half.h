// Half precision as stored, and its way to float and back.
//
// Conversions are exact one way and round to nearest even the other, with subnormal numbers,
// infinities and NaN, in integer arithmetic without branches, so that loops over them vectorise on
// every instruction set.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <cstring>

#include "common/host_device.h"

namespace atjt {

struct Float16 {
  uint16_t bits;
};
struct BFloat16 {
  uint16_t bits;
};

// The type in which numbers of a stored type are computed.
template <class T>
struct ArithmeticOf {
  using type = float;
};
template <>
struct ArithmeticOf<double> {
  using type = double;
};
template <class T>
using Arithmetic = typename ArithmeticOf<T>::type;

// define(T) for each type that ops are compiled for; on CUDA, kernels over tiles have no double.
#define ATJT_FLOATING_TYPES(define) define(float) define(double) define(Float16) define(BFloat16)
#define ATJT_TILE_TYPES(define) define(float) define(Float16) define(BFloat16)

ATJT_HD float float_of_bits(uint32_t bits) {
  float x;
  std::memcpy(&x, &bits, sizeof x);
  return x;
}

ATJT_HD uint32_t bits_of_float(float x) {
  uint32_t bits;
  std::memcpy(&bits, &x, sizeof bits);
  return bits;
}

ATJT_HD float widen(float x) { return x; }
ATJT_HD double widen(double x) { return x; }

ATJT_HD float widen(BFloat16 x) { return float_of_bits(uint32_t{x.bits} << 16); }

ATJT_HD float widen(Float16 x) {
  // The shifted bits are those of x * 2^-112, since the exponents' biases differ by 112. Infinity
  // and NaN become 2^16 or more; their exponent is then set to all ones.
  const float magnitude = float_of_bits((x.bits & 0x7FFFu) << 13) * 0x1p112f;
  const uint32_t bits = bits_of_float(magnitude) | (magnitude >= 65536.0f ? 0x7F800000u : 0u);
  return float_of_bits(bits | (x.bits & 0x8000u) << 16);
}

// narrow(x, &stored): the stored type chooses the function.
ATJT_HD void narrow(float x, float* to) { *to = x; }
ATJT_HD void narrow(double x, double* to) { *to = x; }

ATJT_HD void narrow(float x, BFloat16* to) {
  const uint32_t bits = bits_of_float(x);
  const uint32_t rounded = (bits + 0x7FFFu + (bits >> 16 & 1u)) >> 16;
  // Rounding could carry the bits of a NaN into infinity or zero.
  to->bits = uint16_t(x != x ? (bits >> 16 | 0x40u) : rounded);
}

ATJT_HD void narrow(float x, Float16* to) {
  const uint32_t bits = bits_of_float(x), magnitude = bits & 0x7FFFFFFFu;
  const uint32_t normal =
      (magnitude - (112u << 23) + 0xFFFu + (magnitude >> 13 & 1u)) >> 13;  // may carry to infinity
  // The last bit of 0.5 is worth 2^-24, so adding 0.5 rounds to a subnormal number of float16.
  const uint32_t subnormal = bits_of_float(float_of_bits(magnitude) + 0.5f) - bits_of_float(0.5f);
  uint32_t half = magnitude < (113u << 23) ? subnormal : normal;
  half = magnitude >= (143u << 23) ? 0x7C00u : half;  // 65536 and more
  half = magnitude > (255u << 23) ? 0x7E00u : half;   // NaN
  to->bits = uint16_t(half | (bits >> 16 & 0x8000u));
}

}  // namespace atjt
