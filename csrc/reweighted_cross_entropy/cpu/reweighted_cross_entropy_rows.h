// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "common/cpu/isa.h"
#include "reweighted_cross_entropy/reweighted_cross_entropy.h"

namespace atjt::cpu {

// Rows [begin, end); every target is in range or ignored.
template <Isa isa>
struct CrossEntropyRows {
#define ATJT_DECLARE(T) \
  static void run(const CrossEntropyParams<T>&, int64_t begin, int64_t end) noexcept;
  ATJT_FLOATING_TYPES(ATJT_DECLARE)
#undef ATJT_DECLARE
};

}  // namespace atjt::cpu
