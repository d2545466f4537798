// The rows of reweighted_binary_cross_entropy, compiled once per instruction set (see isa.h).
//
// The arithmetic runs over blocks of elements, whatever rows they belong to: rows are often too
// short to fill a vector.
// SPDX-License-Identifier: Apache-2.0
#include "cpu/reweighted_binary_cross_entropy_rows.h"

#include "cpu/half_blocks.h"
#include "exp.h"

namespace atjt::cpu {
namespace {

constexpr int64_t kShort = 16;  // rows that cost more to set up for vectors than to add up

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

// The pieces of rows that a block of elements consists of: where the block begins, and where, in
// the end, the next one does.
struct Position {
  int64_t row, column;
};

// scale[i] = row_scale of the row of element i.
template <class Real>
void spread(const Real* row_scale, int64_t classes, Position at, int64_t n, Real* scale) {
  for (int64_t i = 0; i < n;) {
    const int64_t left = classes - at.column, count = left < n - i ? left : n - i;
    const Real value = row_scale[at.row++];
    at.column = 0;
    for (const int64_t end = i + count; i < end; ++i) scale[i] = value;
  }
}

// Adds the elements to the losses of their rows; row_loss is that of the unfinished row.
template <class Real>
Position gather(const Real* elements, int64_t classes, Position at, int64_t n, double& row_loss,
                Real* losses) {
  for (int64_t i = 0; i < n;) {
    const int64_t left = classes - at.column, count = left < n - i ? left : n - i;
    Real sum = 0;
    if (count < kShort) {
      for (int64_t j = 0; j < count; ++j) sum += elements[i + j];
    } else {
#pragma omp simd reduction(+ : sum)
      for (int64_t j = 0; j < count; ++j) sum += elements[i + j];
    }
    row_loss += double(sum);
    i += count;
    at.column += count;
    if (at.column < classes) break;
    losses[at.row++] = Real(row_loss);
    at.column = 0;
    row_loss = 0;
  }
  return at;
}

template <class T, class Target>
void run_rows(const BinaryCrossEntropyParams<T, Target>& p, int64_t begin, int64_t end) {
  using Real = Arithmetic<T>;
  const int64_t classes = p.classes, last = end * classes;
  const bool one_class = classes == 1;  // then elements are rows
  if (classes == 0)
    for (int64_t row = begin; row < end; ++row) p.losses[row] = 0;

  Real logits[kBlock], targets[kBlock], block_losses[kBlock], block_scale[kBlock];
  Position at = {begin, 0};
  double row_loss = 0;
  for (int64_t start = begin * classes; start < last; start += kBlock) {
    const int64_t n = last - start < kBlock ? last - start : kBlock;
    const Real* const x = read_block(p.logits + start, n, logits);
    const Real* const y = read_targets(p.targets + start, n, targets);
    Real* const losses = one_class ? p.losses + start : block_losses;
    if (p.grad_logits == nullptr) {
      losses_of(x, y, n, p.label_smoothing, losses);
    } else {
      if (!one_class) spread(p.row_scale, classes, at, n, block_scale);
      const Real* const scale = one_class ? p.row_scale + start : block_scale;
      Real* const grad = block_for(p.grad_logits + start, logits);
      losses_and_gradients_of(x, y, n, p.label_smoothing, scale, losses, grad);
      write_block(p.grad_logits + start, n, grad);
    }
    if (!one_class) at = gather(losses, classes, at, n, row_loss, p.losses);
  }
}

}  // namespace

template <>
void BinaryCrossEntropyRows<Isa::ATJT_ISA>::run(const BinaryCrossEntropyParams<float, uint8_t>& p,
                                                int64_t begin, int64_t end) noexcept {
  run_rows(p, begin, end);
}

template <>
void BinaryCrossEntropyRows<Isa::ATJT_ISA>::run(const BinaryCrossEntropyParams<float, float>& p,
                                                int64_t begin, int64_t end) noexcept {
  run_rows(p, begin, end);
}

template <>
void BinaryCrossEntropyRows<Isa::ATJT_ISA>::run(const BinaryCrossEntropyParams<double, uint8_t>& p,
                                                int64_t begin, int64_t end) noexcept {
  run_rows(p, begin, end);
}

template <>
void BinaryCrossEntropyRows<Isa::ATJT_ISA>::run(const BinaryCrossEntropyParams<double, double>& p,
                                                int64_t begin, int64_t end) noexcept {
  run_rows(p, begin, end);
}

template <>
void BinaryCrossEntropyRows<Isa::ATJT_ISA>::run(const BinaryCrossEntropyParams<Float16, uint8_t>& p,
                                                int64_t begin, int64_t end) noexcept {
  run_rows(p, begin, end);
}

template <>
void BinaryCrossEntropyRows<Isa::ATJT_ISA>::run(const BinaryCrossEntropyParams<Float16, float>& p,
                                                int64_t begin, int64_t end) noexcept {
  run_rows(p, begin, end);
}

template <>
void BinaryCrossEntropyRows<Isa::ATJT_ISA>::run(
    const BinaryCrossEntropyParams<BFloat16, uint8_t>& p, int64_t begin, int64_t end) noexcept {
  run_rows(p, begin, end);
}

template <>
void BinaryCrossEntropyRows<Isa::ATJT_ISA>::run(const BinaryCrossEntropyParams<BFloat16, float>& p,
                                                int64_t begin, int64_t end) noexcept {
  run_rows(p, begin, end);
}

}  // namespace atjt::cpu
