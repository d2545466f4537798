// Scores of pairs and of whole tables (see common/cpu/isa.h).
//
// A pair's score has the same bits in both: one lane of a vector, multiply-adds in ascending order
// of d, in the blocks of gemm_tiles.h, then the bias. No scalar code takes part, since a compiler
// may or may not fuse a product and a sum there.
// SPDX-License-Identifier: Apache-2.0
#include "catalogue_scores/cpu/catalogue_scores_rows.h"

#include "common/cpu/gemm_tiles.h"

namespace atjt::cpu {
namespace {

template <class T>
bool in_range(const PairScoresParams<T>& p, int64_t pair) {
  return uint64_t(p.pair_rows[pair]) < uint64_t(p.in.rows) &&
         uint64_t(p.pair_classes[pair]) < uint64_t(p.in.classes);
}

// A vector's worth of pairs, or fewer.
template <class T, class Real = Arithmetic<T>>
void score_pairs(const PairScoresParams<T>& p, int64_t begin, int64_t count) {
  constexpr int kWidth = kVectorWidth<Real>;
  const auto& in = p.in;
  alignas(64) Real x[kWidth] = {}, w[kWidth] = {}, scores[kWidth];
  const T *rows[kWidth] = {}, *items[kWidth] = {};  // null: no such pair
  int64_t width = 0;
  for (int64_t i = 0; i < count; ++i) {
    if (!in_range(p, begin + i)) continue;
    width = in.width;
    rows[i] = in.hidden + p.pair_rows[begin + i] * in.width;
    items[i] = in.table + p.pair_classes[begin + i] * in.width;
  }
  Vector<Real> score = {};
  for (int64_t start = 0; start < width; start += kStreamTile) {
    const int64_t end = start + kStreamTile < width ? start + kStreamTile : width;
    Vector<Real> sum = {};
    for (int64_t d = start; d < end; ++d) {
      for (int64_t i = 0; i < count; ++i) {
        if (rows[i] == nullptr) continue;
        x[i] = widen(rows[i][d]);
        w[i] = widen(items[i][d]);
      }
      sum = multiply_add(load_vector(x), load_vector(w), sum);
    }
    score = start > 0 ? score + sum : sum;
  }
  store_vector(scores, score);
  for (int64_t i = 0; i < count; ++i) {
    const bool valid = rows[i] != nullptr;
    const Real bias = valid && in.bias != nullptr ? in.bias[p.pair_classes[begin + i]] : Real(0);
    p.scores[begin + i] = valid ? scores[i] + bias : Real(__builtin_nan(""));
  }
}

// The result of comparing two vectors: integers, -1 for true.
template <class Real>
using Count = decltype(Vector<Real>{} < Vector<Real>{});

template <int kVectors, class T>
void count_tile(const CountAtLeastParams<T>& p, int64_t* counts, Range rows, Range classes,
                const TileScratch<Arithmetic<T>>& scratch) {
  using Real = Arithmetic<T>;
  constexpr int kLanes = kVectors * kVectorWidth<Real>;
  const auto& in = p.in;
  const int64_t width = in.width;
  Vector<Real> thresholds[kVectors] = {};
  int64_t totals[kLanes] = {};
  for (int64_t i = 0; i < rows.size(); ++i)
    thresholds[i / kVectorWidth<Real>][i % kVectorWidth<Real>] = p.thresholds[rows.begin + i];
  pack_lanes<kLanes>(in.hidden + rows.begin * width, rows.size(), width, scratch.stay);
  for (int64_t start = classes.begin; start < classes.end; start += kStreamTile) {
    const int64_t left = classes.end - start, items = left < kStreamTile ? left : kStreamTile;
    const Real* const stream = read_stream(in.table + start * width, items * width, scratch.stream);
    products<kVectors>(stream, items, scratch.stay, width, scratch.products);
    // Explicit vectors, because GCC 12 unrolls the loop over v and leaves the inner loop scalar.
    Count<Real> below[kVectors] = {};  // minus the count
    for (int64_t v = 0; v < items; ++v) {
      const Vector<Real> bias = broadcast(in.bias != nullptr ? in.bias[start + v] : Real(0));
      ATJT_UNROLL
      for (int i = 0; i < kVectors; ++i) {
        const int64_t at = v * kLanes + i * kVectorWidth<Real>;
        below[i] += load_vector(scratch.products + at) + bias < thresholds[i];
      }
    }
    for (int i = 0; i < kLanes; ++i)
      totals[i] += items + below[i / kVectorWidth<Real>][i % kVectorWidth<Real>];
  }
  for (int64_t i = 0; i < rows.size(); ++i) counts[rows.begin + i] = totals[i];
}

}  // namespace

#define ATJT_DEFINE(T)                                                                            \
  template <>                                                                                     \
  void CatalogueScoresRows<Isa::ATJT_ISA>::pairs(const PairScoresParams<T>& p, int64_t begin,     \
                                                 int64_t end) noexcept {                          \
    constexpr int kWidth = kVectorWidth<Arithmetic<T>>;                                           \
    for (; begin < end; begin += kWidth)                                                          \
      score_pairs(p, begin, end - begin < kWidth ? end - begin : kWidth);                         \
  }                                                                                               \
  template <>                                                                                     \
  void CatalogueScoresRows<Isa::ATJT_ISA>::count(const CountAtLeastParams<T>& p, int64_t* counts, \
                                                 Range rows, Range classes,                       \
                                                 void* scratch) noexcept {                        \
    using Real = Arithmetic<T>;                                                                   \
    const TileScratch<Real> tile(scratch, p.in.width, IsaShape::lanes<Real>());                   \
    with_vectors<Real>(rows.size(), [&](auto vectors) {                                           \
      count_tile<decltype(vectors)::value>(p, counts, rows, classes, tile);                       \
    });                                                                                           \
  }
ATJT_FLOATING_TYPES(ATJT_DEFINE)

}  // namespace atjt::cpu
