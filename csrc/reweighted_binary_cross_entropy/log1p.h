// log(1 + x) for x in [0, 1], in plain arithmetic, so that loops over it vectorise on every
// compiler.
//
// Within 2 units in the last place, for small x too; NaN for NaN.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "common/host_device.h"

namespace atjt {

// Above sqrt(2) - 1, log(1 + x) = log 2 + log(1 + f) with f = (x - 1) / 2, which is exact. So f is
// in [-0.293, 0.4143), where a polynomial suffices.
ATJT_HD float log1p_of_unit(float x) {
  const bool upper = x > 0.41421356f;
  const float f = upper ? (x - 1.0f) * 0.5f : x;
  float poly = 7.0376836292e-2f;  // Cephes, logf
  poly = poly * f - 1.1514610310e-1f;
  poly = poly * f + 1.1676998740e-1f;
  poly = poly * f - 1.2420140846e-1f;
  poly = poly * f + 1.4249322787e-1f;
  poly = poly * f - 1.6668057665e-1f;
  poly = poly * f + 2.0000714765e-1f;
  poly = poly * f - 2.4999993993e-1f;
  poly = poly * f + 3.3333331174e-1f;
  const float square = f * f;
  const float rest = poly * f * square - 0.5f * square;
  return upper ? 0.693359375f + (f + (rest - 2.12194440e-4f)) : f + rest;
}

ATJT_HD double log1p_of_unit(double x) {
  const bool upper = x > 0.4142135623730950488;
  const double f = upper ? (x - 1.0) * 0.5 : x;
  // With s = f / (2 + f), log(1 + f) = 2 s + s * series(s^2); the coefficients are fdlibm's.
  const double s = f / (2.0 + f), z = s * s;
  double series = 1.479819860511658591e-1;
  series = series * z + 1.531383769920937332e-1;
  series = series * z + 1.818357216161805012e-1;
  series = series * z + 2.222219843214978396e-1;
  series = series * z + 2.857142874366239149e-1;
  series = series * z + 3.999999999940941908e-1;
  series = series * z + 6.666666666666735130e-1;
  const double half_square = 0.5 * f * f;
  const double rest = s * (half_square + series * z) - half_square;
  return upper ? 6.93147180369123816490e-1 + (f + (rest + 1.90821492927058770002e-10)) : f + rest;
}

}  // namespace atjt
