// exp(x) for x <= 0, in arithmetic only, so that loops over it vectorise on every compiler.
//
// Within 2 units in the last place where the result is a normal number, exactly 0 below (and for
// -inf), NaN for NaN. Arguments slightly above 0, as rounding makes them, are fine.
//
// exp_in_hardware uses a GPU's instruction for 2^x and takes a third of the instructions.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cmath>
#include <cstdint>
#include <cstring>

#include "common/host_device.h"

namespace atjt {

// exp(x) = 2^n exp(r) with n = round(x / ln 2). Adding 1.5 * 2^(mantissa bits) rounds to an integer
// that can be read off the low bits: no conversion, hence nothing undefined for NaN.
ATJT_HD float exp_nonpositive(float x) {
  constexpr float kRound = 12582912.0f;  // 1.5 * 2^23
  const float shifted = x * 1.44269504f + kRound;
  const float n = shifted - kRound;
  const float r = (x - n * 0.693359375f) - n * -2.12194440e-4f;  // ln 2 in two parts (Cephes)
  float poly = 1.9875691500e-4f;
  poly = poly * r + 1.3981999507e-3f;
  poly = poly * r + 8.3334519073e-3f;
  poly = poly * r + 4.1665795894e-2f;
  poly = poly * r + 1.6666665459e-1f;
  poly = poly * r + 5.0000001201e-1f;
  poly = poly * (r * r) + r + 1.0f;
  uint32_t bits;
  std::memcpy(&bits, &shifted, sizeof bits);
  bits = (bits + 127) << 23;
  float power;
  std::memcpy(&power, &bits, sizeof power);
  return x < -87.3365402f ? 0.0f : poly * power;  // below, 2^n is no normal number
}

ATJT_HD double exp_nonpositive(double x) {
  constexpr double kRound = 6755399441055744.0;  // 1.5 * 2^52
  const double shifted = x * 1.4426950408889634 + kRound;
  const double n = shifted - kRound;
  const double r = (x - n * 6.93145751953125e-1) - n * 1.42860682030941723212e-6;
  double poly = 1.0 / 6227020800;  // Taylor to r^13: the rest is below 5e-18 for |r| <= ln(2) / 2
  poly = poly * r + 1.0 / 479001600;
  poly = poly * r + 1.0 / 39916800;
  poly = poly * r + 1.0 / 3628800;
  poly = poly * r + 1.0 / 362880;
  poly = poly * r + 1.0 / 40320;
  poly = poly * r + 1.0 / 5040;
  poly = poly * r + 1.0 / 720;
  poly = poly * r + 1.0 / 120;
  poly = poly * r + 1.0 / 24;
  poly = poly * r + 1.0 / 6;
  poly = poly * r + 0.5;
  poly = poly * (r * r) + r + 1.0;
  uint64_t bits;
  std::memcpy(&bits, &shifted, sizeof bits);
  bits = (bits + 1023) << 52;
  double power;
  std::memcpy(&power, &bits, sizeof power);
  return x < -708.39641853226408 ? 0.0 : poly * power;
}

// 2^x for x <= 0, within 2 units in the last place; 0 where that is no normal number.
ATJT_HD float exp2_in_hardware(float x) {
#if defined(__CUDA_ARCH__)
  float power;
  asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(power) : "f"(x));
  return power;
#else
  return exp2f(x);
#endif
}

// Rounding x / ln 2 costs |x| units of 6e-8. Half precision does not notice; for float,
// exp_in_hardware puts the remainder back.
ATJT_HD float exp_in_hardware_coarse(float x) { return exp2_in_hardware(x * 1.44269504f); }

ATJT_HD float exp_in_hardware(float x) {
  const float rounded = x * 1.44269504f;
  const float remainder = fmaf(x, 1.44269504f, -rounded) + x * 1.92596303e-8f;
  const float power = exp2_in_hardware(rounded);
  const float value = fmaf(power, remainder * 0.693147181f, power);
  return x < -87.3365402f ? 0.0f : value;  // includes -inf, whose remainder is NaN
}

ATJT_HD double exp_in_hardware(double x) { return exp_nonpositive(x); }

}  // namespace atjt
