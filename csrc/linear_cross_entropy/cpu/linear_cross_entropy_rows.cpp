// The forward pass of linear_cross_entropy for a tile of rows (see common/cpu/isa.h):
// FlashAttention with W as keys and as values. Rows stay in the lanes of vectors, items stream.
// SPDX-License-Identifier: Apache-2.0
#include "linear_cross_entropy/cpu/linear_cross_entropy_rows.h"

#include <cstring>

#include "common/cpu/gemm_tiles.h"
#include "common/exp.h"

namespace atjt::cpu {
namespace {

// The state of a tile's rows after the items so far.
template <class Real, int kLanes>
struct Rows {
  alignas(64) Real origins[kLanes];  // the largest logit; -inf if all were -inf
  alignas(64) double sums[kLanes];   // of exp(s_nv - origin_n)
  double* totals;                    // [width, lanes], of exp(s_nv - origin_n) W_v
};

// Turns products into logits: s = scale * product + scale * bias. `largest` gets their maxima.
template <int kLanes, class Real>
void make_logits(Real* tile, int64_t items, Real scale, const Real* bias, Real* largest) {
  alignas(64) Real maxima[kLanes];
  for (int i = 0; i < kLanes; ++i) maxima[i] = -Real(__builtin_inf());
  for (int64_t v = 0; v < items; ++v) {
    const Real shift = bias != nullptr ? scale * bias[v] : Real(0);
    Real* const s = tile + v * kLanes;
#pragma omp simd
    for (int i = 0; i < kLanes; ++i) {
      const Real logit = scale * s[i] + shift;
      s[i] = logit;
      maxima[i] = logit > maxima[i] ? logit : maxima[i];
    }
  }
  for (int i = 0; i < kLanes; ++i) largest[i] = maxima[i];
}

// Rescales the sums to the new origins where a larger logit came.
template <int kLanes, class Real>
void raise_origins(Rows<Real, kLanes>& rows, const Real* largest, int64_t width) {
  alignas(64) Real factors[kLanes];
  bool raised = false;
  for (int i = 0; i < kLanes; ++i) {
    const bool raises = largest[i] > rows.origins[i];
    factors[i] = raises ? exp_nonpositive(rows.origins[i] - largest[i]) : Real(1);
    rows.origins[i] = raises ? largest[i] : rows.origins[i];
    raised |= raises;
  }
  if (!raised) return;
  for (int i = 0; i < kLanes; ++i) rows.sums[i] *= double(factors[i]);
  for (int64_t d = 0; d < width; ++d) {
    double* const totals = rows.totals + d * kLanes;
#pragma omp simd
    for (int i = 0; i < kLanes; ++i) totals[i] *= double(factors[i]);
  }
}

// Turns logits into exp(s - origin) and adds them to the sums.
template <int kLanes, class Real>
void make_exponentials(Real* tile, int64_t items, Rows<Real, kLanes>& rows) {
  alignas(64) Real origins[kLanes], sums[kLanes];
  for (int i = 0; i < kLanes; ++i) {
    // Nothing but -inf so far: exp(-inf - 0) = 0 is right.
    const bool none = rows.origins[i] == -Real(__builtin_inf());
    origins[i] = none ? Real(0) : rows.origins[i];
  }
  for (int64_t start = 0; start < items; start += kSumBlock) {
    const int64_t end = start + kSumBlock < items ? start + kSumBlock : items;
    for (int i = 0; i < kLanes; ++i) sums[i] = 0;
    for (int64_t v = start; v < end; ++v) {
      Real* const s = tile + v * kLanes;
#pragma omp simd
      for (int i = 0; i < kLanes; ++i) {
        const Real value = exp_nonpositive(s[i] - origins[i]);
        s[i] = value;
        sums[i] += value;
      }
    }
    for (int i = 0; i < kLanes; ++i) rows.sums[i] += double(sums[i]);
  }
}

template <int kVectors, class T>
void run_tile(const LinearCrossEntropyForward<T>& p, const ForwardPart<Arithmetic<T>>& part,
              Range rows, Range classes, const TileScratch<Arithmetic<T>>& scratch) {
  using Real = Arithmetic<T>;
  constexpr int kLanes = kVectors * kVectorWidth<Real>;
  const auto& in = p.in;
  const int64_t width = in.width, summed_width = part.mean_embedding != nullptr ? width : 0;
  Rows<Real, kLanes> state;
  state.totals = scratch.totals;
  for (int i = 0; i < kLanes; ++i) {
    state.origins[i] = -Real(__builtin_inf());
    state.sums[i] = 0;
  }
  for (int64_t i = 0; i < summed_width * kLanes; ++i) state.totals[i] = 0;
  pack_lanes<kLanes>(in.hidden + rows.begin * width, rows.size(), width, scratch.stay);
  const bool keeps = p.kept.values != nullptr;
  const auto kept = kept_tile(p.kept, rows.begin, in.classes);

  for (int64_t start = classes.begin; start < classes.end; start += kStreamTile) {
    const int64_t left = classes.end - start, items = left < kStreamTile ? left : kStreamTile;
    const Real* const stream = read_stream(in.table + start * width, items * width, scratch.stream);
    Real* const tile = keeps ? kept.values + start * kLanes : scratch.products;
    products<kVectors>(stream, items, scratch.stay, width, tile);
    alignas(64) Real largest[kLanes];
    make_logits<kLanes>(tile, items, in.scale, in.bias != nullptr ? in.bias + start : nullptr,
                        largest);
    for (int64_t i = 0; i < rows.size(); ++i) {
      const int64_t row = rows.begin + i, item = in.targets[row] - start;
      if (item < 0 || item >= items) continue;
      // Left out of the sums: they would round 1 - p of a row with a confident target.
      part.target_logits[row] = tile[item * kLanes + i];
      tile[item * kLanes + i] = -Real(__builtin_inf());
    }
    raise_origins<kLanes>(state, largest, summed_width);
    make_exponentials<kLanes>(tile, items, state);
    if (keeps)
      std::memcpy(kept.origins + start / kStreamTile * kLanes, state.origins, sizeof state.origins);
    if (summed_width > 0) accumulate<kVectors>(stream, items, tile, width, state.totals);
  }

  // 0 * infinity is NaN in lanes without a row, too.
  for (int64_t v = classes.begin; keeps && v < classes.end; ++v)
    for (int64_t i = rows.size(); i < kLanes; ++i) kept.values[v * kLanes + i] = 0;
  for (int64_t i = 0; i < rows.size(); ++i) {
    const int64_t row = rows.begin + i;
    part.origins[row] = state.origins[i];
    part.sums[row] = Real(state.sums[i]);
    for (int64_t d = 0; d < summed_width; ++d)
      part.mean_embedding[row * width + d] = Real(state.totals[d * kLanes + i]);
  }
}

}  // namespace

#define ATJT_DEFINE(T)                                                                           \
  template <>                                                                                    \
  void LinearCrossEntropyRows<Isa::ATJT_ISA>::run(                                               \
      const LinearCrossEntropyForward<T>& p, const ForwardPart<Arithmetic<T>>& part, Range rows, \
      Range classes, void* scratch) noexcept {                                                   \
    using Real = Arithmetic<T>;                                                                  \
    const TileScratch<Real> tile(scratch, p.in.width, IsaShape::lanes<Real>());                  \
    with_vectors<Real>(rows.size(), [&](auto vectors) {                                          \
      run_tile<decltype(vectors)::value>(p, part, rows, classes, tile);                          \
    });                                                                                          \
  }
ATJT_FLOATING_TYPES(ATJT_DEFINE)

}  // namespace atjt::cpu
