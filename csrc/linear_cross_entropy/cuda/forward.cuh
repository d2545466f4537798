// Forward: a block holds rows of hidden states, the catalogue streams. A block writes the sums of
// its rows to the workspace; finish.cuh joins the splits.
//
// The target of a row is left out here; finish.cuh adds it in float. So a row with a confident
// target keeps the digits of 1 - p, in its loss and in its mean embedding.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "linear_cross_entropy/cuda/logits.cuh"
#include "linear_cross_entropy/cuda/split.h"

namespace atjt::cuda {

// For each slot's rows: sum_v 2^(logit - reference) W_v, the sum without W_v, and the reference.
struct PartialSums {
  float* sums;  // [slots * block rows, width]; null: not wanted
  float *totals, *references;

  PartialSums(void* workspace, int64_t rows, bool with_sums)
      : sums(with_sums ? static_cast<float*>(workspace) + 2 * rows : nullptr),
        totals(static_cast<float*>(workspace)),
        references(totals + rows) {}
};

constexpr float kNoReference = -1e30f;  // below every logit, and finite: -inf - -inf is NaN

// The range of the weights 2^(logit - reference): if a logit exceeds the reference by kLimit, the
// reference becomes that logit less kLevel. Float16 has few small numbers, so weights must fill its
// range; for other types the distance only makes it rare that sums are rescaled.
template <class T>
constexpr float kLevel = std::is_same_v<T, Float16> ? 14.0f : 0.0f;
template <class T>
constexpr float kLimit = std::is_same_v<T, Float16> ? 15.0f : 8.0f;

template <class Products, class T>
struct ForwardPass {
  static constexpr bool kHasSums = true;
  static constexpr int kRows = 2 * Products::kRowFragments;  // of a lane
  using Scores = typename Products::Scores;
  using Sums = typename Products::Sums;

  const LinearCrossEntropyInputs<T>& in;
  const PartialSums& out;
  float factor;
  Range rows;                             // of the block
  Range classes;                          // of the run
  int first_target = 0, last_target = 0;  // of the block's rows, as places among the classes
  Lane<Products> lane = {};
  float reference[kRows], total[kRows];

  // The place of a row's sums.
  __device__ __forceinline__ int64_t slot(int row) const {
    return int64_t(blockIdx.x) * Products::kBlockRows + row;
  }
  __device__ __forceinline__ bool wants_sums() const { return out.sums != nullptr; }

  __device__ __forceinline__ void load_side(float* side, int at) const {
    const int i = at + int(threadIdx.x);
    if (in.bias == nullptr || int(threadIdx.x) >= Products::kTileRows) return;
    const bool valid = i < classes.count;
    copy_async<4>(side + threadIdx.x, valid ? in.bias + classes.first + i : in.bias, valid);
  }

  __device__ __forceinline__ void begin(Scores& scores, const float* side) const {
#pragma unroll
    for (int j = 0; j < Products::kTileFragments; ++j) {
#pragma unroll
      for (int e = 0; e < 2; ++e) {
        const float bias = in.bias != nullptr ? side[lane.column(j) + e] : 0.0f;
#pragma unroll
        for (int i = 0; i < kRows; ++i) scores[i / 2][j][i % 2 * 2 + e] = bias;
      }
    }
  }

  // Excludes targets, and columns behind the end.
  __device__ __forceinline__ void exclude(Scores& scores, int at) const {
    const float excluded = excluded_score(factor);
#pragma unroll
    for (int i = 0; i < kRows; ++i) {
      const int target =
          lane.row(i) < rows.count ? classes.place_of(in.targets[rows.first + lane.row(i)]) : -1;
#pragma unroll
      for (int j = 0; j < Products::kTileFragments; ++j) {
#pragma unroll
        for (int e = 0; e < 2; ++e) {
          const int column = at + lane.column(j) + e;
          if (column >= classes.count || column == target)
            scores[i / 2][j][i % 2 * 2 + e] = excluded;
        }
      }
    }
  }

  __device__ __forceinline__ void weigh(Scores& scores, Sums& sums, const float*, int at) {
    const int end = at + Products::kTileRows;
    if (end > classes.count || (first_target < end && last_target >= at)) exclude(scores, at);

    float highest[kRows];
    bool exceeds = false;
#pragma unroll
    for (int i = 0; i < kRows; ++i) {
      highest[i] = -INFINITY;
#pragma unroll
      for (int j = 0; j < Products::kTileFragments; ++j) {
#pragma unroll
        for (int e = 0; e < 2; ++e)
          highest[i] = fmaxf(highest[i], scores[i / 2][j][i % 2 * 2 + e] * factor);
      }
      exceeds = exceeds || highest[i] > reference[i] + kLimit<T>;
    }
    if (__any_sync(kFullWarp, exceeds)) raise_references(highest, sums);

#pragma unroll
    for (int i = 0; i < kRows; ++i) {
      float share = 0;
#pragma unroll
      for (int j = 0; j < Products::kTileFragments; ++j) {
#pragma unroll
        for (int e = 0; e < 2; ++e) {
          float& score = scores[i / 2][j][i % 2 * 2 + e];
          score = exp2_in_hardware(fmaf(score, factor, -reference[i]));
          share += score;
        }
      }
      total[i] += share;
    }
  }

  __device__ __forceinline__ void raise_references(float (&highest)[kRows], Sums& sums) {
#pragma unroll
    for (int i = 0; i < kRows; ++i) {
      // Four lanes share a row.
      highest[i] = fmaxf(highest[i], __shfl_xor_sync(kFullWarp, highest[i], 1));
      highest[i] = fmaxf(highest[i], __shfl_xor_sync(kFullWarp, highest[i], 2));
      if (!(highest[i] > reference[i] + kLimit<T>)) continue;
      const float raised = highest[i] - kLevel<T>;
      const float ratio = exp2_in_hardware(reference[i] - raised);
      reference[i] = raised;
      total[i] *= ratio;
#pragma unroll
      for (int q = 0; q < Products::kColumnFragments; ++q) {
#pragma unroll
        for (int e = 0; e < 2; ++e) sums[i / 2][q][i % 2 * 2 + e] *= ratio;
      }
    }
  }

  // Adds a run's sums to those of earlier runs, which are relative to out.references.
  __device__ __forceinline__ void store_sums(const Sums& sums, bool first_run) const {
    for_each_row<Products>(sums, rows.count, [&](int row, int i, int source, const float* values) {
      const float now = __shfl_sync(kFullWarp, reference[i], source);
      float* const before = out.references + slot(row);
      const float ratio = first_run ? 0.0f : exp2_in_hardware(*before - now);
      __syncwarp();  // all have read
      if (lane.lane == 0) *before = now;
      if (!wants_sums()) return;
      float* const to = out.sums + slot(row) * in.width;
      for (int d = lane.lane; d < in.width; d += kWarpSize)
        to[d] = first_run ? values[d] : fmaf(to[d], ratio, values[d]);
    });
    __syncthreads();  // shared memory may be used again
  }

  __device__ __forceinline__ void store_totals() const {
#pragma unroll
    for (int i = 0; i < kRows; ++i) {
      float sum = total[i];
      sum += __shfl_xor_sync(kFullWarp, sum, 1);
      sum += __shfl_xor_sync(kFullWarp, sum, 2);
      if (lane.column(0) == 0 && lane.row(i) < rows.count) out.totals[slot(lane.row(i))] = sum;
    }
  }
};

template <class Products, class T>
__global__ void __launch_bounds__(Products::kThreads, Products::kWidth <= 64 ? 2 : 1)
    forward_kernel(const LinearCrossEntropyInputs<T> in, const Rows<T> hidden, const Rows<T> table,
                   const PartialSums out, float factor) {
  const int64_t counted = rows_that_count(in);
  const auto split =
      ForwardSplit::of(in.rows, counted, in.classes, Products::kBlockRows, Products::kTileRows);
  const int64_t index = int64_t(blockIdx.x) / split.row_blocks;
  const int64_t first_row = (int64_t(blockIdx.x) - index * split.row_blocks) * Products::kBlockRows;
  if (index >= split.splits || first_row >= counted) return;

  const Range rows = {first_row, int(smaller(Products::kBlockRows, counted - first_row))};
  ForwardPass<Products, T> pass = {in, out, factor, rows, {}};
#pragma unroll
  for (int i = 0; i < pass.kRows; ++i) {
    pass.reference[i] = kNoReference;
    pass.total[i] = 0;
  }
  constexpr int64_t kRun = int64_t{Products::kTilesPerRun} * Products::kTileRows;
  const int64_t begin = index * split.per_split, end = smaller(begin + split.per_split, in.classes);
  for (int64_t first = begin; first < end; first += kRun) {
    pass.classes = {first, int(smaller(kRun, end - first))};
    pass.first_target = pass.classes.place_of(in.targets[rows.first]);
    pass.last_target = pass.classes.place_of(in.targets[rows.first + rows.count - 1]);
    typename Products::Sums sums = {};
    stream_tiles<Products>(pass, sums, hidden, rows, table, pass.classes);
    pass.store_sums(sums, first == begin);
  }
  pass.store_totals();
}

}  // namespace atjt::cuda
