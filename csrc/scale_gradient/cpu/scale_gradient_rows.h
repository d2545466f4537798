// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "common/cpu/isa.h"
#include "scale_gradient/scale_gradient.h"

namespace atjt::cpu {

// Elements [begin, end).
template <Isa isa>
struct GradientElements {
#define ATJT_DECLARE(T) \
  static void scale(const ScaleGradientParams<T>&, int64_t begin, int64_t end) noexcept;
  ATJT_FLOATING_TYPES(ATJT_DECLARE)
#undef ATJT_DECLARE
};

}  // namespace atjt::cpu
