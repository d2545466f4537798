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

// The kept numbers of the tile that starts at this row.
template <class Real>
ATJT_HD KeptExponentials<Real> kept_tile(const KeptExponentials<Real>& all, int64_t row,
                                         int64_t classes) {
  if (all.values == nullptr) return all;
  // All tiles before are full, so that their lanes are rows.
  const int64_t stream_tiles = (classes + kStreamTile - 1) / kStreamTile;
  return {all.values + row * classes, all.origins + row * stream_tiles};
}

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

// Items of one tile of the table's sums: those whose exponentials share an origin per row.
constexpr int kSumItems = kStreamTile;

// The memory of one thread for a tile of the table's sums.
template <class Real>
struct TableSumsScratch {
  double* totals;  // [kSumItems, padded], blocks of columns one after the other
  Real* rows;      // [kStreamTile, padded], the same

  static constexpr int64_t padded(int64_t columns, int64_t vector) {
    return (columns + vector - 1) / vector * vector;
  }
  static constexpr int64_t bytes(int64_t padded) {
    return padded * (kSumItems * int64_t(sizeof(double)) + kStreamTile * int64_t(sizeof(Real)));
  }
  TableSumsScratch(void* memory, int64_t padded)
      : totals(static_cast<double*>(memory)),
        rows(reinterpret_cast<Real*>(totals + kSumItems * padded)) {}
};

template <Isa isa>
struct LinearCrossEntropySums {
#define ATJT_DECLARE(T) \
  static void run(const LinearCrossEntropyTableSums<T>&, Range items, void* scratch) noexcept;
  ATJT_FLOATING_TYPES(ATJT_DECLARE)
#undef ATJT_DECLARE
};

}  // namespace atjt::cpu
