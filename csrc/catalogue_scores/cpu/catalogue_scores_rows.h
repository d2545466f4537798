// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "catalogue_scores/catalogue_scores.h"
#include "common/cpu/isa.h"
#include "common/cpu/tiles.h"

namespace atjt::cpu {

template <Isa isa>
struct CatalogueScoresRows {
// `counts` [rows] counts a part of the classes.
#define ATJT_DECLARE(T)                                                                       \
  static void pairs(const PairScoresParams<T>&, int64_t begin, int64_t end) noexcept;         \
  static void count(const CountAtLeastParams<T>&, int64_t* counts, Range rows, Range classes, \
                    void* scratch) noexcept;
  ATJT_FLOATING_TYPES(ATJT_DECLARE)
#undef ATJT_DECLARE
};

}  // namespace atjt::cpu
