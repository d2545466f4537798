// The rows of reweighted_cross_entropy, compiled once per instruction set (see isa.h).
//
// Three passes over a row that stays in cache: maximum, exponentials into the gradient row with
// their sum, scaling. Without a gradient the last one falls away, and so does the store.
// SPDX-License-Identifier: Apache-2.0
#include "cpu/reweighted_cross_entropy_rows.h"

namespace atjt::cpu {
namespace {

// Sums run in T inside a block and in double across blocks: long rows would otherwise lose digits.
constexpr int64_t kBlock = 1024;

template <class T>
T row_maximum(const T* __restrict x, int64_t n) {
  T maximum = -__builtin_inf();
#pragma omp simd reduction(max : maximum)
  for (int64_t i = 0; i < n; ++i) maximum = x[i] > maximum ? x[i] : maximum;
  return maximum;
}

template <class T>
double exp_sum(const T* __restrict x, int64_t n, T maximum) {
  double total = 0;
  for (int64_t start = 0; start < n; start += kBlock) {
    const int64_t end = start + kBlock < n ? start + kBlock : n;
    T sum = 0;
#pragma omp simd reduction(+ : sum)
    for (int64_t i = start; i < end; ++i) sum += exp_nonpositive(x[i] - maximum);
    total += double(sum);
  }
  return total;
}

template <class T>
double exp_sum_into(T* __restrict exps, const T* __restrict x, int64_t n, T maximum) {
  double total = 0;
  for (int64_t start = 0; start < n; start += kBlock) {
    const int64_t end = start + kBlock < n ? start + kBlock : n;
    T sum = 0;
#pragma omp simd reduction(+ : sum)
    for (int64_t i = start; i < end; ++i) {
      const T value = exp_nonpositive(x[i] - maximum);
      exps[i] = value;
      sum += value;
    }
    total += double(sum);
  }
  return total;
}

template <class T>
void scale_row(T* __restrict x, int64_t n, T factor) {
#pragma omp simd
  for (int64_t i = 0; i < n; ++i) x[i] *= factor;
}

template <class T>
void zero_row(T* __restrict x, int64_t n) {
  for (int64_t i = 0; i < n; ++i) x[i] = 0;
}

template <class T>
void forward_rows(const CrossEntropyParams<T>& p, int64_t begin, int64_t end) {
  for (int64_t row = begin; row < end; ++row) {
    const T* const x = p.logits + row * p.classes;
    T* const grad = p.grad_logits != nullptr ? p.grad_logits + row * p.classes : nullptr;
    const int64_t target = p.targets[row];
    if (target == p.ignore_index) {
      p.losses[row] = p.lse[row] = 0;
      if (grad != nullptr) zero_row(grad, p.classes);
      continue;
    }
    const T maximum = row_maximum(x, p.classes);
    const double sum = grad != nullptr ? exp_sum_into(grad, x, p.classes, maximum)
                                       : exp_sum(x, p.classes, maximum);
    const double log_sum = __builtin_log(sum);
    p.losses[row] = T(loss_of_row(double(maximum), log_sum, double(x[target])));
    p.lse[row] = T(double(maximum) + log_sum);
    if (grad == nullptr) continue;
    scale_row(grad, p.classes, T(double(p.row_scale[row]) / sum));
    grad[target] -= p.row_scale[row];
  }
}

}  // namespace

template <>
void CrossEntropyRows<Isa::ATJT_ISA>::forward(const CrossEntropyParams<float>& p, int64_t begin,
                                              int64_t end) noexcept {
  forward_rows(p, begin, end);
}

template <>
void CrossEntropyRows<Isa::ATJT_ISA>::forward(const CrossEntropyParams<double>& p, int64_t begin,
                                              int64_t end) noexcept {
  forward_rows(p, begin, end);
}

}  // namespace atjt::cpu
