// reweighted_cross_entropy on the GPU: one block per row, the passes of the CPU rows.
//
// A row is read once per pass: from HBM first, then, as long as the rows in flight fit, from L2.
// SPDX-License-Identifier: Apache-2.0
#include <cuda_bf16.h>
#include <cuda_fp16.h>

#include "cuda/launch.cuh"
#include "reweighted_cross_entropy.h"

namespace atjt::cuda {
namespace {

constexpr int kThreads = 256;
constexpr int kWarps = kThreads / kWarpSize;
constexpr int kBlocksPerSm = 3;  // leaves registers enough that nothing spills
constexpr int64_t kMaxBlocks = (int64_t{1} << 31) - 1;  // the limit of gridDim.x

__device__ float load(float x) { return x; }
__device__ double load(double x) { return x; }
__device__ float load(Float16 x) { return __half2float(__ushort_as_half(x.bits)); }
__device__ float load(BFloat16 x) { return __bfloat162float(__ushort_as_bfloat16(x.bits)); }

__device__ void store(float* to, float x) { *to = x; }
__device__ void store(double* to, double x) { *to = x; }
__device__ void store(Float16* to, float x) { to->bits = __half_as_ushort(__float2half_rn(x)); }
__device__ void store(BFloat16* to, float x) {
  to->bits = __bfloat16_as_ushort(__float2bfloat16_rn(x));
}

// grad[v] = scale * (exp(x[v] - maximum - log_sum) - [v == target]), written by the whole block.
// Not of maximum + log_sum: beside a large maximum, that sum is rounded to nothing better than it.
template <class T, class Real>
__device__ void write_gradient(T* grad, const T* x, int64_t classes, Real maximum, Real log_sum,
                               Real scale, int64_t target) {
  for (int64_t v = threadIdx.x; v < classes; v += kThreads) {
    const Real probability = exp_nonpositive((load(x[v]) - maximum) - log_sum);
    store(grad + v, scale * (probability - Real(v == target)));
  }
}

template <class T, class Real>
__device__ void fill_row(T* grad, int64_t classes, Real value) {
  for (int64_t v = threadIdx.x; v < classes; v += kThreads) store(grad + v, value);
}

template <class T>
__global__ void __launch_bounds__(kThreads, kBlocksPerSm)
    forward_kernel(const CrossEntropyParams<T> p) {
  using Real = Arithmetic<T>;
  __shared__ Real shared[kWarps];
  for (int64_t row = blockIdx.x; row < p.rows; row += gridDim.x) {
    const T* const x = p.logits + row * p.classes;
    T* const grad = p.grad_logits != nullptr ? p.grad_logits + row * p.classes : nullptr;
    const int64_t target = p.targets[row];
    if (target == p.ignore_index || !target_in_range(p, target)) {
      const Real value = target == p.ignore_index ? Real(0) : Real(NAN);
      if (threadIdx.x == 0) p.losses[row] = p.lse[row] = value;
      if (grad != nullptr) fill_row(grad, p.classes, value);
      continue;
    }
    Real maximum = -INFINITY;
    for (int64_t v = threadIdx.x; v < p.classes; v += kThreads) {
      const Real logit = load(x[v]);
      maximum = logit > maximum ? logit : maximum;
    }
    maximum = block_reduce(maximum, Real(-INFINITY), shared, [](Real v) { return warp_max(v); });
    Real sum = 0;
    for (int64_t v = threadIdx.x; v < p.classes; v += kThreads)
      sum += exp_nonpositive(load(x[v]) - maximum);
    sum = block_reduce(sum, Real(0), shared, [](Real v) { return warp_sum(v); });

    const Real log_sum = log(sum);
    if (threadIdx.x == 0) {
      p.losses[row] = loss_of_row(maximum, log_sum, Real(load(x[target])));
      p.lse[row] = maximum + log_sum;
    }
    if (grad != nullptr)
      write_gradient(grad, x, p.classes, maximum, log_sum, p.row_scale[row], target);
  }
}

}  // namespace

template <class T>
void cross_entropy_forward(const CrossEntropyParams<T>& p, int device, void* stream) {
  launch("cross_entropy_forward", forward_kernel<T>, {std::min(p.rows, kMaxBlocks), kThreads},
         device, stream, p);
}

template void cross_entropy_forward(const CrossEntropyParams<float>&, int, void*);
template void cross_entropy_forward(const CrossEntropyParams<double>&, int, void*);
template void cross_entropy_forward(const CrossEntropyParams<Float16>&, int, void*);
template void cross_entropy_forward(const CrossEntropyParams<BFloat16>&, int, void*);

}  // namespace atjt::cuda
