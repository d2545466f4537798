// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "common/cpu/isa.h"
#include "common/cpu/tiles.h"
#include "linear_cross_entropy/linear_cross_entropy.h"

namespace atjt::cpu {

// The forward pass' state of each row after one part of the classes.
template <class Real>
struct ForwardPart {
  Real* origins;         // [rows], the largest logit
  Real* sums;            // [rows], sum_v exp(s_nv - origin_n)
  Real* mean_embedding;  // [rows, width], sum_v exp(s_nv - origin_n) W_v; null: not wanted
  Real* target_logits;   // [rows], written if the target is among the classes
};

template <Isa isa>
struct LinearCrossEntropyRows {
#define ATJT_DECLARE(T)                                                                   \
  static void run(const LinearCrossEntropyForward<T>&, const ForwardPart<Arithmetic<T>>&, \
                  Range rows, Range classes, void* scratch) noexcept;
  ATJT_FLOATING_TYPES(ATJT_DECLARE)
#undef ATJT_DECLARE
};

// The table gradient's state of each item after one part of the rows.
template <class Real>
struct TableGradientPart {
  Real* grad_table;  // [classes, width]
  Real* grad_bias;   // [classes]
};

// Stores a sum over all rows in the caller's table.
template <class T>
ATJT_HD void store_table_gradient(const LinearCrossEntropyTableGradient<T>& p, int64_t item,
                                  int64_t d, double sum) {
  using Real = Arithmetic<T>;
  if (p.shift != nullptr) sum += double(p.shift[d]);
  const int64_t at = item * p.in.width + d;
  if (p.grad_in_arithmetic) {
    Real* const grad = static_cast<Real*>(p.grad_table) + at;
    *grad = Real(p.accumulate ? sum + double(*grad) : sum);
  } else {
    T* const grad = static_cast<T*>(p.grad_table) + at;
    narrow(Real(p.accumulate ? sum + double(widen(*grad)) : sum), grad);
  }
}

// Writes `part`; if it is null, because there is a single part, the caller's table.
template <Isa isa>
struct LinearCrossEntropyItems {
#define ATJT_DECLARE(T)                                                                  \
  static void run(const LinearCrossEntropyTableGradient<T>&,                             \
                  const TableGradientPart<Arithmetic<T>>* part, Range items, Range rows, \
                  void* scratch) noexcept;
  ATJT_FLOATING_TYPES(ATJT_DECLARE)
#undef ATJT_DECLARE
};

}  // namespace atjt::cpu
