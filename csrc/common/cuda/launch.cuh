// Launches: the right device, a grid, a check of errors; and sums over warps and blocks.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cuda_runtime.h>

#include <algorithm>
#include <cstdint>
#include <limits>
#include <stdexcept>
#include <string>

namespace atjt::cuda {

constexpr unsigned kFullWarp = 0xFFFFFFFFu;
constexpr int kWarpSize = 32;

inline void check(cudaError_t error, const char* what) {
  if (error != cudaSuccess)
    throw std::runtime_error(std::string(what) + ": " + cudaGetErrorString(error));
}

// The static CUDA runtime has its own current device, which may differ from torch's.
class DeviceGuard {
 public:
  explicit DeviceGuard(int device) {
    check(cudaGetDevice(&previous_), "cudaGetDevice");
    changes_ = device != previous_;
    if (changes_) check(cudaSetDevice(device), "cudaSetDevice");
  }
  // Only if changed: cudaSetDevice gives an unused device a context, and memory for it.
  ~DeviceGuard() {
    if (changes_) cudaSetDevice(previous_);
  }
  DeviceGuard(const DeviceGuard&) = delete;
  DeviceGuard& operator=(const DeviceGuard&) = delete;

 private:
  int previous_ = 0;
  bool changes_ = false;
};

inline int multiprocessors(int device) {
  int count = 0;
  check(cudaDeviceGetAttribute(&count, cudaDevAttrMultiProcessorCount, device),
        "cudaDeviceGetAttribute");
  return count;
}

struct Grid {
  int64_t blocks;
  int threads;              // per block
  size_t shared_bytes = 0;  // dynamic, per block
};

template <class... Params, class... Args>
void launch(const char* name, void (*kernel)(Params...), const Grid& grid, int device, void* stream,
            const Args&... args) {
  if (grid.blocks == 0) return;  // an empty grid is a launch error
  if (grid.blocks < 0 || grid.blocks > std::numeric_limits<int32_t>::max())
    throw std::runtime_error(std::string(name) + ": " + std::to_string(grid.blocks) +
                             " blocks, more than a GPU can launch");
  const DeviceGuard guard(device);
  cudaLaunchConfig_t config = {};
  config.gridDim = dim3(unsigned(grid.blocks));
  config.blockDim = dim3(unsigned(grid.threads));
  config.dynamicSmemBytes = grid.shared_bytes;
  config.stream = static_cast<cudaStream_t>(stream);
  constexpr size_t kWithoutAsking = 48 << 10;
  if (grid.shared_bytes > kWithoutAsking)
    check(cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize,
                               int(grid.shared_bytes)),
          name);
  check(cudaLaunchKernelEx(&config, kernel, args...), name);
}

template <class T>
__device__ __forceinline__ T warp_sum(T value) {
  for (int offset = kWarpSize / 2; offset > 0; offset /= 2)
    value += __shfl_xor_sync(kFullWarp, value, offset);
  return value;
}

template <class T>
__device__ __forceinline__ T warp_max(T value) {
  for (int offset = kWarpSize / 2; offset > 0; offset /= 2) {
    const T other = __shfl_xor_sync(kFullWarp, value, offset);
    value = other > value ? other : value;
  }
  return value;
}

// Reduces over a block of whole warps, always in the same order; every thread gets the result.
// `shared` holds one T per warp and may be reused at once.
template <class T, class WarpReduce>
__device__ T block_reduce(T value, T neutral, T* shared, const WarpReduce& warp_reduce) {
  const int lane = threadIdx.x % kWarpSize, warp = threadIdx.x / kWarpSize;
  value = warp_reduce(value);
  if (lane == 0) shared[warp] = value;
  __syncthreads();
  value = warp_reduce(lane < int(blockDim.x) / kWarpSize ? shared[lane] : neutral);
  __syncthreads();  // all have read before the next call writes
  return value;
}

}  // namespace atjt::cuda
