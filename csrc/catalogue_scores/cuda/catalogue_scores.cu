// Both ops compute a score as one chain of multiply-adds in float: the bias, then column after
// column. Tensor cores would be faster, but do not define their order of additions.
// SPDX-License-Identifier: Apache-2.0
#include "catalogue_scores/catalogue_scores.h"
#include "common/cuda/splits.h"
#include "common/cuda/tile_stream.cuh"

namespace atjt::cuda {
namespace {

constexpr int kPairThreads = 128;

template <class T>
__global__ void __launch_bounds__(kPairThreads) pair_kernel(const PairScoresParams<T> p) {
  const int64_t i = int64_t(blockIdx.x) * kPairThreads + threadIdx.x;
  if (i >= p.pairs) return;
  const int64_t row = p.pair_rows[i], item = p.pair_classes[i];
  if (uint64_t(row) >= uint64_t(p.in.rows) || uint64_t(item) >= uint64_t(p.in.classes)) {
    p.scores[i] = NAN;
    return;
  }
  const int width = int(p.in.width);
  const T *const x = p.in.hidden + row * width, *const w = p.in.table + item * width;
  float score = p.in.bias != nullptr ? p.in.bias[item] : 0.0f;
#pragma unroll 4
  for (int d = 0; d < width; ++d)
    score = fmaf(widen_in_hardware(x[d]), widen_in_hardware(w[d]), score);
  p.scores[i] = score;
}

template <class Products, class T>
struct CountPass {
  static constexpr bool kHasSums = false;
  static constexpr int kRows = 2 * Products::kRowFragments;  // of a lane
  using Scores = typename Products::Scores;

  const float* bias;
  Range classes;
  Lane<Products> lane = {};
  float thresholds[kRows];
  int counts[kRows];

  __device__ __forceinline__ void load_side(float* side, int at) const {
    const int i = at + int(threadIdx.x);
    if (bias == nullptr || int(threadIdx.x) >= Products::kTileRows) return;
    const bool valid = i < classes.count;
    copy_async<4>(side + threadIdx.x, valid ? bias + classes.first + i : bias, valid);
  }

  __device__ __forceinline__ void begin(Scores& scores, const float* side) const {
#pragma unroll
    for (int j = 0; j < Products::kTileFragments; ++j) {
#pragma unroll
      for (int e = 0; e < 2; ++e) {
        const float start = bias != nullptr ? side[lane.column(j) + e] : 0.0f;
#pragma unroll
        for (int i = 0; i < kRows; ++i) scores[i / 2][j][i % 2 * 2 + e] = start;
      }
    }
  }

  __device__ __forceinline__ void weigh(const Scores& scores, typename Products::Sums&,
                                        const float*, int at) {
#pragma unroll
    for (int j = 0; j < Products::kTileFragments; ++j) {
#pragma unroll
      for (int e = 0; e < 2; ++e) {
        const bool exists = at + lane.column(j) + e < classes.count;
#pragma unroll
        for (int i = 0; i < kRows; ++i)
          counts[i] += exists && !(scores[i / 2][j][i % 2 * 2 + e] < thresholds[i]);
      }
    }
  }
};

template <class Products, class T>
__global__ void __launch_bounds__(Products::kThreads, 2)
    count_kernel(const CountAtLeastParams<T> p, const Rows<T> hidden, const Rows<T> table,
                 int64_t row_blocks, int64_t per_split) {
  const int64_t split = int64_t(blockIdx.x) / row_blocks;
  const int64_t first_row = (int64_t(blockIdx.x) - split * row_blocks) * Products::kBlockRows;
  const int64_t first_class = split * per_split;
  const Range rows = {first_row, int(smaller(Products::kBlockRows, p.in.rows - first_row))};
  CountPass<Products, T> pass = {
      p.in.bias, {first_class, int(smaller(per_split, p.in.classes - first_class))}};
#pragma unroll
  for (int i = 0; i < pass.kRows; ++i) {
    const int row = pass.lane.row(i);
    pass.thresholds[i] = row < rows.count ? p.thresholds[first_row + row] : 0.0f;
    pass.counts[i] = 0;
  }
  typename Products::Sums unused;
  stream_tiles<Products>(pass, unused, hidden, rows, table, pass.classes);
#pragma unroll
  for (int i = 0; i < pass.kRows; ++i) {
    int count = pass.counts[i];  // four lanes share a row
    count += __shfl_xor_sync(kFullWarp, count, 1);
    count += __shfl_xor_sync(kFullWarp, count, 2);
    const int row = pass.lane.row(i);
    if (pass.lane.column(0) == 0 && row < rows.count)  // integers add up in any order
      atomicAdd(reinterpret_cast<unsigned long long*>(p.counts + first_row + row),
                static_cast<unsigned long long>(count));
  }
}

template <class Products, class T>
void count(const CountAtLeastParams<T>& p, int device, void* stream) {
  const int64_t row_blocks = ceil_of_quotient(p.in.rows, Products::kBlockRows);
  // The count of a split must fit an int.
  const int64_t wanted = larger_of(splits_for(row_blocks, p.in.classes),
                                   ceil_of_quotient(p.in.classes, int64_t{1} << 30));
  const int64_t per_split =
      ceil_of_quotient(ceil_of_quotient(p.in.classes, wanted), Products::kTileRows) *
      Products::kTileRows;
  launch("count_at_least", count_kernel<Products, T>,
         {row_blocks * ceil_of_quotient(p.in.classes, per_split), Products::kThreads,
          Products::kSharedBytes},
         device, stream, p, Rows<T>(p.in.hidden, p.in.width), Rows<T>(p.in.table, p.in.width),
         row_blocks, per_split);
}

}  // namespace

template <class T>
void pair_scores(const PairScoresParams<T>& p, int device, void* stream) {
  launch("pair_scores", pair_kernel<T>, {ceil_of_quotient(p.pairs, kPairThreads), kPairThreads},
         device, stream, p);
}

template <class T>
void count_at_least(const CountAtLeastParams<T>& p, int device, void* stream) {
  if (p.in.rows == 0) return;
  {
    const DeviceGuard guard(device);
    check(cudaMemsetAsync(p.counts, 0, size_t(p.in.rows) * sizeof(int64_t),
                          static_cast<cudaStream_t>(stream)),
          "count_at_least");
  }
  if (p.in.classes == 0) return;
  if (p.in.width <= 64) return count<ExactProducts<T, 64>>(p, device, stream);
  count<ExactProducts<T, 256>>(p, device, stream);
}

#define ATJT_INSTANTIATE(T)                                          \
  template void pair_scores(const PairScoresParams<T>&, int, void*); \
  template void count_at_least(const CountAtLeastParams<T>&, int, void*);
ATJT_TILE_TYPES(ATJT_INSTANTIATE)

}  // namespace atjt::cuda
