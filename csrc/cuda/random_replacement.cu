// random_replacement on the GPU: one launch, one warp per row.
//
// Draws are recomputed each time they are compared instead of stored: a Philox call costs about as
// much as a trip to shared memory and back, and rows of any length work.
// SPDX-License-Identifier: Apache-2.0
#include "cuda/launch.cuh"
#include "random_replacement.h"
#include "select_smallest.h"

namespace atjt::cuda {
namespace {

constexpr int kThreads = 256;
constexpr int kWarps = kThreads / kWarpSize;
constexpr int kBlocksPerSm = 3;  // leaves registers enough that nothing spills
// Every block searches the row cutoff for itself, in time proportional to the number of rows. Few
// blocks, each serving many rows, keep that search cheap.
constexpr int64_t kMaxBlocks = 1024;

// Is (draw, index) among the smallest? The second half decides between equal draws.
template <class Key>
struct Selection {
  Key cutoff;        // smaller draws are in
  uint32_t tie_end;  // equal draws are in up to here

  __device__ bool holds(Key draw, uint32_t index) const {
    return draw < cutoff || (draw == cutoff && index < tie_end);
  }
};

// `count(accept)` is the number of (draw, index) with accept(draw, index), the same in all threads.
template <class Key, class Count>
__device__ Selection<Key> select_smallest(int64_t k, int64_t n, const Count& count) {
  const Cutoff<Key> cutoff = find_cutoff<Key>(k, n, [&](Key limit) {
    return count([limit](Key draw, uint32_t) { return draw <= limit; });
  });
  if (cutoff.ties == 0) return {cutoff.key, 0};
  // Indices differ, so exactly `ties` of the equal draws lie below some index.
  const Key key = cutoff.key;
  const int64_t equal = count([key](Key draw, uint32_t) { return draw == key; });
  if (equal == cutoff.ties) return {key, ~uint32_t{0}};
  const Cutoff<uint32_t> end = find_cutoff<uint32_t>(cutoff.ties, equal, [&](uint32_t limit) {
    return count([key, limit](Key draw, uint32_t index) { return draw == key && index <= limit; });
  });
  return {key, end.key + uint32_t(end.ties)};
}

// Which rows are chosen; called by whole blocks. `shared` holds one count per warp.
template <class Id>
__device__ Selection<uint64_t> select_rows(const RandomReplacementParams<Id>& p, int64_t chosen,
                                           int64_t* shared) {
  if (chosen == 0) return {0, 0};
  if (chosen == p.rows) return {~uint64_t{0}, ~uint32_t{0}};
  return select_smallest<uint64_t>(chosen, p.rows, [&](const auto& accept) {
    int64_t count = 0;
    for (int64_t row = threadIdx.x; row < p.rows; row += kThreads)
      count += accept(row_draw(p, row), uint32_t(row));
    return block_reduce(count, int64_t{0}, shared, [](int64_t v) { return warp_sum(v); });
  });
}

// Calls visit(position, draw) for this lane's positions that hold an item.
template <class Id, class Visit>
__device__ __forceinline__ void for_each_item(const RandomReplacementParams<Id>& p, uint64_t key,
                                              const Id* in, const Visit& visit) {
  const uint32_t length = uint32_t(p.length), lane = threadIdx.x % kWarpSize;
  const uint32_t first = first_index(p);
  for (uint32_t group = first / 4 + lane; group < kEndIndex / 4; group += kWarpSize) {
    const Philox4<uint64_t> word = position_draws(p, key, uint64_t{group});
    const uint32_t draws[4] = {uint32_t(word.x), uint32_t(word.y), uint32_t(word.z),
                               uint32_t(word.w)};
#pragma unroll
    for (uint32_t i = 0; i < 4; ++i) {
      const uint32_t position = 4 * group + i - first;  // below position 0: wraps to no position
      if (position < length && in[position] != p.padding_idx) visit(position, draws[i]);
    }
  }
}

// Which positions of a row are chosen; called by whole warps, 0 < k <= items.
template <class Id>
__device__ Selection<uint32_t> select_positions(const RandomReplacementParams<Id>& p, uint64_t key,
                                                const Id* in, int64_t k, int64_t items) {
  if (k == items) return {~uint32_t{0}, ~uint32_t{0}};
  return select_smallest<uint32_t>(k, items, [&](const auto& accept) {
    int count = 0;
    for_each_item(p, key, in,
                  [&](uint32_t position, uint32_t draw) { count += accept(draw, position); });
    return int64_t(warp_sum(count));
  });
}

template <class Id>
__global__ void __launch_bounds__(kThreads, kBlocksPerSm)
    random_replacement_kernel(const RandomReplacementParams<Id> p, const int64_t rows_chosen) {
  __shared__ int64_t shared[kWarps];
  const Selection<uint64_t> rows = select_rows(p, rows_chosen, shared);
  const uint32_t lane = threadIdx.x % kWarpSize;

  const int64_t first = int64_t(blockIdx.x) * kWarps + threadIdx.x / kWarpSize;
  for (int64_t row = first; row < p.rows; row += int64_t(gridDim.x) * kWarps) {
    const Id* const in = p.sequences + row * p.length;
    Id* const out = p.out + row * p.length;
    bool* const replaced = p.replaced + row * p.length;

    int items = 0;
    for (int64_t i = lane; i < p.length; i += kWarpSize) {
      const Id id = in[i];
      out[i] = id;
      replaced[i] = false;
      items += id != p.padding_idx;
    }
    items = warp_sum(items);
    const int64_t k =
        rows.holds(row_draw(p, row), uint32_t(row)) ? replacements_in_row(p, items) : 0;
    if (lane == 0) p.noise_labels[row] = k > 0;
    if (k == 0) continue;

    const uint64_t key = row_key(p, row);
    const Selection<uint32_t> positions = select_positions(p, key, in, k, items);
    __syncwarp();  // the copy above is done by other lanes than the replacement below
    for_each_item(p, key, in, [&](uint32_t position, uint32_t draw) {
      if (!positions.holds(draw, position)) return;
      const auto rank = uint32_t(other_item_rank(p, key, uint64_t{position}));
      out[position] = other_item(rank, in[position]);
      replaced[position] = true;
    });
  }
}

}  // namespace

template <class Id>
void random_replacement(const RandomReplacementParams<Id>& p, int device, void* stream) {
  const int64_t blocks = std::min<int64_t>((p.rows + kWarps - 1) / kWarps, kMaxBlocks);
  launch("random_replacement", random_replacement_kernel<Id>, {blocks, kThreads}, device, stream, p,
         rounded_share(p.sequence_fraction, p.rows));
}

template void random_replacement(const RandomReplacementParams<int32_t>&, int, void*);
template void random_replacement(const RandomReplacementParams<int64_t>&, int, void*);

}  // namespace atjt::cuda
