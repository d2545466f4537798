// SPDX-License-Identifier: Apache-2.0
#include "catalogue_scores/catalogue_scores.h"

#include <vector>

#include "catalogue_scores/cpu/catalogue_scores_rows.h"
#include "common/cpu/parallel.h"
#include "common/cpu/tile_units.h"

namespace atjt::cpu {

template <class T>
void pair_scores(const PairScoresParams<T>& p, int num_threads) {
  with_current_isa([&](auto isa) {
    parallel_rows(p.pairs, p.in.width, num_threads, [&](int, int64_t begin, int64_t end) {
      CatalogueScoresRows<decltype(isa)::value>::pairs(p, begin, end);
    });
  });
}

template <class T>
void count_at_least(const CountAtLeastParams<T>& p, int num_threads) {
  using Real = Arithmetic<T>;
  const int64_t rows = p.in.rows;
  with_current_isa([&](auto isa) {
    constexpr Isa kIsa = decltype(isa)::value;
    const TileUnits units(rows, p.in.classes, TileShape<kIsa>::template lanes<Real>());
    std::vector<int64_t> counts(size_t(units.parts() * rows));
    units.run<Real>(
        p.in.width, num_threads, [&](int64_t part, Range tile, Range stream, void* scratch) {
          CatalogueScoresRows<kIsa>::count(p, counts.data() + part * rows, tile, stream, scratch);
        });
    for (int64_t row = 0; row < rows; ++row) {
      p.counts[row] = 0;
      for (int64_t part = 0; part < units.parts(); ++part)
        p.counts[row] += counts[size_t(part * rows + row)];
    }
  });
}

#define ATJT_INSTANTIATE(T)                                   \
  template void pair_scores(const PairScoresParams<T>&, int); \
  template void count_at_least(const CountAtLeastParams<T>&, int);
ATJT_FLOATING_TYPES(ATJT_INSTANTIATE)

}  // namespace atjt::cpu
