// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "common/cpu/isa.h"
#include "scale_gradient/scale_gradient.h"

namespace atjt::cpu {

// Elements [begin, end).
template <Isa isa>
struct GradientElements {
  static void scale(const ScaleGradientParams<float>&, int64_t begin, int64_t end) noexcept;
  static void scale(const ScaleGradientParams<double>&, int64_t begin, int64_t end) noexcept;
  static void scale(const ScaleGradientParams<Float16>&, int64_t begin, int64_t end) noexcept;
  static void scale(const ScaleGradientParams<BFloat16>&, int64_t begin, int64_t end) noexcept;
};

}  // namespace atjt::cpu
