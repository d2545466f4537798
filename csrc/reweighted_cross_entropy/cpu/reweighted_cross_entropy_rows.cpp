// The rows of reweighted_cross_entropy (see common/cpu/isa.h).
//
// Three passes over a row that stays in cache: maximum, sum of exponentials, gradient. The second
// pass leaves the exponentials in the gradient row for the third to scale. In half precision they
// would be rounded twice, so the third pass computes them again.
//
// The gradient may overwrite the logits, so no pointer is __restrict. omp simd is still right: each
// element is read before it is written.
// SPDX-License-Identifier: Apache-2.0
#include "reweighted_cross_entropy/cpu/reweighted_cross_entropy_rows.h"

#include <type_traits>

#include "common/cpu/half_blocks.h"
#include "common/exp.h"

namespace atjt::cpu {
namespace {

template <class T, class Real = Arithmetic<T>>
Real row_maximum(const T* row, int64_t classes) {
  Real buffer[kBlock], maximum = -__builtin_inf();
  each_block(classes, [&](int64_t start, int64_t n) {
    const Real* const x = read_block(row + start, n, buffer);
    Real largest = maximum;
#pragma omp simd reduction(max : largest)
    for (int64_t i = 0; i < n; ++i) largest = x[i] > largest ? x[i] : largest;
    maximum = largest;
  });
  return maximum;
}

template <class T, class Real = Arithmetic<T>>
double distance_sum(const T* row, int64_t classes, Real maximum) {
  Real buffer[kBlock];
  double total = 0;
  each_block(classes, [&](int64_t start, int64_t n) {
    const Real* const x = read_block(row + start, n, buffer);
    Real sum = 0;
#pragma omp simd reduction(+ : sum)
    for (int64_t i = 0; i < n; ++i) sum += maximum - x[i];
    total += double(sum);
  });
  return total;
}

template <class T, class Real = Arithmetic<T>>
double exp_sum(const T* row, int64_t classes, Real maximum) {
  Real buffer[kBlock];
  double total = 0;
  each_block(classes, [&](int64_t start, int64_t n) {
    const Real* const x = read_block(row + start, n, buffer);
    Real sum = 0;
#pragma omp simd reduction(+ : sum)
    for (int64_t i = 0; i < n; ++i) sum += exp_nonpositive(x[i] - maximum);
    total += double(sum);
  });
  return total;
}

template <class Real>
double exp_sum_into(Real* grad, const Real* row, int64_t classes, Real maximum) {
  double total = 0;
  each_block(classes, [&](int64_t start, int64_t n) {
    const Real* const x = row + start;
    Real *const exps = grad + start, sum = 0;
#pragma omp simd reduction(+ : sum)
    for (int64_t i = 0; i < n; ++i) {
      const Real value = exp_nonpositive(x[i] - maximum);
      exps[i] = value;
      sum += value;
    }
    total += double(sum);
  });
  return total;
}

// gradient = exponential * factor - shift
template <class Real>
void scale_row(Real* grad, int64_t classes, Real factor, Real shift) {
#pragma omp simd
  for (int64_t i = 0; i < classes; ++i) grad[i] = grad[i] * factor - shift;
}

template <class T, class Real = Arithmetic<T>>
void gradient_row(T* grad, const T* row, int64_t classes, Real maximum, Real factor, Real shift) {
  Real buffer[kBlock];
  each_block(classes, [&](int64_t start, int64_t n) {
    const Real* const x = read_block(row + start, n, buffer);
    Real* const g = block_for(grad + start, buffer);
#pragma omp simd
    for (int64_t i = 0; i < n; ++i) g[i] = exp_nonpositive(x[i] - maximum) * factor - shift;
    write_block(grad + start, n, g);
  });
}

template <class T>
void run_row(const CrossEntropyParams<T>& p, int64_t row) {
  using Real = Arithmetic<T>;
  constexpr bool kKeepsExps = std::is_same_v<T, Real>;
  const int64_t classes = p.classes, target = p.targets[row];
  const T* const x = p.logits + row * classes;
  T* const grad = p.grad_logits != nullptr ? p.grad_logits + row * classes : nullptr;
  if (target == p.ignore_index) {
    p.losses[row] = 0;
    if (grad == nullptr) return;
    for (int64_t i = 0; i < classes; ++i) grad[i] = T{};
    return;
  }
  const Real maximum = row_maximum(x, classes);
  const Real target_logit = widen(x[target]);  // read before the gradient overwrites it
  const double smoothing = p.label_smoothing;
  const double mean_distance =
      smoothing > 0 ? distance_sum(x, classes, maximum) / double(classes) : 0;

  double sum = 0;
  if constexpr (kKeepsExps) {
    sum = grad != nullptr ? exp_sum_into(grad, x, classes, maximum) : exp_sum(x, classes, maximum);
  } else {
    sum = exp_sum(x, classes, maximum);
  }
  const double log_sum = __builtin_log(sum);
  p.losses[row] =
      Real(smoothing > 0 ? smoothed_loss_of_row(double(maximum), log_sum, double(target_logit),
                                                smoothing, mean_distance)
                         : loss_of_row(double(maximum), log_sum, double(target_logit)));
  if (grad == nullptr) return;

  const Real scale = p.row_scale[row];
  const Real factor = Real(double(scale) / sum);
  const Real shift = Real(double(scale) * (smoothing / double(classes)));
  if constexpr (kKeepsExps) {
    scale_row(grad, classes, factor, shift);
  } else {
    gradient_row(grad, x, classes, maximum, factor, shift);
  }
  const Real off_target = exp_nonpositive(target_logit - maximum) * factor - shift;
  narrow(off_target - scale * Real(1 - smoothing), &grad[target]);
}

template <class T>
void run_rows(const CrossEntropyParams<T>& p, int64_t begin, int64_t end) {
  for (int64_t row = begin; row < end; ++row) run_row(p, row);
}

}  // namespace

#define ATJT_DEFINE(T)                                                                     \
  template <>                                                                              \
  void CrossEntropyRows<Isa::ATJT_ISA>::run(const CrossEntropyParams<T>& p, int64_t begin, \
                                            int64_t end) noexcept {                        \
    run_rows(p, begin, end);                                                               \
  }
ATJT_FLOATING_TYPES(ATJT_DEFINE)

}  // namespace atjt::cpu
