// Checks of arguments that ops share.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <pybind11/stl.h>

#include <cstdint>
#include <optional>
#include <stdexcept>
#include <string>

#include "common/bindings/tensor_arg.h"

// The memory that CUDA kernels read. The block emulator defines it as the CPU's.
#ifndef ATJT_CUDA_MEMORY
#define ATJT_CUDA_MEMORY kDLCUDA
#endif

namespace atjt {

using OptionalTensorArg = std::optional<TensorArg>;

inline void require_rank(const char* name, const TensorArg& tensor, size_t rank) {
  if (tensor.shape().size() != rank)
    throw py::value_error(std::string(name) + " must have " + std::to_string(rank) +
                          " dimensions, got shape " + name_of(tensor.shape()));
}

inline void require_range(const char* name, int64_t value, int64_t first, int64_t last) {
  if (value < first || value > last)
    throw py::value_error(std::string(name) + " must be in [" + std::to_string(first) + ", " +
                          std::to_string(last) + "], got " + std::to_string(value));
}

// The address of a number in the memory of `beside`; null if there is none.
inline const int64_t* scalar(const char* name, const OptionalTensorArg& tensor,
                             const TensorArg& beside) {
  return tensor ? tensor->data<const int64_t>(name, kInt64, {}, beside) : nullptr;
}

// True for CUDA, false for the CPU. All other tensors of the op must be on the same device.
inline bool on_cuda(const char* name, const TensorArg& tensor) {
  const DLDeviceType type = tensor.device().device_type;
  if (type == ATJT_CUDA_MEMORY) {
    if (ATJT_HAVE_CUDA) return true;
    throw std::runtime_error(
        std::string(name) + " is on " + name_of(tensor.device()) +
        ", but atjt_ext was built without CUDA kernels; with nvcc installed, rebuild it: "
        "pip install . -C cmake.define.ATJT_CUDA=ON");
  }
  if (type == kDLCPU) return false;
  throw py::value_error(std::string(name) + " must be on cpu or cuda, got " +
                        name_of(tensor.device()));
}

// Runs an op on the tensor's device, without the GIL: cuda(device, stream) or cpu(). `cuda` must
// take its device as `auto`, so that a build without CUDA does not compile its body.
template <class Cuda, class Cpu>
void run_beside(const char* name, const TensorArg& tensor, const Cuda& cuda, const Cpu& cpu) {
  if (!on_cuda(name, tensor)) {
    const py::gil_scoped_release release;
    return cpu();
  }
  if constexpr (ATJT_HAVE_CUDA) {
    void* const stream = tensor.stream();
    const py::gil_scoped_release release;
    cuda(tensor.device().device_id, stream);
  }
}

}  // namespace atjt
