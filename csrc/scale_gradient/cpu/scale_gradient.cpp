// SPDX-License-Identifier: Apache-2.0
#include "scale_gradient/scale_gradient.h"

#include "common/cpu/isa.h"
#include "common/cpu/parallel.h"
#include "scale_gradient/cpu/scale_gradient_rows.h"

namespace atjt::cpu {

template <class T>
void scale_gradient(const ScaleGradientParams<T>& p, int num_threads) {
  if (*p.factor == 1) return;
  with_current_isa([&](auto isa) {
    parallel_rows(p.size, 1, num_threads, [&](int, int64_t begin, int64_t end) {
      GradientElements<decltype(isa)::value>::scale(p, begin, end);
    });
  });
}

#define ATJT_INSTANTIATE(T) template void scale_gradient(const ScaleGradientParams<T>&, int);
ATJT_FLOATING_TYPES(ATJT_INSTANTIATE)

}  // namespace atjt::cpu
