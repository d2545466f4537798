// reweighted_cross_entropy: softmax cross-entropy per row of logits [rows, classes], and its
// gradient.
//
//   loss_i      = (1 - e) * (lse_i - logits_i[target_i]) + e * mean_v (lse_i - logits_i[v])
//   grad_logits = row_scale_i * (softmax(logits_i) - (1 - e) * onehot(target_i) - e / classes)
//
// with lse_i = log sum_v exp(logits_i[v]) and e the label smoothing. row_scale, d(loss) /
// d(loss_i), holds weights and reduction. It depends on no logit, so the forward pass can write the
// gradient while the row is in cache. Rows whose target is ignore_index have loss 0 and gradient 0.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

#include "common/half.h"
#include "common/host_device.h"

namespace atjt {

template <class T>
struct CrossEntropyParams {
  const T* logits;                 // [rows, classes]
  const int64_t* targets;          // [rows]
  const Arithmetic<T>* row_scale;  // [rows]; read only where a gradient is written
  Arithmetic<T>* losses;           // [rows]
  T* grad_logits;                  // [rows, classes], may be the logits; null: no gradient
  int64_t rows, classes, ignore_index;
  double label_smoothing;  // e
};

template <class T>
ATJT_HD bool target_in_range(const CrossEntropyParams<T>& p, int64_t target) {
  return uint64_t(target) < uint64_t(p.classes);
}

// The loss from its parts. The distance to the maximum comes first: log_sum + maximum would round
// away the loss of a confident row with large logits.
template <class Real>
ATJT_HD Real loss_of_row(Real maximum, Real log_sum, Real target_logit) {
  return log_sum + (maximum - target_logit);
}

// mean_distance = mean_v (maximum - logits[v])
template <class Real>
ATJT_HD Real smoothed_loss_of_row(Real maximum, Real log_sum, Real target_logit,
                                  Real label_smoothing, Real mean_distance) {
  return log_sum + (1 - label_smoothing) * (maximum - target_logit) +
         label_smoothing * mean_distance;
}

// The op on either device, for float, double, Float16 and BFloat16. On a target that is neither a
// class nor ignore_index...
namespace cpu {
// ...throw std::out_of_range with row, value and classes.
template <class T>
void reweighted_cross_entropy(const CrossEntropyParams<T>& params, int num_threads);
}  // namespace cpu

namespace cuda {
// ...loss and gradient of its row are NaN.
template <class T>
void reweighted_cross_entropy(const CrossEntropyParams<T>& params, int device, void* stream);
}  // namespace cuda

}  // namespace atjt
