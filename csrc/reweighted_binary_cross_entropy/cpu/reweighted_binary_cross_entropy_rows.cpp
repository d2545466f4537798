// The rows of reweighted_binary_cross_entropy (see common/cpu/isa.h).
//
// The arithmetic runs over blocks of elements with many rows each, since most rows are too short to
// fill a vector. The gradient may overwrite the logits, so no pointer is __restrict. omp simd is
// still right: each element is read before it is written.
// SPDX-License-Identifier: Apache-2.0
#include "reweighted_binary_cross_entropy/cpu/reweighted_binary_cross_entropy_rows.h"

#include "common/cpu/half_blocks.h"
#include "common/exp.h"

namespace atjt::cpu {
namespace {

constexpr int64_t kShort = 16;  // for shorter rows, setting up vectors costs more than the sum

template <class Real>
ATJT_HD Real exp_of_minus_magnitude(Real x) {
  return exp_nonpositive(x < 0 ? x : -x);
}

ATJT_HD const float* read_targets(const float* y, int64_t, float*) { return y; }
ATJT_HD const double* read_targets(const double* y, int64_t, double*) { return y; }

template <class Real>
const Real* read_targets(const uint8_t* y, int64_t n, Real* buffer) {
#pragma omp simd
  for (int64_t i = 0; i < n; ++i) buffer[i] = Real(y[i]);
  return buffer;
}

template <class Real>
void losses_of(const Real* x, const Real* y, int64_t n, Real smoothing, Real* losses) {
#pragma omp simd
  for (int64_t i = 0; i < n; ++i)
    losses[i] = binary_cross_entropy(x[i], y[i], smoothing, exp_of_minus_magnitude(x[i])).loss;
}

template <class Real>
void losses_and_gradients_of(const Real* x, const Real* y, int64_t n, Real smoothing,
                             const Real* scale, Real* losses, Real* grad) {
#pragma omp simd
  for (int64_t i = 0; i < n; ++i) {
    const LossAndGradient<Real> element =
        binary_cross_entropy(x[i], y[i], smoothing, exp_of_minus_magnitude(x[i]));
    losses[i] = element.loss;
    grad[i] = scale[i] * element.gradient;
  }
}

template <class Real>
struct Scratch {
  Real logits[kBlock], targets[kBlock], losses[kBlock], scale[kBlock];
};

// Losses of the n <= kBlock elements from `start` on, and their gradients if wanted. `scale` holds
// each element's row_scale.
template <class T, class Target, class Real = Arithmetic<T>>
void run_block(const BinaryCrossEntropyParams<T, Target>& p, int64_t start, int64_t n,
               const Real* scale, Scratch<Real>& scratch, Real* losses) {
  const Real* const x = read_block(p.logits + start, n, scratch.logits);
  const Real* const y = read_targets(p.targets + start, n, scratch.targets);
  if (p.grad_logits == nullptr) return losses_of(x, y, n, p.label_smoothing, losses);
  Real* const grad = block_for(p.grad_logits + start, scratch.logits);
  losses_and_gradients_of(x, y, n, p.label_smoothing, scale, losses, grad);
  write_block(p.grad_logits + start, n, grad);
}

template <class Real>
void fill(Real* to, int64_t n, Real value) {
  for (int64_t i = 0; i < n; ++i) to[i] = value;
}

template <class Real>
Real sum_of(const Real* x, int64_t n) {
  Real sum = 0;
  if (n < kShort) {
    for (int64_t i = 0; i < n; ++i) sum += x[i];
  } else {
#pragma omp simd reduction(+ : sum)
    for (int64_t i = 0; i < n; ++i) sum += x[i];
  }
  return sum;
}

// Blocks begin and end with rows: the first row of a thread must not change how a row is summed.
template <class T, class Target, class Real = Arithmetic<T>>
void run_short_rows(const BinaryCrossEntropyParams<T, Target>& p, int64_t begin, int64_t end,
                    Scratch<Real>& scratch) {
  const int64_t classes = p.classes, rows_at_once = kBlock / classes;
  const bool wants_gradient = p.grad_logits != nullptr;
  for (int64_t row = begin; row < end; row += rows_at_once) {
    const int64_t rows = end - row < rows_at_once ? end - row : rows_at_once;
    if (classes == 1) {  // an element is a row
      const Real* const scale = wants_gradient ? p.row_scale + row : nullptr;
      run_block(p, row, rows, scale, scratch, p.losses + row);
      continue;
    }
    for (int64_t i = 0; wants_gradient && i < rows; ++i)
      fill(scratch.scale + i * classes, classes, p.row_scale[row + i]);
    run_block(p, row * classes, rows * classes, scratch.scale, scratch, scratch.losses);
    for (int64_t i = 0; i < rows; ++i)
      p.losses[row + i] = sum_of(scratch.losses + i * classes, classes);
  }
}

template <class T, class Target, class Real = Arithmetic<T>>
void run_long_rows(const BinaryCrossEntropyParams<T, Target>& p, int64_t begin, int64_t end,
                   Scratch<Real>& scratch) {
  for (int64_t row = begin; row < end; ++row) {
    if (p.grad_logits != nullptr) fill(scratch.scale, kBlock, p.row_scale[row]);
    double row_loss = 0;
    for (int64_t column = 0; column < p.classes; column += kBlock) {
      const int64_t left = p.classes - column, n = left < kBlock ? left : kBlock;
      run_block(p, row * p.classes + column, n, scratch.scale, scratch, scratch.losses);
      row_loss += double(sum_of(scratch.losses, n));
    }
    p.losses[row] = Real(row_loss);
  }
}

template <class T, class Target>
void run_rows(const BinaryCrossEntropyParams<T, Target>& p, int64_t begin, int64_t end) {
  if (p.classes == 0) return fill(p.losses + begin, end - begin, Arithmetic<T>(0));
  Scratch<Arithmetic<T>> scratch;
  if (p.classes > kBlock) return run_long_rows(p, begin, end, scratch);
  run_short_rows(p, begin, end, scratch);
}

}  // namespace

#define ATJT_DEFINE(T)                                                                            \
  template <>                                                                                     \
  void BinaryCrossEntropyRows<Isa::ATJT_ISA>::run(const BinaryCrossEntropyParams<T, uint8_t>& p,  \
                                                  int64_t begin, int64_t end) noexcept {          \
    run_rows(p, begin, end);                                                                      \
  }                                                                                               \
  template <>                                                                                     \
  void BinaryCrossEntropyRows<Isa::ATJT_ISA>::run(                                                \
      const BinaryCrossEntropyParams<T, Arithmetic<T>>& p, int64_t begin, int64_t end) noexcept { \
    run_rows(p, begin, end);                                                                      \
  }
ATJT_FLOATING_TYPES(ATJT_DEFINE)

}  // namespace atjt::cpu
