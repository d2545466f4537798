// The maximum and the sum of exponentials of a part of a row, and how two parts become one
// (Milakov and Gimelshein, "Online normalizer calculation for softmax", arXiv:1805.02867).
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cmath>

#include "common/exp.h"
#include "common/host_device.h"

namespace atjt {

// sum = sum_v exp(x_v - maximum). Nothing, or nothing but -inf: {-inf, 0}. A NaN or +inf among the
// x_v makes the sum NaN, and it stays NaN.
template <class Real>
struct SoftmaxPart {
  Real maximum, sum;
};

// The same part, told against a maximum that is at least its own.
template <class Real>
ATJT_HD void raise_maximum(SoftmaxPart<Real>& part, Real maximum) {
  if (!(maximum > part.maximum)) return;  // equal infinities, too: their difference is NaN
  part.sum *= exp_nonpositive(part.maximum - maximum);
  part.maximum = maximum;
}

// What exponentials of a part are taken against: a part of nothing but -inf has no finite maximum,
// and exp(-inf - 0) = 0 is right.
template <class Real>
ATJT_HD Real origin_of(const SoftmaxPart<Real>& part) {
  return part.maximum == -Real(INFINITY) ? Real(0) : part.maximum;
}

// In either order to the same bits.
template <class Real>
ATJT_HD SoftmaxPart<Real> combine(SoftmaxPart<Real> a, SoftmaxPart<Real> b) {
  raise_maximum(a, b.maximum);
  raise_maximum(b, a.maximum);
  return {a.maximum, a.sum + b.sum};
}

}  // namespace atjt
