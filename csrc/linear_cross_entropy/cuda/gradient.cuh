// Gradient of the table: a block holds items, the rows of hidden states stream. No block adds to
// another block's results; if the rows are split, a second kernel adds the splits in order.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "linear_cross_entropy/cuda/split.h"
#include "linear_cross_entropy/cuda/targets.cuh"

namespace atjt::cuda {

// The sums of each split; null for a single split, whose sums are the result.
struct GradientParts {
  float* sums;    // [splits, classes, width]
  float* totals;  // [splits, classes]
  int splits;
};

// Turns an item's sum over rows into the result.
template <class T>
struct GradientOutput {
  const LinearCrossEntropyTableGradient<T>& p;
  const TargetSums& targets;
  float unscale;

  __device__ __forceinline__ GradientOutput(const LinearCrossEntropyTableGradient<T>& p,
                                            const TargetSums& targets)
      : p(p), targets(targets), unscale(p.unscale != nullptr ? *p.unscale : 1.0f) {}

  // `hit`: the first row with this item as target; negative: none.
  __device__ __forceinline__ void store(int64_t item, int64_t hit, int column, float sum) const {
    const int64_t width = p.in.width, at = item * width + column;
    float value = sum * unscale;
    if (hit >= 0) value += targets.sums[hit * width + column];
    if (p.shift != nullptr) value += p.shift[column];
    if (p.grad_in_arithmetic) {
      float* const to = static_cast<float*>(p.grad_table) + at;
      *to = p.accumulate ? *to + value : value;
    } else {
      T* const to = static_cast<T*>(p.grad_table) + at;
      narrow_in_hardware<T>(p.accumulate ? widen_in_hardware(*to) + value : value, to);
    }
  }
  __device__ __forceinline__ void store_bias(int64_t item, int64_t hit, float total) const {
    p.grad_bias[item] = total * unscale + (hit >= 0 ? targets.totals[hit] : 0.0f);
  }
};

// The first counted row with the item as target; negative: none.
__device__ __forceinline__ int64_t find_hit(const int64_t* targets, int64_t first, int64_t end,
                                            int64_t item) {
  const int64_t row = first + lower_bound(targets + first, end - first, item);
  return row < end && targets[row] == item ? row : -1;
}

template <class Products, class T>
struct GradientPass {
  static constexpr bool kHasSums = true;
  static constexpr int kRows = 2 * Products::kRowFragments;  // of a lane
  using Scores = typename Products::Scores;
  using Sums = typename Products::Sums;

  const LinearCrossEntropyTableGradient<T>& p;
  float factor;
  Range items, rows;
  int first_hit, end_hit;  // rows with a target among the items
  Lane<Products> lane = {};
  float total[kRows];

  __device__ __forceinline__ bool wants_sums() const { return true; }

  __device__ __forceinline__ void load_side(float* side, int at) const {
    const int thread = forgotten(int(threadIdx.x));
    if (thread >= 2 * Products::kTileRows) return;
    const int row = at + thread % Products::kTileRows;
    const float* const from = thread < Products::kTileRows ? p.origins : p.factors;
    const bool valid = row < rows.count;
    copy_async<4>(side + thread, valid ? from + rows.first + row : from, valid);
  }

  __device__ __forceinline__ void begin(Scores& scores, const float*) const {
#pragma unroll
    for (int i = 0; i < kRows; ++i) {
      float bias = 0;  // read again for every tile to save registers
      if (p.in.bias != nullptr && lane.row(i) < items.count)
        bias = p.in.bias[items.first + lane.row(i)];
#pragma unroll
      for (int j = 0; j < Products::kTileFragments; ++j) {
        scores[i / 2][j][i % 2 * 2] = bias;
        scores[i / 2][j][i % 2 * 2 + 1] = bias;
      }
    }
  }

  // Excludes an item from rows with this target, and rows behind the end.
  __device__ __forceinline__ void exclude(Scores& scores, int at) const {
    const float excluded = excluded_score(factor);
#pragma unroll
    for (int j = 0; j < Products::kTileFragments; ++j) {
#pragma unroll
      for (int e = 0; e < 2; ++e) {
        const int row = at + lane.column(j) + e;
        const int hit = row < rows.count ? items.place_of(p.in.targets[rows.first + row]) : -1;
#pragma unroll
        for (int i = 0; i < kRows; ++i) {
          if (row >= rows.count || lane.row(i) == hit) scores[i / 2][j][i % 2 * 2 + e] = excluded;
        }
      }
    }
  }

  __device__ __forceinline__ void weigh(Scores& scores, Sums&, const float* side, int at) {
    const int end = at + Products::kTileRows;
    if (end > rows.count || (first_hit < end && end_hit > at)) exclude(scores, at);
#pragma unroll
    for (int j = 0; j < Products::kTileFragments; ++j) {
      float origins[2], factors[2];
      std::memcpy(origins, side + lane.column(j), sizeof origins);
      std::memcpy(factors, side + Products::kTileRows + lane.column(j), sizeof factors);
#pragma unroll
      for (int i = 0; i < kRows; ++i) {
#pragma unroll
        for (int e = 0; e < 2; ++e) {
          float& score = scores[i / 2][j][i % 2 * 2 + e];
          score = exp2_in_hardware(fmaf(score, factor, -kLog2E * origins[e])) * factors[e];
        }
      }
    }
    if (p.grad_bias == nullptr) return;
#pragma unroll
    for (int i = 0; i < kRows; ++i) {
      float share = 0;
#pragma unroll
      for (int j = 0; j < Products::kTileFragments; ++j)
        share += scores[i / 2][j][i % 2 * 2] + scores[i / 2][j][i % 2 * 2 + 1];
      total[i] += share;
    }
  }
};

template <class Products, class T>
__global__ void __launch_bounds__(Products::kThreads, Products::kWidth <= 64 ? 2 : 1)
    table_gradient_kernel(const LinearCrossEntropyTableGradient<T> p, const Rows<T> hidden,
                          const Rows<T> table, const TargetSums targets, const GradientParts parts,
                          float factor) {
  __shared__ int64_t hits[2];  // not in registers, which the loop needs
  const auto& in = p.in;
  const int64_t counted = rows_that_count(in);
  const int64_t item_blocks = ceil_of_quotient(in.classes, Products::kBlockRows);
  const int64_t split = int64_t(blockIdx.x) / item_blocks;
  const int64_t first_item = (int64_t(blockIdx.x) - split * item_blocks) * Products::kBlockRows;
  const Range items = {first_item, int(smaller(Products::kBlockRows, in.classes - first_item))};
  const int64_t first_hit = lower_bound(in.targets, counted, first_item);
  const int64_t end_hit = first_hit + lower_bound(in.targets + first_hit, counted - first_hit,
                                                  first_item + items.count);
  const int64_t per_split =
      ceil_of_quotient(ceil_of_quotient(counted, parts.splits), Products::kTileRows) *
      Products::kTileRows;
  const int64_t first_row = smaller(split * per_split, counted);
  const Range rows = {first_row, int(smaller(per_split, counted - first_row))};

  GradientPass<Products, T> pass = {
      p, factor, items, rows, rows.place_of(first_hit), rows.place_of(end_hit)};
  if (threadIdx.x == 0) {
    hits[0] = first_hit;
    hits[1] = end_hit;
  }
#pragma unroll
  for (int i = 0; i < pass.kRows; ++i) pass.total[i] = 0;
  typename Products::Sums sums = {};
  stream_tiles<Products>(pass, sums, table, items, hidden, rows);

  const GradientOutput<T> output(p, targets);
  const int lane = pass.lane.lane;
  for_each_row<Products>(sums, items.count, [&](int row, int i, int source, const float* values) {
    const int64_t item = first_item + row, part = split * in.classes + item;
    float total = pass.total[i];  // of four lanes
    total += __shfl_xor_sync(kFullWarp, total, 1);
    total += __shfl_xor_sync(kFullWarp, total, 2);
    total = __shfl_sync(kFullWarp, total, source);
    if (parts.splits > 1) {
      for (int d = lane; d < in.width; d += kWarpSize) parts.sums[part * in.width + d] = values[d];
      if (lane == 0) parts.totals[part] = total;
      return;
    }
    const int64_t hit = find_hit(in.targets, hits[0], hits[1], item);
    for (int d = lane; d < in.width; d += kWarpSize) output.store(item, hit, d, values[d]);
    if (p.grad_bias != nullptr && lane == 0) output.store_bias(item, hit, total);
  });
}

constexpr int kCombineThreads = 128;  // a warp for each item

template <class T>
__global__ void __launch_bounds__(kCombineThreads, 8)
    combine_gradient_kernel(const LinearCrossEntropyTableGradient<T> p, const TargetSums targets,
                            const GradientParts parts) {
  const auto& in = p.in;
  const int lane = int(threadIdx.x) % kWarpSize;
  const int64_t item =
      int64_t(blockIdx.x) * (kCombineThreads / kWarpSize) + int(threadIdx.x) / kWarpSize;
  if (item >= in.classes) return;
  const int64_t hit = find_hit(in.targets, 0, rows_that_count(in), item);
  const GradientOutput<T> output(p, targets);
  for (int d = lane; d < in.width; d += kWarpSize) {
    float sum = 0;
    for (int s = 0; s < parts.splits; ++s)
      sum += parts.sums[(s * in.classes + item) * in.width + d];
    output.store(item, hit, d, sum);
  }
  if (p.grad_bias == nullptr || lane != 0) return;
  float total = 0;
  for (int s = 0; s < parts.splits; ++s) total += parts.totals[s * in.classes + item];
  output.store_bias(item, hit, total);
}

}  // namespace atjt::cuda
