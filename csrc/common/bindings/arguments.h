// Checks of arguments that ops share.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <pybind11/stl.h>

#ifdef _OPENMP
#include <omp.h>
#endif

#include <algorithm>
#include <cstdint>
#include <limits>
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
  if (value >= first && value <= last) return;
  const std::string wanted =
      last == std::numeric_limits<int64_t>::max()
          ? "at least " + std::to_string(first)
          : "in [" + std::to_string(first) + ", " + std::to_string(last) + "]";
  throw py::value_error(std::string(name) + " must be " + wanted + ", got " +
                        std::to_string(value));
}

inline void require_share(const char* name, double value) {
  if (!(value >= 0 && value <= 1))  // NaN too
    throw py::value_error(std::string(name) + " must be in [0, 1], got " + std::to_string(value));
}

// The number of threads to start: the system may be unable to start many more than it has
// processors, and OpenMP then ends the process.
inline int threads_to_start(int64_t num_threads) {
  require_range("num_threads", num_threads, 1, std::numeric_limits<int64_t>::max());
  constexpr int kAlwaysPossible = 64;
#ifdef _OPENMP
  static const int most = std::max(omp_get_num_procs(), kAlwaysPossible);
#else
  constexpr int most = kAlwaysPossible;
#endif
  return int(std::min<int64_t>(num_threads, most));
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

// Runs an op on the tensor's device, without the GIL: cuda(device, stream) or cpu(threads). `cuda`
// must take its device as `auto`, so that a build without CUDA does not compile its body. All other
// arguments' data() must have been beside the tensor. Without an element to write nothing runs.
template <class Cuda, class Cpu>
void run_beside(const char* name, const TensorArg& tensor, int64_t num_threads, const Cuda& cuda,
                const Cpu& cpu) {
  const int threads = threads_to_start(num_threads);
  tensor.memory().refuse_overlaps();
  const bool gpu = on_cuda(name, tensor);
  if (!tensor.memory().has_outputs()) return;
  if (!gpu) {
    const py::gil_scoped_release release;
    return cpu(threads);
  }
  if constexpr (ATJT_HAVE_CUDA) {
    void* const stream = tensor.stream();
    const py::gil_scoped_release release;
    cuda(tensor.device().device_id, stream);
  }
}

}  // namespace atjt
