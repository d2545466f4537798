// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "candidate_scores/candidate_scores.h"
#include "common/cpu/isa.h"

namespace atjt::cpu {

// Rows or chunks [begin, end); every candidate is in range or ignored.
template <Isa isa, class T>
struct CandidateScoresRows {
  static void scores(const CandidateScoresParams<T>&, int64_t begin, int64_t end) noexcept;
  static void hidden_gradient(const CandidateHiddenGradientParams<T>&, int64_t begin,
                              int64_t end) noexcept;
  // Run sum_chunks for all chunks, then join_parts.
  static void sum_chunks(const CandidateTableGradientParams<T>&, int64_t begin,
                         int64_t end) noexcept;
  static void join_parts(const CandidateTableGradientParams<T>&, int64_t begin,
                         int64_t end) noexcept;
};

}  // namespace atjt::cpu
