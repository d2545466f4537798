// The sums of the table's gradient from the forward pass' exponentials, for a tile of items (see
// common/cpu/isa.h): one matrix product, exponentials^T [items, rows] . factors * hidden.
// SPDX-License-Identifier: Apache-2.0
#include "common/cpu/gemm_tiles.h"
#include "common/exp.h"
#include "linear_cross_entropy/cpu/linear_cross_entropy_rows.h"

namespace atjt::cpu {
namespace {

template <class Real>
constexpr int64_t kRowLanes = IsaShape::lanes<Real>();
// Whole tiles of rows that enter a sum of float before it continues in double.
template <class Real>
constexpr int64_t kRowGroup = kStreamTile / kRowLanes<Real> * kRowLanes<Real>;

// Calls f(constant number of vectors, first number) for blocks of at most kTileVectors vectors.
template <class Real, class F>
void each_tile(int64_t begin, int64_t end, const F& f) {
  for (; begin < end; begin += kRowLanes<Real>)
    with_vectors<Real>(end - begin, [&](auto vectors) { f(vectors, begin); });
}

// rows: for each block of columns, [rows of the group, lanes]: hidden states times the factor of
// their exponentials of these items. One more column, if wanted, holds the factor. Columns and rows
// beyond are 0.
template <class T>
void pack_rows(const LinearCrossEntropyTableSums<T>& p, Range group, int64_t first_item,
               int64_t columns, Arithmetic<T>* rows) {
  using Real = Arithmetic<T>;
  const int64_t width = p.in.width;
  each_tile<Real>(group.begin, group.end, [&](auto row_vectors, int64_t begin) {
    constexpr int64_t kRows = decltype(row_vectors)::value * kVectorWidth<Real>;
    const Real* const origins =
        kept_tile(p.kept, begin, p.in.classes).origins + first_item / kStreamTile * kRows;
    Real factors[kRows] = {};
    const int64_t count = group.end - begin < kRows ? group.end - begin : kRows;
    for (int64_t i = 0; i < count; ++i)
      if (p.factors[begin + i] != 0)  // else whatever the row's origin is
        factors[i] = p.factors[begin + i] * exp_nonpositive(origins[i] - p.origins[begin + i]);
    each_tile<Real>(0, columns, [&](auto vectors, int64_t column) {
      constexpr int64_t kLanes = decltype(vectors)::value * kVectorWidth<Real>;
      const int64_t left = width - column, used = left < kLanes ? left : kLanes;
      Real* const block = rows + column * kStreamTile + (begin - group.begin) * kLanes;
      for (int64_t i = 0; i < kRows; ++i) {
        Real* const to = block + i * kLanes;
        const T* const from = p.in.hidden + (begin + i) * width + column;
        if (i < count && used == kLanes) {  // a fixed length, which compilers unroll
          for (int64_t lane = 0; lane < kLanes; ++lane)
            to[lane] = factors[i] * Real(widen(from[lane]));
          continue;
        }
        for (int64_t lane = 0; lane < kLanes; ++lane)
          to[lane] = i < count && lane < used ? factors[i] * Real(widen(from[lane])) : Real(0);
        if (i < count && used < kLanes && left < columns - column) to[used] = factors[i];
      }
    });
  });
}

// totals[item] += the sum over a group of rows.
template <int kVectors, class T, class Real>
void add_group(const LinearCrossEntropyTableSums<T>& p, Range group, Range items, const Real* rows,
               double* totals) {
  constexpr int kLanes = kVectors * kVectorWidth<Real>;
  each_block_of<IsaShape::kBroadcasts>(0, items.size(), [&](auto constant, int64_t item) {
    constexpr int kItems = decltype(constant)::value;
    Vector<Real> sums[kItems][kVectors] = {};
    each_tile<Real>(group.begin, group.end, [&](auto row_vectors, int64_t begin) {
      constexpr int64_t kRows = decltype(row_vectors)::value * kVectorWidth<Real>;
      const Real* const exponentials =
          kept_tile(p.kept, begin, p.in.classes).values + (items.begin + item) * kRows;
      multiply_rows<kItems, kVectors, Real>(exponentials, kRows,
                                            rows + (begin - group.begin) * kLanes, kRows, sums);
    });
    add_to_totals<kItems, kVectors, Real>(sums, totals + item * kLanes);
  });
}

// The terms of targets, for which the forward pass kept 0: the caller knows p - 1 to more digits.
template <class T>
void add_targets(const LinearCrossEntropyTableSums<T>& p, Range items) {
  const int64_t width = p.in.width;
  for (int64_t row = 0; row < p.in.rows; ++row) {
    const int64_t item = p.in.targets[row];
    const double factor = double(p.target_factors[row]);
    if (item < items.begin || item >= items.end || factor == 0) continue;
    double* const sums = p.table_sums + item * width;
    for (int64_t d = 0; d < width; ++d)
      sums[d] += factor * double(widen(p.in.hidden[row * width + d]));
    if (p.bias_sums != nullptr) p.bias_sums[item] += factor;
  }
}

template <class T>
void run_tile(const LinearCrossEntropyTableSums<T>& p, Range items, void* memory) {
  using Real = Arithmetic<T>;
  const int64_t width = p.in.width, columns = width + (p.bias_sums != nullptr ? 1 : 0);
  const int64_t padded = TableSumsScratch<Real>::padded(columns, kVectorWidth<Real>);
  const TableSumsScratch<Real> scratch(memory, padded);
  for (int64_t i = 0; i < padded * kSumItems; ++i) scratch.totals[i] = 0;

  for (int64_t start = 0; start < p.in.rows; start += kRowGroup<Real>) {
    const int64_t left = p.in.rows - start;
    const Range group = {start, start + (left < kRowGroup<Real> ? left : kRowGroup<Real>)};
    pack_rows(p, group, items.begin, columns, scratch.rows);
    each_tile<Real>(0, columns, [&](auto vectors, int64_t column) {
      add_group<decltype(vectors)::value>(p, group, items, scratch.rows + column * kStreamTile,
                                          scratch.totals + column * kSumItems);
    });
  }

  each_tile<Real>(0, columns, [&](auto vectors, int64_t column) {
    constexpr int64_t kLanes = decltype(vectors)::value * kVectorWidth<Real>;
    const int64_t left = width - column, used = left < kLanes ? left : kLanes;
    const double* const totals = scratch.totals + column * kSumItems;
    for (int64_t i = 0; i < items.size(); ++i) {
      double* const sums = p.table_sums + (items.begin + i) * width + column;
      for (int64_t lane = 0; lane < used; ++lane) sums[lane] += totals[i * kLanes + lane];
      if (used < kLanes && left < columns - column)
        p.bias_sums[items.begin + i] += totals[i * kLanes + used];
    }
  });
  add_targets(p, items);
}

}  // namespace

#define ATJT_DEFINE(T)                                                                     \
  template <>                                                                              \
  void LinearCrossEntropySums<Isa::ATJT_ISA>::run(const LinearCrossEntropyTableSums<T>& p, \
                                                  Range items, void* scratch) noexcept {   \
    run_tile(p, items, scratch);                                                           \
  }
ATJT_FLOATING_TYPES(ATJT_DEFINE)

}  // namespace atjt::cpu
