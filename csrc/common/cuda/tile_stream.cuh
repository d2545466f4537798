// The loop that both passes of the whole-catalogue loss share: a block holds rows of one matrix
// while tiles of the other one stream through shared memory, several on their way at a time.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "common/cuda/products.cuh"

namespace atjt::cuda {

// Rows of a matrix.
struct Range {
  int64_t first;
  int count;

  // Where `row` lies in it, as far as an int can say.
  __device__ __forceinline__ int place_of(int64_t row) const {
    const int64_t place = row - first;
    return int(place < -1 ? -1 : place > count ? count : place);
  }
};

// What is special about a lane's part of the accumulators.
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

// pass.load_side(side, at) begins to copy what goes with a tile, pass.begin(scores, side) sets the
// scores' starting values, pass.weigh(scores, sums, side, at) makes weights of them; `at` is the
// tile's first row, counted from the first of the range. Without Pass::kHasSums there is no second
// product.
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
    commit_copies();  // an empty group, too: groups are counted
  };

  load_rows<Shape::kBlockRows, Shape>(shared, held, held_range.first, held_range.count);
#pragma unroll
  for (int stage = 0; stage < Shape::kStages - 1; ++stage)
    begin_tile(stage * Shape::kTileRows, stage);
  wait_for_copies<Shape::kStages - 2>();
  __syncthreads();
  Products products(shared, held.width);
  products.begin();

  // A warp whose rows are all beyond the end helps to copy and no more.
  const bool idle = int(threadIdx.x) / kWarpSize * Shape::kWarpRows >= held_range.count;
  int stage = 0;
  for (int at = 0; at < range.count; at += Shape::kTileRows) {
    wait_for_copies<Shape::kStages - 2>();
    __syncthreads();  // the tile is here, and all are done with the one before
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

// Calls f(row, i, source, sums of the row) for each of the warp's first rows of the block, with all
// lanes; what the accumulators [i / 2][...][i % 2 * 2 + ...] of lane `source` know of a row is this
// row's. Shared memory must be free: rows go through it, so that a warp can write one as a whole.
template <class Shape, class F>
__device__ __forceinline__ void for_each_row(const typename Shape::Sums& sums, int rows,
                                             const F& f) {
  extern __shared__ __align__(128) unsigned char shared[];
  constexpr int kStride = Shape::kWidth + 8;  // eight rows of two columns lie in different banks
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
