// candidate_scores on the GPU. Eight lanes share an embedding and read 16 bytes each: whole sectors
// of memory, and four embeddings at a time per warp.
// SPDX-License-Identifier: Apache-2.0
#include "candidate_scores/candidate_scores.h"
#include "common/cuda/launch.cuh"
#include "common/cuda/row_vectors.cuh"
#include "common/integers.h"

namespace atjt::cuda {
namespace {

constexpr int kThreads = 256, kLanes = 8;
constexpr int kGroupsPerWarp = kWarpSize / kLanes, kGroupsPerBlock = kThreads / kLanes;

__device__ int lane_in_group() { return int(threadIdx.x) % kLanes; }
__device__ int64_t group_in_grid() {
  return int64_t(blockIdx.x) * kGroupsPerBlock + int(threadIdx.x) / kLanes;
}

// pair / per_row without a division: that takes longer than an embedding and spills registers.
struct RowOfPair {
  uint64_t per_row, inverse;

  explicit RowOfPair(int64_t candidates) : per_row(candidates), inverse(~uint64_t{0} / per_row) {}
  __device__ int64_t operator()(int64_t pair) const {  // the estimate may be too small by one
    const uint64_t row = multiply_high(uint64_t(pair), inverse);
    return int64_t(row + (uint64_t(pair) - row * per_row >= per_row));
  }
};

// What a lane reads at once: 16 bytes, or one number if rows are not aligned to 16 bytes.
template <class T, bool kVectors>
struct Piece {
  using Real = Arithmetic<T>;
  static constexpr int kSize = kVectors ? kPerVector<T> : 1;

  __device__ static void load(const T* from, Real (&values)[kSize]) {
    if constexpr (kVectors) {
      unpack<T>(load_vector(from), values);
    } else {
      values[0] = widen_in_hardware(*from);
    }
  }
  __device__ static void store(T* to, const Real (&values)[kSize]) {
    if constexpr (kVectors) {
      store_vector(to, pack<T>(values), false);
    } else {
      narrow_in_hardware(values[0], to);
    }
  }
};

template <class T>
bool has_vectors(const T* a, const T* b, int64_t width) {
  return (reinterpret_cast<uintptr_t>(a) | reinterpret_cast<uintptr_t>(b)) % 16 == 0 &&
         width % kPerVector<T> == 0;
}

template <class T, bool kVectors>
__global__ void __launch_bounds__(kThreads)
    score_kernel(const CandidateScoresParams<T> p, const RowOfPair row_of) {
  using P = Piece<T, kVectors>;
  const int lane = lane_in_group();
  const int64_t pair = group_in_grid(), pairs = p.shape.rows * p.shape.per_row;
  const int64_t candidate = pair < pairs ? p.shape.candidates[pair] : p.shape.ignore_index;
  const bool scored = is_scored(p.shape, candidate);
  Arithmetic<T> sum = 0;
  if (scored) {
    const T* const x = p.hidden + row_of(pair) * p.shape.width;
    const T* const w = p.table + candidate * p.shape.width;
#pragma unroll 2
    for (int64_t i = lane * P::kSize; i < p.shape.width; i += kLanes * P::kSize) {
      Arithmetic<T> from_x[P::kSize], from_w[P::kSize];
      P::load(w + i, from_w);
      P::load(x + i, from_x);
#pragma unroll
      for (int j = 0; j < P::kSize; ++j) sum += from_x[j] * from_w[j];
    }
  }
  for (int offset = kLanes / 2; offset > 0; offset /= 2)
    sum += __shfl_xor_sync(kFullWarp, sum, offset);
  if (pair < pairs && lane == 0)
    p.scores[pair] = scored || candidate == p.shape.ignore_index ? sum : Arithmetic<T>(NAN);
}

// A lane's part of a sum of embeddings: kHeld pieces, kLanes pieces apart, from column `first` on.
template <class T, bool kVectors>
struct TileSum {
  using Real = Arithmetic<T>;
  using P = Piece<T, kVectors>;
  static constexpr int kHeld = kVectors ? 2 : 4;
  static constexpr int64_t kColumns = int64_t{kHeld} * kLanes * P::kSize;

  Real sums[kHeld][P::kSize];
  int64_t first, width;

  __device__ int64_t column(int h) const {
    return first + (h * kLanes + lane_in_group()) * P::kSize;
  }

  template <class F>
  __device__ void each(const F& f) {
#pragma unroll
    for (int h = 0; h < kHeld; ++h)
      if (column(h) < width) f(column(h), sums[h]);
  }
  __device__ void clear() {
#pragma unroll
    for (int h = 0; h < kHeld; ++h)
#pragma unroll
      for (int j = 0; j < P::kSize; ++j) sums[h][j] = 0;
  }
  __device__ void add(const T* row, Real factor) {
    each([&](int64_t at, Real(&sum)[P::kSize]) {
      Real values[P::kSize];
      P::load(row + at, values);
#pragma unroll
      for (int j = 0; j < P::kSize; ++j) sum[j] += factor * values[j];
    });
  }
  __device__ void add_groups_of_warp() {
#pragma unroll
    for (int h = 0; h < kHeld; ++h)
#pragma unroll
      for (int j = 0; j < P::kSize; ++j)
        for (int offset = kLanes; offset < kWarpSize; offset *= 2)
          sums[h][j] += __shfl_xor_sync(kFullWarp, sums[h][j], offset);
  }
  __device__ void store(T* row) {
    each([&](int64_t at, Real(&sum)[P::kSize]) { P::store(row + at, sum); });
  }
  __device__ void store_part(Real* row) {
    each([&](int64_t at, Real(&sum)[P::kSize]) {
#pragma unroll
      for (int j = 0; j < P::kSize; ++j) row[at + j] = sum[j];
    });
  }
};

// A warp per row; its groups share the candidates.
template <class T, bool kVectors>
__global__ void __launch_bounds__(kThreads)
    hidden_gradient_kernel(const CandidateHiddenGradientParams<T> p) {
  using Tile = TileSum<T, kVectors>;
  const int64_t row = group_in_grid() / kGroupsPerWarp;
  if (row >= p.shape.rows) return;  // a whole warp
  const int group = int(threadIdx.x) % kWarpSize / kLanes;
  const int64_t* const candidates = p.shape.candidates + row * p.shape.per_row;
  const Arithmetic<T>* const grad_scores = p.grad_scores + row * p.shape.per_row;
  Tile tile;
  tile.width = p.shape.width;
  for (tile.first = 0; tile.first < p.shape.width; tile.first += Tile::kColumns) {
    tile.clear();
#pragma unroll 2
    for (int64_t c = group; c < p.shape.per_row; c += kGroupsPerWarp) {
      const int64_t candidate = candidates[c];
      const Arithmetic<T> factor = grad_scores[c];
      if (is_scored(p.shape, candidate) && factor != 0)
        tile.add(p.table + candidate * p.shape.width, factor);
    }
    tile.add_groups_of_warp();
    if (group == 0) tile.store(p.grad_hidden + row * p.shape.width);
  }
}

// A group per chunk.
template <class T, bool kVectors>
__global__ void __launch_bounds__(kThreads)
    sum_chunks_kernel(const CandidateTableGradientParams<T> p, const RowOfPair row_of) {
  using Tile = TileSum<T, kVectors>;
  if (group_in_grid() >= num_chunks(p.pairs)) return;
  const PairChunk chunk = chunk_of_pairs(p.slots, p.pairs, group_in_grid());
  Tile tile;
  tile.width = p.width;
  for (tile.first = 0; tile.first < p.width; tile.first += Tile::kColumns) {
    tile.clear();
    int64_t begin_of_run = chunk.begin, slot = p.slots[chunk.begin];
    for (int64_t i = chunk.begin; i < chunk.end; ++i) {
      const int64_t pair = p.order[i];
      const int64_t next = i + 1 < chunk.end ? p.slots[i + 1] : slot;
      const bool counts = uint64_t(slot) < uint64_t(p.num_slots);
      const Arithmetic<T> factor = is_pair(p, pair) ? p.grad_scores[pair] : Arithmetic<T>(0);
      if (counts && factor != 0) tile.add(p.hidden + row_of(pair) * p.width, factor);
      if (i + 1 < chunk.end && next == slot) continue;
      if (counts) {
        const int64_t part = part_of_run(chunk, begin_of_run, i + 1);
        if (part < 0) {
          tile.store(p.grad_table + slot * p.width);
        } else {
          tile.store_part(p.parts + part * p.width);
        }
      }
      tile.clear();
      begin_of_run = i + 1;
      slot = next;
    }
  }
}

// A group per chunk; most groups have nothing to do.
template <class T>
__global__ void __launch_bounds__(kThreads)
    join_parts_kernel(const CandidateTableGradientParams<T> p) {
  const int64_t number = group_in_grid();
  if (number >= num_chunks(p.pairs)) return;
  const PairChunk chunk = chunk_of_pairs(p.slots, p.pairs, number);
  const int64_t slot = p.slots[chunk.end - 1];
  if (uint64_t(slot) >= uint64_t(p.num_slots) || !begins_long_item(chunk)) return;
  const int64_t last = last_chunk_of_item(chunk);
  for (int64_t d = lane_in_group(); d < p.width; d += kLanes) {
    Arithmetic<T> sum = p.parts[(2 * number + 1) * p.width + d];
#pragma unroll 4
    for (int64_t other = number + 1; other <= last; ++other)
      sum += p.parts[2 * other * p.width + d];
    narrow_in_hardware(sum, p.grad_table + slot * p.width + d);
  }
}

Grid grid_of(int64_t groups) {
  return {(groups + kGroupsPerBlock - 1) / kGroupsPerBlock, kThreads};
}

}  // namespace

template <class T>
void candidate_scores(const CandidateScoresParams<T>& p, int device, void* stream) {
  if (p.shape.per_row == 0) return;
  const bool vectors = has_vectors(p.hidden, p.table, p.shape.width);
  launch("candidate_scores", vectors ? score_kernel<T, true> : score_kernel<T, false>,
         grid_of(p.shape.rows * p.shape.per_row), device, stream, p, RowOfPair(p.shape.per_row));
}

template <class T>
void candidate_hidden_gradient(const CandidateHiddenGradientParams<T>& p, int device,
                               void* stream) {
  const bool vectors = has_vectors<T>(p.table, p.grad_hidden, p.shape.width);
  launch("candidate_hidden_gradient",
         vectors ? hidden_gradient_kernel<T, true> : hidden_gradient_kernel<T, false>,
         grid_of(p.shape.rows * kGroupsPerWarp), device, stream, p);
}

template <class T>
void candidate_table_gradient(const CandidateTableGradientParams<T>& p, int device, void* stream) {
  if (p.pairs == 0) return;
  const bool vectors = has_vectors<T>(p.hidden, p.grad_table, p.width);
  const Grid grid = grid_of(num_chunks(p.pairs));
  launch("candidate_table_gradient",
         vectors ? sum_chunks_kernel<T, true> : sum_chunks_kernel<T, false>, grid, device, stream,
         p, RowOfPair(p.per_row));
  if (num_chunks(p.pairs) > 1)
    launch("candidate_table_gradient", join_parts_kernel<T>, grid, device, stream, p);
}

#define ATJT_INSTANTIATE(T)                                                                     \
  template void candidate_scores(const CandidateScoresParams<T>&, int, void*);                  \
  template void candidate_hidden_gradient(const CandidateHiddenGradientParams<T>&, int, void*); \
  template void candidate_table_gradient(const CandidateTableGradientParams<T>&, int, void*);
ATJT_FLOATING_TYPES(ATJT_INSTANTIATE)

}  // namespace atjt::cuda
