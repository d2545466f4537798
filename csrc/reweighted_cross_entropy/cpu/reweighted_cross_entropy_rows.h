// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "common/cpu/isa.h"
#include "reweighted_cross_entropy/reweighted_cross_entropy.h"

namespace atjt::cpu {

// Rows [begin, end); every target is in range or ignored.
template <Isa isa>
struct CrossEntropyRows {
  static void run(const CrossEntropyParams<float>&, int64_t begin, int64_t end) noexcept;
  static void run(const CrossEntropyParams<double>&, int64_t begin, int64_t end) noexcept;
  static void run(const CrossEntropyParams<Float16>&, int64_t begin, int64_t end) noexcept;
  static void run(const CrossEntropyParams<BFloat16>&, int64_t begin, int64_t end) noexcept;
};

}  // namespace atjt::cpu
