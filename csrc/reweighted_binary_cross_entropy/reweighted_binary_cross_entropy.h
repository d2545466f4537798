// reweighted_binary_cross_entropy: sigmoid cross-entropy of logits [rows, classes], summed over
// each row, and its gradient.
//
//   loss_i      = sum_c max(x_ic, 0) - x_ic * y_ic + log(1 + exp(-|x_ic|))
//   grad_logits = row_scale_i * (sigmoid(x_ic) - y_ic)
//
// with y = (1 - e) * target + e / 2 for label smoothing e. Weights and reductions live in
// row_scale, as in reweighted_cross_entropy.h.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

#include "common/half.h"
#include "common/host_device.h"
#include "reweighted_binary_cross_entropy/log1p.h"

namespace atjt {

template <class T, class Target>
struct BinaryCrossEntropyParams {
  const T* logits;                 // [rows, classes]
  const Target* targets;           // [rows, classes]: uint8_t (a bool as stored) or Arithmetic<T>
  const Arithmetic<T>* row_scale;  // [rows]; read only where a gradient is written
  Arithmetic<T>* losses;           // [rows]
  T* grad_logits;                  // [rows, classes], may be the logits; null: no gradient
  int64_t rows, classes;
  Arithmetic<T> label_smoothing;  // e
};

template <class Real>
struct LossAndGradient {
  Real loss, gradient;
};

// The loss and gradient of one logit x, with z = exp(-|x|). `wrong` is the target's share against
// the sign of x. With `wrong` no nearly equal numbers are subtracted, so a confident logit keeps
// all digits of its small loss and gradient. An infinite logit has loss 0 if `wrong` is 0.
template <class Real>
ATJT_HD LossAndGradient<Real> binary_cross_entropy(Real x, Real target, Real label_smoothing,
                                                   Real z) {
  const Real keep = 1 - label_smoothing, spread = label_smoothing / 2;
  const Real positive = target * keep + spread, negative = (1 - target) * keep + spread;
  const Real wrong = x < 0 ? positive : negative, right = x < 0 ? negative : positive;
  const Real distance = x < 0 ? -x : x;
  const Real gradient = (wrong - right * z) / (1 + z);
  return {(wrong == 0 ? Real(0) : distance * wrong) + log1p_of_unit(z),
          x < 0 ? -gradient : gradient};
}

// The op on either device, for logits of float, double, Float16 and BFloat16.
namespace cpu {
template <class T, class Target>
void reweighted_binary_cross_entropy(const BinaryCrossEntropyParams<T, Target>& params,
                                     int num_threads);
}  // namespace cpu

namespace cuda {
template <class T, class Target>
void reweighted_binary_cross_entropy(const BinaryCrossEntropyParams<T, Target>& params, int device,
                                     void* stream);
}  // namespace cuda

}  // namespace atjt
