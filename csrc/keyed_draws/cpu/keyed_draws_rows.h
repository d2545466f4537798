// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "common/cpu/isa.h"
#include "keyed_draws/keyed_draws.h"

namespace atjt::cpu {

// Rows [begin, end).
template <Isa isa>
struct KeyedDrawsRows {
  static void run(const KeyedDrawsParams& params, int64_t begin, int64_t end) noexcept;
};

}  // namespace atjt::cpu
