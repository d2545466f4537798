// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "common/cpu/isa.h"
#include "keyed_dropout/keyed_dropout.h"

namespace atjt::cpu {

// Rows [begin, end).
template <Isa isa>
struct KeyedDropoutRows {
#define ATJT_DECLARE(T) \
  static void run(const KeyedDropoutParams<T>&, int64_t begin, int64_t end) noexcept;
  ATJT_FLOATING_TYPES(ATJT_DECLARE)
#undef ATJT_DECLARE
};

}  // namespace atjt::cpu
