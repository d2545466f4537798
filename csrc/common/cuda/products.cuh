// The two matrix products of the streaming kernels, on tiles in shared memory:
//
//   scores += held tile^T    held [kBlockRows, kWidth], tile [kTileRows, kWidth]
//   sums   += scores tile
//
// One tile serves both. A warp has kWarpRows rows of `held`, of the scores and of the sums. Scores
// and sums have the layout of mma's accumulators (AccumulatorLayout). mma's left operand has the
// same layout, so scores stay in registers.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "common/cuda/tile.cuh"

namespace atjt::cuda {

// By tensor cores: T = BFloat16 or Float16, or float rounded to TF32.
template <class T, int kWidth>
struct MatrixProducts : TileShape<T, kWidth> {
  using Shape = TileShape<T, kWidth>;
  using Number = std::conditional_t<std::is_same_v<T, float>, Tf32, T>;
  using Layout = SwizzledRows<Shape::kRowBytes>;
  using typename Shape::Scores;
  using typename Shape::Sums;
  static constexpr bool kIsTf32 = std::is_same_v<Number, Tf32>;
  // Tensor cores cut off instead of rounding, so a sum must begin anew after so many tiles.
  static constexpr int kTilesPerRun = (kIsTf32 ? 32768 : 65536) / Shape::kTileRows;
  static constexpr int kSteps = Shape::kRowBytes / 32;  // of an mma, along a row
  // A narrow `held` stays in registers.
  static constexpr bool kInRegisters = Shape::kRowBytes <= 128;

  int lane = int(threadIdx.x) % kWarpSize;
  const unsigned char* held;  // this warp's rows
  uint32_t fragments[kInRegisters ? kSteps : 1][Shape::kRowFragments][4];

  __device__ __forceinline__ MatrixProducts(const unsigned char* held_tile, int)
      : held(held_tile + int(threadIdx.x) / kWarpSize * Shape::kWarpRows * Shape::kRowBytes) {}

  // Call it after `held` has arrived.
  __device__ __forceinline__ void begin() {
    if constexpr (kInRegisters) {
#pragma unroll
      for (int step = 0; step < kSteps; ++step) load_held(fragments[step], step, 0);
    }
  }

  // Loads step `done` + `step`; four steps, 128 bytes, are `done` at a time.
  __device__ __forceinline__ void load_held(uint32_t (&a)[Shape::kRowFragments][4], int step,
                                            int done) const {
    const int at = Layout::offset(rows_first(lane).row, rows_first(lane).chunk);
#pragma unroll
    for (int m = 0; m < Shape::kRowFragments; ++m) {
      load_matrices(a[m], held + Layout::moved(at, 16 * m, 2 * step) + 32 * done);
      round(a[m]);
    }
  }

  template <int kCount>
  __device__ __forceinline__ static void round(uint32_t (&words)[kCount]) {
    if constexpr (kIsTf32) {
#pragma unroll
      for (int i = 0; i < kCount; ++i) words[i] = round_to_tf32(float_of_bits(words[i]));
    }
  }

  __device__ __forceinline__ void add_scores(Scores& scores, const unsigned char* tile) const {
    const int at = Layout::offset(chunks_first(lane).row, chunks_first(lane).chunk);
    // A few steps of a wide row at a time, or the compiler would prefetch more than registers hold.
    constexpr int kAtOnce = kInRegisters ? kSteps : 4;
#pragma unroll 1
    for (int done = 0; done < kSteps; done += kAtOnce) {
#pragma unroll
      for (int step = 0; step < kAtOnce; ++step) {
        uint32_t loaded[Shape::kRowFragments][4];
        if constexpr (!kInRegisters) load_held(loaded, step, done);
        const auto& a = kInRegisters ? fragments[kInRegisters ? step : 0] : loaded;
#pragma unroll
        for (int j = 0; j < Shape::kTileFragments; j += 2) {
          uint32_t b[4];
          load_matrices(b, tile + Layout::moved(at, 8 * j, 2 * step) + 32 * done);
          round(b);
#pragma unroll
          for (int m = 0; m < Shape::kRowFragments; ++m) {
            mma<Number>(scores[m][j], a[m], {b[0], b[1]});
            mma<Number>(scores[m][j + 1], a[m], {b[2], b[3]});
          }
        }
      }
    }
  }

  __device__ __forceinline__ void add_sums(Sums& sums, const Scores& scores,
                                           const unsigned char* tile) const {
    if constexpr (kIsTf32) {
      // The order along the sum is free: places t and t + 4 of an mma take rows 2 t and 2 t + 1 of
      // the tile, where the scores are.
      const int row = AccumulatorLayout::column(lane), column = lane / 4;
      const int in_chunk = column % 4 * int(sizeof(float));
      const int at[2] = {Layout::offset(row, column / 4) + in_chunk,
                         Layout::offset(row + 1, column / 4) + in_chunk};
#pragma unroll
      for (int j = 0; j < Shape::kTileFragments; ++j) {
        uint32_t a[Shape::kRowFragments][4];
#pragma unroll
        for (int m = 0; m < Shape::kRowFragments; ++m) {
          const float (&p)[4] = scores[m][j];
          a[m][0] = round_to_tf32(p[0]);
          a[m][1] = round_to_tf32(p[2]);
          a[m][2] = round_to_tf32(p[1]);
          a[m][3] = round_to_tf32(p[3]);
        }
#pragma unroll
        for (int q = 0; q < Shape::kColumnFragments; ++q) {
          uint32_t b[2];
#pragma unroll
          for (int i = 0; i < 2; ++i)
            std::memcpy(&b[i], tile + Layout::moved(at[i], 8 * j, 2 * q), sizeof(float));
          round(b);
#pragma unroll
          for (int m = 0; m < Shape::kRowFragments; ++m) mma<Number>(sums[m][q], a[m], b);
        }
      }
    } else {
      const int at = Layout::offset(rows_first(lane).row, rows_first(lane).chunk);
#pragma unroll
      for (int j = 0; j < Shape::kTileFragments; j += 2) {
        uint32_t a[Shape::kRowFragments][4];
#pragma unroll
        for (int m = 0; m < Shape::kRowFragments; ++m) {
#pragma unroll
          for (int i = 0; i < 4; ++i)
            a[m][i] = narrow_pair<T>(scores[m][j + i / 2][i % 2 * 2],
                                     scores[m][j + i / 2][i % 2 * 2 + 1]);
        }
#pragma unroll
        for (int q = 0; q < Shape::kColumnFragments; q += 2) {
          uint32_t b[4];
          load_matrices<true>(b, tile + Layout::moved(at, 8 * j, q));
#pragma unroll
          for (int m = 0; m < Shape::kRowFragments; ++m) {
            mma<Number>(sums[m][q], a[m], {b[0], b[1]});
            mma<Number>(sums[m][q + 1], a[m], {b[2], b[3]});
          }
        }
      }
    }
  }
};

// By multiply-adds in float, in the order of the columns: a score has the same bits as in
// pair_scores, whatever is computed beside it.
template <class T, int kWidth>
struct ExactProducts : TileShape<T, kWidth> {
  using Shape = TileShape<T, kWidth>;
  using Layout = SwizzledRows<Shape::kRowBytes>;
  using typename Shape::Scores;
  using typename Shape::Sums;
  static constexpr int kTilesPerRun = 8192 / Shape::kTileRows;  // long sums lose digits

  int lane = int(threadIdx.x) % kWarpSize;
  const unsigned char* held;
  int chunks;  // that hold columns

  __device__ __forceinline__ ExactProducts(const unsigned char* held_tile, int width)
      : held(held_tile + int(threadIdx.x) / kWarpSize * Shape::kWarpRows * Shape::kRowBytes),
        chunks((width + kPerVector<T> - 1) / kPerVector<T>) {}

  __device__ __forceinline__ void begin() {}

  __device__ __forceinline__ void add_scores(Scores& scores, const unsigned char* tile) const {
    const int row = AccumulatorLayout::row(lane), column = AccumulatorLayout::column(lane);
#pragma unroll 1
    for (int chunk = 0; chunk < chunks; ++chunk) {
      float a[2 * Shape::kRowFragments][kPerVector<T>], b[kPerVector<T>];
#pragma unroll
      for (int i = 0; i < 2 * Shape::kRowFragments; ++i)
        unpack<T>(load_vector(held + Layout::offset(8 * i + row, chunk)), a[i]);
#pragma unroll
      for (int j = 0; j < 2 * Shape::kTileFragments; ++j) {
        unpack<T>(load_vector(tile + Layout::offset(j / 2 * 8 + column + j % 2, chunk)), b);
#pragma unroll
        for (int i = 0; i < 2 * Shape::kRowFragments; ++i) {
          float& score = scores[i / 2][j / 2][i % 2 * 2 + j % 2];
#pragma unroll
          for (int k = 0; k < kPerVector<T>; ++k) score = fmaf(a[i][k], b[k], score);
        }
      }
    }
  }

  // Sums a tile's share by itself first, a few fragments of columns at a time to save registers.
  __device__ __forceinline__ void add_sums(Sums& sums, const Scores& scores,
                                           const unsigned char* tile) const {
    static_assert(std::is_same_v<T, float>, "halves have their own product");
    constexpr int kAtOnce = kWidth > 128 ? 2 : 4;
    const int column = AccumulatorLayout::column(lane);
#pragma unroll
    for (int first = 0; first < Shape::kColumnFragments; first += kAtOnce) {
      if (2 * first >= chunks) break;
      float share[2 * Shape::kRowFragments][kAtOnce][2] = {};
#pragma unroll
      for (int j = 0; j < Shape::kTileFragments; ++j) {
#pragma unroll 1
        for (int owner = 0; owner < 4; ++owner) {  // of columns 2 owner and 2 owner + 1
#pragma unroll
          for (int e = 0; e < 2; ++e) {
            const int at =
                Layout::offset(2 * owner + e, column / 4) + column % 4 * int(sizeof(float));
            float p[2 * Shape::kRowFragments];
#pragma unroll
            for (int i = 0; i < 2 * Shape::kRowFragments; ++i)
              p[i] = __shfl_sync(kFullWarp, scores[i / 2][j][i % 2 * 2 + e], owner, 4);
#pragma unroll
            for (int q = 0; q < kAtOnce; ++q) {
              float w[2];
              std::memcpy(w, tile + Layout::moved(at, 8 * j, 2 * (first + q)), sizeof w);
#pragma unroll
              for (int i = 0; i < 2 * Shape::kRowFragments; ++i) {
                share[i][q][0] = fmaf(p[i], w[0], share[i][q][0]);
                share[i][q][1] = fmaf(p[i], w[1], share[i][q][1]);
              }
            }
          }
        }
      }
#pragma unroll
      for (int i = 0; i < 2 * Shape::kRowFragments; ++i) {
#pragma unroll
        for (int q = 0; q < kAtOnce; ++q) {
          sums[i / 2][first + q][i % 2 * 2] += share[i][q][0];
          sums[i / 2][first + q][i % 2 * 2 + 1] += share[i][q][1];
        }
      }
    }
  }
};

}  // namespace atjt::cuda
