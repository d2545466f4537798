// SPDX-License-Identifier: Apache-2.0
#include "scale_gradient/cpu/scale_gradient_rows.h"

namespace atjt::cpu {
namespace {

template <class T>
void scale_elements(const ScaleGradientParams<T>& p, int64_t begin, int64_t end) {
  T* const gradient = p.gradient;
  const Arithmetic<T> factor = *p.factor;
#pragma omp simd
  for (int64_t i = begin; i < end; ++i) narrow(widen(gradient[i]) * factor, &gradient[i]);
}

}  // namespace

#define ATJT_DEFINE(T)                                                                        \
  template <>                                                                                 \
  void GradientElements<Isa::ATJT_ISA>::scale(const ScaleGradientParams<T>& p, int64_t begin, \
                                              int64_t end) noexcept {                         \
    scale_elements(p, begin, end);                                                            \
  }
ATJT_FLOATING_TYPES(ATJT_DEFINE)

}  // namespace atjt::cpu
