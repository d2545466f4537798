// A gradient that the forward pass has written, times d(loss) / d(loss), known in the backward pass
// only and nearly always 1: then nothing is touched. On a GPU the factor is read there, as the host
// would have to wait for it.
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
