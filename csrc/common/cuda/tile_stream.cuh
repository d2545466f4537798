// The loop over a whole catalogue: a block holds rows of one matrix while tiles of the other matrix
// stream through shared memory, several copies at a time.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "common/cuda/products.cuh"

namespace atjt::cuda {

// Rows of a matrix.
struct Range {
  int64_t first;
  int count;

  // The place of `row` in the range, as an int: -1 before it, `count` behind it.
  __device__ __forceinline__ int place_of(int64_t row) const {
    // A target may be any number: the difference wraps around, and is still outside.
    const auto place = int64_t(uint64_t(row) - uint64_t(first));
    return int(place < -1 ? -1 : place > count ? count : place);
  }
};

// Rows and columns of a lane's accumulators.
template <class Shape>
struct Lane {
  int lane = int(threadIdx.x) % kWarpSize, warp = int(threadIdx.x) / kWarpSize;

  // Row in the block of accumulators [i / 2][...][i % 2 * 2 + ...].
  __device__ __forceinline__ int row(int i) const {
    return warp * Shape::kWarpRows + 8 * i + AccumulatorLayout::row(lane);
  }
  // Column of accumulators [...][j][2 * ... + e], with e = 0.
  __device__ __forceinline__ int column(int j) const {
    return 8 * j + AccumulatorLayout::column(lane);
  }
};

// pass.load_side(side, at) begins to copy numbers that belong to a tile, pass.begin(scores, side)
// sets the scores' initial values, pass.weigh(scores, sums, side, at) turns scores into weights.
// `at` is the tile's first row, counted from the start of the range. Without Pass::kHasSums there
// is no second product.
template <class Products, class T, class Pass>
__device__ __forceinline__ void stream_tiles(Pass& pass, typename Products::Sums& sums,
                                             const Rows<T>& held, const Range& held_range,
                                             const Rows<T>& streamed, const Range& range) {
  using Shape = typename Products::Shape;
  extern __shared__ __align__(128) unsigned char shared[];
  unsigned char* const stages = shared + Shape::kBlockRows * Shape::kRowBytes;
  const auto tile = [&](int stage) {
    return stages + stage * (Shape::kTileRows * Shape::kRowBytes);
  };
  const auto side = [&](int stage) {
    return reinterpret_cast<float*>(tile(Shape::kStages)) + stage * Shape::kSideNumbers;
  };
  const auto begin_tile = [&](int at, int stage) {
    if (at < range.count) {
      load_rows<Shape::kTileRows, Shape>(tile(stage), streamed, range.first + at, range.count - at);
      pass.load_side(side(stage), at);
    }
    commit_copies();  // an empty group too, since groups are counted
  };

  load_rows<Shape::kBlockRows, Shape>(shared, held, held_range.first, held_range.count);
#pragma unroll
  for (int stage = 0; stage < Shape::kStages - 1; ++stage)
    begin_tile(stage * Shape::kTileRows, stage);
  wait_for_copies<Shape::kStages - 2>();
  __syncthreads();
  Products products(shared, held.width);
  products.begin();

  // A warp whose rows all lie beyond the end only helps to copy.
  const bool idle = int(threadIdx.x) / kWarpSize * Shape::kWarpRows >= held_range.count;
  int stage = 0;
  for (int at = 0; at < range.count; at += Shape::kTileRows) {
    wait_for_copies<Shape::kStages - 2>();
    __syncthreads();  // the tile has arrived, and no thread reads the previous one
    begin_tile(at + (Shape::kStages - 1) * Shape::kTileRows,
               stage == 0 ? Shape::kStages - 1 : stage - 1);
    if (!idle) {
      typename Products::Scores scores;
      pass.begin(scores, side(stage));
      products.add_scores(scores, tile(stage));
      pass.weigh(scores, sums, side(stage), at);
      if constexpr (Pass::kHasSums) {
        if (pass.wants_sums()) products.add_sums(sums, scores, tile(stage));
      }
    }
    stage = stage == Shape::kStages - 1 ? 0 : stage + 1;
  }
  wait_for_copies<0>();
  __syncthreads();  // shared memory may be used again
}

// Calls f(row, i, source, sums of the row) in all lanes, for each of the warp's rows below `rows`.
// Lane `source` holds the row in its accumulators [i / 2][...][i % 2 * 2 + ...]. Shared memory must
// be free: rows go through it, so that a warp writes a row as a whole.
template <class Shape, class F>
__device__ __forceinline__ void for_each_row(const typename Shape::Sums& sums, int rows,
                                             const F& f) {
  extern __shared__ __align__(128) unsigned char shared[];
  constexpr int kStride =
      Shape::kWidth + 8;  // so that eight rows of two columns lie in different banks
  static_assert(Shape::kThreads / kWarpSize * 8 * kStride * sizeof(float) <= Shape::kSharedBytes);
  const Lane<Shape> lane;
  float* const staged = reinterpret_cast<float*>(shared) + lane.warp * 8 * kStride;
#pragma unroll
  for (int i = 0; i < 2 * Shape::kRowFragments; ++i) {
#pragma unroll
    for (int q = 0; q < Shape::kColumnFragments; ++q) {
#pragma unroll
      for (int e = 0; e < 2; ++e)
        staged[AccumulatorLayout::row(lane.lane) * kStride + lane.column(q) + e] =
            sums[i / 2][q][i % 2 * 2 + e];
    }
    __syncwarp();
#pragma unroll 1
    for (int r = 0; r < 8; ++r) {
      const int row = lane.warp * Shape::kWarpRows + 8 * i + r;
      if (row < rows) f(row, i, 4 * r, staged + r * kStride);
    }
    __syncwarp();
  }
}

}  // namespace atjt::cuda
