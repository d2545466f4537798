// Tiles of matrices: their shape, and their copy into shared memory.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cuda_runtime.h>

#include <cstdint>
#include <cstring>

#include "common/cuda/launch.cuh"
#include "common/cuda/ptx.cuh"
#include "common/cuda/row_vectors.cuh"
#include "common/tile_layout.h"

namespace atjt::cuda {

// A block holds kBlockRows rows of one matrix, and tiles of kTileRows rows of the other matrix
// stream. Both fit the 99 KB of the smallest chips. Registers hold sums of kWarpRows x kWidth
// numbers per warp.
template <class T, int kWidth_>
struct TileShape {
  static constexpr int kWidth = kWidth_;  // columns in memory, filled up with zeros
  static constexpr int kRowBytes = kWidth * int(sizeof(T));
  static constexpr int kWarpRows = kWidth <= 128 ? 32 : 16;
  static constexpr int kBlockRows = kRowBytes <= 512 ? 128 : 64;
  static constexpr int kTileRows = kRowBytes <= 128 ? 64 : kRowBytes <= 512 ? 32 : 16;
  static constexpr int kStages = kRowBytes <= 256 ? 3 : 2;
  static constexpr int kThreads = kBlockRows / kWarpRows * kWarpSize;
  // In fragments of mma: of a warp's rows, of a tile's rows, of columns.
  static constexpr int kRowFragments = kWarpRows / 16;
  static constexpr int kTileFragments = kTileRows / 8;
  static constexpr int kColumnFragments = kWidth / 8;

  static constexpr int kSideNumbers = 2 * kTileRows;  // beside a tile
  static constexpr int kStageBytes = kTileRows * kRowBytes + kSideNumbers * int(sizeof(float));
  static constexpr int kSharedBytes = kBlockRows * kRowBytes + kStages * kStageBytes;

  using Scores = float[kRowFragments][kTileFragments][4];
  using Sums = float[kRowFragments][kColumnFragments][4];
};

// A matrix in memory. `vectors`: rows can be read 16 bytes at a time.
template <class T>
struct Rows {
  const T* data;
  int width;
  bool vectors;

  Rows(const T* data, int64_t width)
      : data(data),
        width(int(width)),
        vectors(reinterpret_cast<uintptr_t>(data) % 16 == 0 &&
                width * int64_t(sizeof(T)) % 16 == 0) {}
};

// Begins to copy kRows rows from `first` on into shared memory; zeros beyond `left` rows and beyond
// column `width`.
template <int kRows, class Shape, class T>
__device__ __forceinline__ void load_rows(unsigned char* tile, const Rows<T>& rows, int64_t first,
                                          int left) {
  using Layout = SwizzledRows<Shape::kRowBytes>;
  constexpr int kStep = Shape::kThreads / Layout::kChunks;  // rows between two of a thread
  static_assert(Shape::kThreads % Layout::kChunks == 0 && kRows % kStep == 0);
  const int thread = forgotten(int(threadIdx.x));
  const int chunk = thread % Layout::kChunks, top = thread / Layout::kChunks;
  const int column = chunk * kPerVector<T>;
  const T* from = rows.data + (first + top) * rows.width + column;
  if (rows.vectors) {
#pragma unroll
    for (int i = 0; i < kRows / kStep; ++i) {
      const int row = top + i * kStep;
      const bool valid = row < left && column < rows.width;
      copy_async<16>(tile + Layout::offset(row, chunk), valid ? from : rows.data, valid);
      from += int64_t{kStep} * rows.width;
    }
    return;
  }
#pragma unroll 1
  for (int i = 0; i < kRows / kStep; ++i) {
    const int row = top + i * kStep;
    T values[kPerVector<T>] = {};
#pragma unroll
    for (int j = 0; j < kPerVector<T>; ++j)
      if (row < left && column + j < rows.width) values[j] = from[j];
    uint4 vector;
    std::memcpy(&vector, values, sizeof vector);
    store_vector(tile + Layout::offset(row, chunk), vector, false);
    from += int64_t{kStep} * rows.width;
  }
}

}  // namespace atjt::cuda
