// The maximum and the sum of exponentials of a part of a row, and how two parts combine
// (Milakov and Gimelshein, "Online normalizer calculation for softmax", arXiv:1805.02867).
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cmath>

#include "common/exp.h"
#include "common/host_device.h"

namespace atjt {

// sum = sum_v exp(x_v - maximum). {-inf, 0} for an empty part and for a part of nothing but -inf. A
// NaN or +inf among the x_v makes the sum NaN for good.
template <class Real>
struct SoftmaxPart {
  Real maximum, sum;
};

// The same part relative to a maximum that is at least its own.
template <class Real>
ATJT_HD void raise_maximum(SoftmaxPart<Real>& part, Real maximum) {
  if (!(maximum > part.maximum)) return;  // also for equal infinities, whose difference is NaN
  part.sum *= exp_nonpositive(part.maximum - maximum);
  part.maximum = maximum;
}

// The number to subtract before exponentials are taken. A part of nothing but -inf has no finite
// maximum; then 0 is right, since exp(-inf - 0) = 0.
template <class Real>
ATJT_HD Real origin_of(const SoftmaxPart<Real>& part) {
  return part.maximum == -Real(INFINITY) ? Real(0) : part.maximum;
}

// Both orders give the same bits.
template <class Real>
ATJT_HD SoftmaxPart<Real> combine(SoftmaxPart<Real> a, SoftmaxPart<Real> b) {
  raise_maximum(a, b.maximum);
  raise_maximum(b, a.maximum);
  return {a.maximum, a.sum + b.sum};
}

}  // namespace atjt
