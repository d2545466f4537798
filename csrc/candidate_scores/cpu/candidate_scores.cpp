// SPDX-License-Identifier: Apache-2.0
#include "candidate_scores/candidate_scores.h"

#include <stdexcept>
#include <string>

#include "candidate_scores/cpu/candidate_scores_rows.h"
#include "common/cpu/isa.h"
#include "common/cpu/parallel.h"

namespace atjt::cpu {
namespace {

void check_candidates(const CandidatesShape& shape) {
  for (int64_t i = 0; i < shape.rows * shape.per_row; ++i) {
    const int64_t candidate = shape.candidates[i];
    if (candidate == shape.ignore_index || is_scored(shape, candidate)) continue;
    throw std::out_of_range("candidates must be in [0, " + std::to_string(shape.items) +
                            ") or ignore_index = " + std::to_string(shape.ignore_index) + ", got " +
                            std::to_string(candidate) + " in row " +
                            std::to_string(i / shape.per_row));
  }
}

template <class T>
void check_pairs(const CandidateTableGradientParams<T>& p) {
  for (int64_t i = 0; i < p.pairs; ++i) {
    if (!is_pair(p, p.order[i]))
      throw std::out_of_range("order must be in [0, " + std::to_string(p.all_pairs) + "), got " +
                              std::to_string(p.order[i]) + " at " + std::to_string(i));
    if (i > 0 && p.slots[i] < p.slots[i - 1])
      throw std::invalid_argument("slots must be ascending, got " + std::to_string(p.slots[i]) +
                                  " after " + std::to_string(p.slots[i - 1]) + " at " +
                                  std::to_string(i));
  }
}

}  // namespace

template <class T>
void candidate_scores(const CandidateScoresParams<T>& p, int num_threads) {
  check_candidates(p.shape);
  with_current_isa([&](auto isa) {
    using Rows = CandidateScoresRows<decltype(isa)::value, T>;
    parallel_rows(p.shape.rows, p.shape.per_row * p.shape.width, num_threads,
                  [&](int, int64_t begin, int64_t end) { Rows::scores(p, begin, end); });
  });
}

template <class T>
void candidate_hidden_gradient(const CandidateHiddenGradientParams<T>& p, int num_threads) {
  with_current_isa([&](auto isa) {
    using Rows = CandidateScoresRows<decltype(isa)::value, T>;
    parallel_rows(p.shape.rows, p.shape.per_row * p.shape.width, num_threads,
                  [&](int, int64_t begin, int64_t end) { Rows::hidden_gradient(p, begin, end); });
  });
}

template <class T>
void candidate_table_gradient(const CandidateTableGradientParams<T>& p, int num_threads) {
  check_pairs(p);
  const int64_t chunks = num_chunks(p.pairs);
  with_current_isa([&](auto isa) {
    using Rows = CandidateScoresRows<decltype(isa)::value, T>;
    parallel_rows(chunks, kPairsPerChunk * p.width, num_threads,
                  [&](int, int64_t begin, int64_t end) { Rows::sum_chunks(p, begin, end); });
    parallel_rows(chunks, p.width, num_threads,
                  [&](int, int64_t begin, int64_t end) { Rows::join_parts(p, begin, end); });
  });
}

#define ATJT_INSTANTIATE(T)                                                              \
  template void candidate_scores(const CandidateScoresParams<T>&, int);                  \
  template void candidate_hidden_gradient(const CandidateHiddenGradientParams<T>&, int); \
  template void candidate_table_gradient(const CandidateTableGradientParams<T>&, int);
ATJT_FLOATING_TYPES(ATJT_INSTANTIATE)

}  // namespace atjt::cpu
