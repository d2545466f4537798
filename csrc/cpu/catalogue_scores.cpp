// SPDX-License-Identifier: Apache-2.0
#include "catalogue_scores.h"

#include "cpu/parallel.h"
#include "linear_cross_entropy_naive.h"

namespace atjt::cpu {

template <class T>
void pair_scores(const PairScoresParams<T>& p, int num_threads) {
  parallel_rows(p.pairs, p.in.width, num_threads, [&](int, int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) naive::score_pair(p, i);
  });
}

template <class T>
void count_at_least(const CountAtLeastParams<T>& p, int num_threads) {
  parallel_rows(p.in.rows, p.in.classes * p.in.width, num_threads,
                [&](int, int64_t begin, int64_t end) {
                  for (int64_t n = begin; n < end; ++n) naive::count_row(p, n);
                });
}

#define ATJT_INSTANTIATE(T)                                   \
  template void pair_scores(const PairScoresParams<T>&, int); \
  template void count_at_least(const CountAtLeastParams<T>&, int)
ATJT_INSTANTIATE(float);
ATJT_INSTANTIATE(double);
ATJT_INSTANTIATE(Float16);
ATJT_INSTANTIATE(BFloat16);

}  // namespace atjt::cpu
