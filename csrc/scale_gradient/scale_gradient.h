// scale_gradient: multiplies a gradient, which the forward pass wrote, by the upstream gradient of
// the loss. The factor is nearly always 1; then the gradient is not touched. The GPU reads the
// factor from its memory: the host would have to wait for it.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

#include "common/half.h"

namespace atjt {

template <class T>
struct ScaleGradientParams {
  T* gradient;                  // [size]
  const Arithmetic<T>* factor;  // one number
  int64_t size;
};

namespace cpu {
template <class T>
void scale_gradient(const ScaleGradientParams<T>& params, int num_threads);
}  // namespace cpu

namespace cuda {
template <class T>
void scale_gradient(const ScaleGradientParams<T>& params, int device, void* stream);
}  // namespace cuda

}  // namespace atjt
