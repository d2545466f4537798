// The target's own term of the table's gradient, in float. Rows of one target are neighbours.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "linear_cross_entropy/cuda/logits.cuh"

namespace atjt::cuda {

// sum_n target_factor_n x_n and sum_n target_factor_n over the rows of one target, stored at the
// first of these rows.
struct TargetSums {
  float* sums;    // [rows, width]
  float* totals;  // [rows]
};

constexpr int kTargetThreads = 128;

template <class T>
__global__ void __launch_bounds__(kTargetThreads)
    target_kernel(const LinearCrossEntropyTableGradient<T> p, const TargetSums out) {
  constexpr int kWarps = kTargetThreads / kWarpSize, kColumns = int(kMaxWidth) / kWarpSize;
  __shared__ float parts[kWarps][kMaxWidth + 1];
  const auto& in = p.in;
  const int64_t first = int64_t(blockIdx.x), counted = rows_that_count(in);
  if (first >= counted) return;
  const int64_t target = in.targets[first];
  if (uint64_t(target) >= uint64_t(in.classes)) return;
  if (first > 0 && in.targets[first - 1] == target) return;
  const int64_t count = lower_bound(in.targets + first, counted - first, target + 1);

  const int lane = int(threadIdx.x) % kWarpSize, warp = int(threadIdx.x) / kWarpSize;
  const int64_t each = ceil_of_quotient(count, kWarps);
  const int64_t begin = smaller(warp * each, count), end = smaller(begin + each, count);
  float sums[kColumns] = {}, total = 0;
#pragma unroll 2
  for (int64_t n = first + begin; n < first + end; ++n) {
    const float factor = p.target_factors[n];
    total += factor;
#pragma unroll
    for (int i = 0; i < kColumns; ++i) {
      const int d = lane + i * kWarpSize;
      if (d < in.width)
        sums[i] = fmaf(factor, widen_in_hardware(in.hidden[n * in.width + d]), sums[i]);
    }
  }
#pragma unroll
  for (int i = 0; i < kColumns; ++i) parts[warp][lane + i * kWarpSize] = sums[i];
  if (lane == 0) parts[warp][kMaxWidth] = total;
  __syncthreads();
  for (int d = int(threadIdx.x); d <= kMaxWidth; d += kTargetThreads) {
    float sum = 0;
#pragma unroll
    for (int i = 0; i < kWarps; ++i) sum += parts[i][d];
    if (d < in.width) out.sums[first * in.width + d] = sum;
    if (d == kMaxWidth) out.totals[first] = sum;
  }
}

}  // namespace atjt::cuda
