// reweighted_binary_cross_entropy on the GPU: a power-of-two group of lanes per row, so that a warp
// reads neighbouring elements for any length of rows. The gradient may overwrite the logits: a lane
// writes only elements that it alone has read before.
// SPDX-License-Identifier: Apache-2.0
#include "common/cuda/half.cuh"
#include "common/cuda/launch.cuh"
#include "common/exp.h"
#include "reweighted_binary_cross_entropy/reweighted_binary_cross_entropy.h"

namespace atjt::cuda {
namespace {

constexpr int kThreads = 256;
constexpr int kWarps = kThreads / kWarpSize;
template <class T>
constexpr int kBlocksPerSm = sizeof(T) == 8 ? 2 : 4;  // leaves enough registers
constexpr int kUnroll = 4;                            // elements a lane has under way at once
constexpr int64_t kMaxBlocks = (int64_t{1} << 31) - 1;

template <class T, class Target>
struct Element {
  using Real = Arithmetic<T>;
  Real logit, target;

  __device__ void load(const BinaryCrossEntropyParams<T, Target>& p, int64_t at) {
    logit = widen_in_hardware(p.logits[at]);
    target = Real(p.targets[at]);
  }
  // Writes the gradient and returns the loss.
  __device__ Real finish(const BinaryCrossEntropyParams<T, Target>& p, int64_t at,
                         Real scale) const {
    const Real z = exp_in_hardware(logit < 0 ? logit : -logit);
    const LossAndGradient<Real> element = binary_cross_entropy(logit, target, p.label_smoothing, z);
    if (p.grad_logits != nullptr) narrow_in_hardware(scale * element.gradient, p.grad_logits + at);
    return element.loss;
  }
};

// Rows no longer than a warp: `lanes` lanes each, kUnroll rows per lane.
template <class T, class Target>
__global__ void __launch_bounds__(kThreads, kBlocksPerSm<T>)
    short_rows_kernel(const BinaryCrossEntropyParams<T, Target> p, int lanes) {
  using Real = Arithmetic<T>;
  const int lane = int(threadIdx.x) % kWarpSize, column = lane % lanes, rows = kWarpSize / lanes;
  const int64_t warp = int64_t(blockIdx.x) * kWarps + threadIdx.x / kWarpSize;
  const int64_t warps = int64_t(gridDim.x) * kWarps;
  for (int64_t first = warp * rows * kUnroll; first < p.rows; first += warps * rows * kUnroll) {
    Element<T, Target> elements[kUnroll];
#pragma unroll
    for (int i = 0; i < kUnroll; ++i) {
      const int64_t row = first + i * rows + lane / lanes;
      if (row < p.rows && column < p.classes) elements[i].load(p, row * p.classes + column);
    }
#pragma unroll
    for (int i = 0; i < kUnroll; ++i) {
      const int64_t row = first + i * rows + lane / lanes;
      Real loss = 0;
      if (row < p.rows && column < p.classes) {
        const Real scale = p.grad_logits != nullptr ? p.row_scale[row] : Real(0);
        loss = elements[i].finish(p, row * p.classes + column, scale);
      }
      for (int offset = lanes / 2; offset > 0; offset /= 2)
        loss += __shfl_xor_sync(kFullWarp, loss, offset);
      if (row < p.rows && column == 0) p.losses[row] = loss;
    }
  }
}

// Longer rows: a warp each.
template <class T, class Target>
__global__ void __launch_bounds__(kThreads, kBlocksPerSm<T>)
    long_rows_kernel(const BinaryCrossEntropyParams<T, Target> p) {
  using Real = Arithmetic<T>;
  const int lane = int(threadIdx.x) % kWarpSize;
  const int64_t warp = int64_t(blockIdx.x) * kWarps + threadIdx.x / kWarpSize;
  for (int64_t row = warp; row < p.rows; row += int64_t(gridDim.x) * kWarps) {
    const Real scale = p.grad_logits != nullptr ? p.row_scale[row] : Real(0);
    const int64_t start = row * p.classes;
    Real loss = 0;
    for (int64_t column = lane; column < p.classes; column += kUnroll * kWarpSize) {
      Element<T, Target> elements[kUnroll];
#pragma unroll
      for (int i = 0; i < kUnroll; ++i)
        if (column + i * kWarpSize < p.classes) elements[i].load(p, start + column + i * kWarpSize);
      Real sum = 0;
#pragma unroll
      for (int i = 0; i < kUnroll; ++i)
        if (column + i * kWarpSize < p.classes)
          sum += elements[i].finish(p, start + column + i * kWarpSize, scale);
      loss += sum;
    }
    loss = warp_sum(loss);
    if (lane == 0) p.losses[row] = loss;
  }
}

}  // namespace

template <class T, class Target>
void reweighted_binary_cross_entropy(const BinaryCrossEntropyParams<T, Target>& p, int device,
                                     void* stream) {
  const auto grid = [&](int64_t rows_per_block) {
    return Grid{std::min((p.rows + rows_per_block - 1) / rows_per_block, kMaxBlocks), kThreads};
  };
  if (p.classes > kWarpSize)
    return launch("reweighted_binary_cross_entropy", long_rows_kernel<T, Target>, grid(kWarps),
                  device, stream, p);
  int lanes = 1;
  while (lanes < p.classes) lanes *= 2;
  launch("reweighted_binary_cross_entropy", short_rows_kernel<T, Target>,
         grid(kThreads / lanes * kUnroll), device, stream, p, lanes);
}

#define ATJT_INSTANTIATE(T)                                                                        \
  template void reweighted_binary_cross_entropy(const BinaryCrossEntropyParams<T, uint8_t>&, int,  \
                                                void*);                                            \
  template void reweighted_binary_cross_entropy(const BinaryCrossEntropyParams<T, Arithmetic<T>>&, \
                                                int, void*);
ATJT_FLOATING_TYPES(ATJT_INSTANTIATE)

}  // namespace atjt::cuda
