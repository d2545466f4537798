// One switch over the floating-point types that ops are compiled for.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

#include "common/bindings/tensor_arg.h"
#include "common/half.h"

namespace atjt {

template <class T>
struct TypeOf {
  using type = T;
};

// Calls f(TypeOf<T>{}, dtype, dtype of Arithmetic<T>) for the tensor's element type T.
template <class F>
void with_floating(const char* name, const TensorArg& tensor, const F& f) {
  const DLDataType dtype = tensor.dtype();
  if (dtype == kFloat32) return f(TypeOf<float>{}, dtype, kFloat32);
  if (dtype == kFloat64) return f(TypeOf<double>{}, dtype, kFloat64);
  if (dtype == kFloat16) return f(TypeOf<Float16>{}, dtype, kFloat32);
  if (dtype == kBFloat16) return f(TypeOf<BFloat16>{}, dtype, kFloat32);
  throw py::value_error(std::string(name) + " must be float32, float64, float16 or bfloat16, got " +
                        name_of(dtype));
}

}  // namespace atjt
