// Forward, second part: joins the splits of a row in order, and adds its target.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "linear_cross_entropy/cuda/forward.cuh"

namespace atjt::cuda {

constexpr int kFinishThreads = 128;  // a warp for each row
constexpr int kLaneColumns = int(kMaxWidth) / kWarpSize;

// The loss, from the other classes' sum relative to 2^reference and the target's logit above the
// reference (as a power of two). Of two equal forms, each keeps its digits where the other cancels
// or overflows.
__device__ __forceinline__ float loss_of(float others, float above) {
  if (above == INFINITY) return NAN;
  if (above >= 0) return log1pf(others * exp2f(-above));
  return logf(others + exp2f(above)) - above * kLn2;
}

template <class T>
__global__ void __launch_bounds__(kFinishThreads)
    finish_kernel(const LinearCrossEntropyForward<T> p, const PartialSums parts, float factor,
                  int block_rows, int tile_rows) {
  const auto& in = p.in;
  const int lane = int(threadIdx.x) % kWarpSize;
  const int64_t row =
      int64_t(blockIdx.x) * (kFinishThreads / kWarpSize) + int(threadIdx.x) / kWarpSize;
  if (row >= in.rows) return;
  const int64_t counted = rows_that_count(in);
  float* const mean = p.mean_embedding != nullptr ? p.mean_embedding + row * in.width : nullptr;
  if (row >= counted) {
    if (lane == 0) {
      p.losses[row] = 0;
      p.origins[row] = 0;
      p.sums[row] = 1;
    }
    for (int d = lane; mean != nullptr && d < in.width; d += kWarpSize) mean[d] = 0;
    return;
  }

  const auto split = ForwardSplit::of(in.rows, counted, in.classes, block_rows, tile_rows);
  const int64_t first_part = row;  // blocks lie one behind the other
  const int64_t to_next = split.row_blocks * block_rows;
  float reference = kNoReference;
  for (int64_t s = 0; s < split.splits; ++s)
    reference = fmaxf(reference, parts.references[first_part + s * to_next]);
  float others = 0;
  for (int64_t s = 0; s < split.splits; ++s) {
    const int64_t part = first_part + s * to_next;
    others += parts.totals[part] * exp2f(parts.references[part] - reference);
  }

  const int64_t target = in.targets[row];
  const bool valid = uint64_t(target) < uint64_t(in.classes);
  const T* const embedding = in.table + (valid ? target : 0) * in.width;
  float score = -INFINITY;  // of the target
  if (valid) {
    score = 0;
    for (int d = lane; d < in.width; d += kWarpSize)
      score = fmaf(widen_in_hardware(in.hidden[row * in.width + d]),
                   widen_in_hardware(embedding[d]), score);
    score = warp_sum(score) + (in.bias != nullptr ? in.bias[target] : 0.0f);
  }

  // The distance is rounded once, as for the other classes: a rounded logit may be off by more.
  const float highest = fmaxf(reference, score * factor);
  const float target_weight = valid ? exp2f(fmaf(score, factor, -highest)) : 0.0f;
  const float sum = others * exp2f(reference - highest) + target_weight;
  if (lane == 0) {
    const float origin = highest * kLn2;
    p.losses[row] = valid ? loss_of(others, fmaf(score, factor, -reference)) : NAN;
    p.origins[row] = origin;
    p.sums[row] = sum * exp2f(fmaf(-origin, kLog2E, highest));
  }
  if (mean == nullptr) return;

  float sums[kLaneColumns] = {};
  for (int64_t s = 0; s < split.splits; ++s) {
    const int64_t part = first_part + s * to_next;
    const float weight = exp2f(parts.references[part] - highest);
#pragma unroll
    for (int i = 0; i < kLaneColumns; ++i) {
      const int d = lane + i * kWarpSize;
      if (d < in.width) sums[i] = fmaf(weight, parts.sums[part * in.width + d], sums[i]);
    }
  }
#pragma unroll
  for (int i = 0; i < kLaneColumns; ++i) {
    const int d = lane + i * kWarpSize;
    if (d >= in.width) continue;
    if (valid) sums[i] = fmaf(target_weight, widen_in_hardware(embedding[d]), sums[i]);
    mean[d] = sums[i] / sum;
  }
}

}  // namespace atjt::cuda
