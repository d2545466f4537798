// The gradient of the table for a tile of items (see common/cpu/isa.h): the forward pass with the
// roles swapped. Items stay in the lanes of vectors, rows stream.
//
// Products are summed in the order of the forward pass, so the logits match its origins.
// SPDX-License-Identifier: Apache-2.0
#include "common/cpu/gemm_tiles.h"
#include "common/exp.h"
#include "linear_cross_entropy/cpu/linear_cross_entropy_rows.h"

namespace atjt::cpu {
namespace {

// Turns products into the weights of rows: factor_n exp(s_nv - origin_n), or target_factor_n if v
// is the row's target.
template <int kLanes, class T, class Real>
void make_weights(Real* tile, const LinearCrossEntropyTableGradient<T>& p, Range rows,
                  Range items) {
  alignas(64) Real shifts[kLanes];
  const auto& in = p.in;
  for (int i = 0; i < kLanes; ++i)
    shifts[i] =
        in.bias != nullptr && i < items.size() ? in.scale * in.bias[items.begin + i] : Real(0);
  const double unscale = p.unscale != nullptr ? double(*p.unscale) : 1.0;
  const Real scale = in.scale;
  for (int64_t row = rows.begin; row < rows.end; ++row) {
    const Real origin = p.origins[row], factor = Real(unscale * double(p.factors[row]));
    Real* const s = tile + (row - rows.begin) * kLanes;
#pragma omp simd
    for (int i = 0; i < kLanes; ++i)
      s[i] = factor * exp_nonpositive((scale * s[i] + shifts[i]) - origin);
    const int64_t lane = in.targets[row] - items.begin;
    if (lane >= 0 && lane < items.size()) s[lane] = p.target_factors[row];
  }
}

template <int kLanes, class Real>
void add_rows(const Real* tile, int64_t rows, double* totals) {
  for (int64_t start = 0; start < rows; start += kSumBlock) {
    const int64_t end = start + kSumBlock < rows ? start + kSumBlock : rows;
    alignas(64) Real sums[kLanes] = {};
    for (int64_t row = start; row < end; ++row) {
#pragma omp simd
      for (int i = 0; i < kLanes; ++i) sums[i] += tile[row * kLanes + i];
    }
    for (int i = 0; i < kLanes; ++i) totals[i] += double(sums[i]);
  }
}

template <int kVectors, class T>
void run_tile(const LinearCrossEntropyTableGradient<T>& p,
              const TableGradientPart<Arithmetic<T>>* part, Range items, Range rows,
              const TileScratch<Arithmetic<T>>& scratch) {
  using Real = Arithmetic<T>;
  constexpr int kLanes = kVectors * kVectorWidth<Real>;
  const auto& in = p.in;
  const int64_t width = in.width;
  double bias_totals[kLanes] = {};
  for (int64_t i = 0; i < width * kLanes; ++i) scratch.totals[i] = 0;
  pack_lanes<kLanes>(in.table + items.begin * width, items.size(), width, scratch.stay);

  for (int64_t start = rows.begin; start < rows.end; start += kStreamTile) {
    const int64_t left = rows.end - start, count = left < kStreamTile ? left : kStreamTile;
    const Real* const stream =
        read_stream(in.hidden + start * width, count * width, scratch.stream);
    products<kVectors>(stream, count, scratch.stay, width, scratch.products);
    make_weights<kLanes>(scratch.products, p, {start, start + count}, items);
    if (p.grad_bias != nullptr) add_rows<kLanes>(scratch.products, count, bias_totals);
    accumulate<kVectors>(stream, count, scratch.products, width, scratch.totals);
  }

  for (int64_t i = 0; i < items.size(); ++i) {
    const int64_t item = items.begin + i;
    for (int64_t d = 0; d < width; ++d) {
      const double sum = scratch.totals[d * kLanes + i];
      if (part != nullptr)
        part->grad_table[item * width + d] = Real(sum);
      else
        store_table_gradient(p, item, d, sum);
    }
    if (p.grad_bias == nullptr) continue;
    (part != nullptr ? part->grad_bias : p.grad_bias)[item] = Real(bias_totals[i]);
  }
}

}  // namespace

#define ATJT_DEFINE(T)                                                                           \
  template <>                                                                                    \
  void LinearCrossEntropyItems<Isa::ATJT_ISA>::run(                                              \
      const LinearCrossEntropyTableGradient<T>& p, const TableGradientPart<Arithmetic<T>>* part, \
      Range items, Range rows, void* scratch) noexcept {                                         \
    using Real = Arithmetic<T>;                                                                  \
    const TileScratch<Real> tile(scratch, p.in.width, IsaShape::lanes<Real>());                  \
    with_vectors<Real>(items.size(), [&](auto vectors) {                                         \
      run_tile<decltype(vectors)::value>(p, part, items, rows, tile);                            \
    });                                                                                          \
  }
ATJT_FLOATING_TYPES(ATJT_DEFINE)

}  // namespace atjt::cpu
