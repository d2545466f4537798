// reweighted_cross_entropy: softmax cross-entropy per row of logits [rows, classes], and its
// gradient.
//
//   loss_i       = lse_i - logits_i[target_i],   lse_i = log sum_v exp(logits_i[v])
//   grad_logits  = row_scale_i * (softmax(logits_i) - onehot(target_i))
//
// Weights and reductions live in row_scale, d(loss) / d(loss_i): they depend on no logit, so the
// forward pass can write the gradient while the row is still in cache. Rows whose target is
// ignore_index have loss 0 and gradient 0.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

#include "exp.h"
#include "host_device.h"

namespace atjt {

// Half precision as stored; the CUDA sources know the arithmetic.
struct Float16 {
  uint16_t bits;
};
struct BFloat16 {
  uint16_t bits;
};

// What logits of a type are computed in.
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

template <class T>
struct CrossEntropyParams {
  const T* logits;                 // [rows, classes]
  const int64_t* targets;          // [rows]
  const Arithmetic<T>* row_scale;  // [rows]; read only where a gradient is written
  Arithmetic<T>* losses;           // [rows]
  Arithmetic<T>* lse;              // [rows]
  T* grad_logits;                  // [rows, classes]; null: no gradient
  int64_t rows, classes, ignore_index;
};

template <class T>
ATJT_HD bool target_in_range(const CrossEntropyParams<T>& p, int64_t target) {
  return uint64_t(target) < uint64_t(p.classes);
}

// The loss from its parts. The target's distance to the maximum is formed first: log_sum + maximum
// would round away the loss of a confident row with large logits.
template <class Real>
ATJT_HD Real loss_of_row(Real maximum, Real log_sum, Real target_logit) {
  return log_sum + (maximum - target_logit);
}

// The op on either device. A target that is neither a class nor ignore_index...
namespace cpu {
// ...throws std::out_of_range, naming row, value and classes. For float and double.
template <class T>
void cross_entropy_forward(const CrossEntropyParams<T>& params, int num_threads);
}  // namespace cpu

namespace cuda {
// ...makes loss and gradient of its row NaN. For float, double, Float16 and BFloat16.
template <class T>
void cross_entropy_forward(const CrossEntropyParams<T>& params, int device, void* stream);
}  // namespace cuda

}  // namespace atjt
