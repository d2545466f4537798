// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "common/cpu/isa.h"
#include "reweighted_binary_cross_entropy/reweighted_binary_cross_entropy.h"

namespace atjt::cpu {

// Rows [begin, end).
template <Isa isa>
struct BinaryCrossEntropyRows {
#define ATJT_DECLARE(T)                                                             \
  static void run(const BinaryCrossEntropyParams<T, uint8_t>&, int64_t begin,       \
                  int64_t end) noexcept;                                            \
  static void run(const BinaryCrossEntropyParams<T, Arithmetic<T>>&, int64_t begin, \
                  int64_t end) noexcept;
  ATJT_FLOATING_TYPES(ATJT_DECLARE)
#undef ATJT_DECLARE
};

}  // namespace atjt::cpu
