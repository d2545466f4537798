// random_replacement on the GPU: one launch, one warp per row at a time.
//
// A row is copied first, 16 bytes at a time where its address allows. Then the few new items
// overwrite the copy, in lines that L2 still holds. The draws of a short row stay in registers.
// Those of a longer row are computed for each comparison, which costs about as much as a trip to
// shared memory and works for any length.
// SPDX-License-Identifier: Apache-2.0
#include <type_traits>

#include "common/cuda/launch.cuh"
#include "random_replacement/cuda/copy_row.cuh"
#include "random_replacement/cuda/draws.cuh"
#include "random_replacement/cuda/items.cuh"
#include "random_replacement/cuda/rows.cuh"
#include "random_replacement/random_replacement.h"

namespace atjt::cuda {
namespace {

// Every block chooses the rows by itself, so there is one block per multiprocessor, as large as
// registers allow without spills.
template <class Options>
constexpr int kMaxWarps = std::is_same_v<Options, NoOptions> ? 16 : 12;
constexpr int kMinWarps = 4;

// The cutoff below which the k smallest keys of a row's positions lie. Called by whole warps,
// 0 < k <= items.
template <class Draws>
__device__ __forceinline__ uint64_t position_cutoff(const Draws& draws, int64_t k, int64_t items) {
  if (k == items) return ~uint64_t{0};
  const Cutoff<uint64_t> found = find_cutoff<uint64_t>(k, items, [&](uint64_t limit) {
    int count = 0;
#pragma unroll 1
    for (uint32_t part = 0; part < draws.parts(); ++part) {
      draws.for_each_chunk(part, [&](uint32_t, const LaneDraws& lane) {
#pragma unroll
        for (int i = 0; i < 4; ++i) count += lane.is_below(limit + 1, i);
      });
    }
    return int64_t(warp_count(count));
  });
  return found.key + uint64_t(found.ties);  // at most one tie, since keys differ
}

// Lists the places of the chosen positions in a part; returns their number.
template <class Draws>
__device__ __forceinline__ int list_chosen(const Draws& draws, uint32_t part, uint64_t cutoff,
                                           uint8_t* list) {
  const uint32_t lanes_before = (uint32_t{1} << lane_index()) - 1;
  int listed = 0;
  __syncwarp();  // all lanes have read the previous list
  draws.for_each_chunk(part, [&](uint32_t place, const LaneDraws& lane) {
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      const bool chosen = lane.is_below(cutoff, i);
      const uint32_t lanes = __ballot_sync(kFullWarp, chosen);
      if (chosen)
        list[listed + __popc(lanes & lanes_before)] = uint8_t(place + 4 * lane_index() + i);
      listed += __popc(lanes);
    }
  });
  __syncwarp();
  return listed;
}

// Processes one row; called by whole warps. `list` holds a byte per position of a part.
template <class Id, class Draws, class Options>
__device__ void replace_row(const RandomReplacementParams<Id>& p, const Options& options,
                            const CallKey& call, int64_t row, bool row_is_chosen, uint8_t* list) {
  const Id* const in = p.sequences + row * p.length;
  Id* const out = p.out + row * p.length;
  bool* const replaced = p.replaced + row * p.length;

  int items = 0;  // in the open columns
  copy_row(in, out, int(p.length), [&](int position, Id id) {
    items += position < int(p.open_length) && id != p.padding_idx;
  });
  items = warp_count(items);
  clear_row(replaced, int(p.length));
  copy_features(options, row, int(p.length));

  const bool by_probability = p.position_amount.kind == Amount::kProbability;
  const int64_t k = by_probability ? items : exact_amount(p.position_amount, items);
  bool any = false;
  if (row_is_chosen && k > 0) {
    const uint64_t key = row_key(p, row);
    const Draws draws(p, call, key, in);
    const uint64_t cutoff =
        by_probability ? p.position_amount.threshold >> 32 << 32 : position_cutoff(draws, k, items);
#pragma unroll 1
    for (uint32_t part = 0; part < draws.parts(); ++part) {
      // Its barriers also order the other lanes' copies above before the writes below.
      const int listed = list_chosen(draws, part, cutoff, list);
#pragma unroll 1
      for (int start = 0; start < listed; start += kWarpSize) {
        const int i = start + int(lane_index());
        const bool active = i < listed;
        const uint32_t position =
            position_at(p, part * Draws::kPartLength) + (active ? list[i] : 0);
        const Id item = new_item<Options>(p, call, key, in, position, active);
        if (item == 0) continue;
        any = true;
        out[position] = item;
        replaced[position] = true;
        write_features(options, row * p.length + position, uint32_t(item));
      }
    }
  }
  any = __any_sync(kFullWarp, any);
  if (lane_index() == 0) p.noise_labels[row] = any;
}

template <class Id, class Draws, class Options>
__global__ void __launch_bounds__(kMaxWarps<Options>* kWarpSize, 1)
    random_replacement_kernel(const RandomReplacementParams<Id> p, const RowChoice choice,
                              const Options options) {
  __shared__ RowCandidates candidates;
  __shared__ uint8_t lists[kMaxWarps<Options>][Draws::kPartLength];
  // In shared memory instead of registers, so that the compiler computes the keys of Philox' ten
  // rounds where they are needed and does not keep them all.
  __shared__ CallKey call;
  if (threadIdx.x == 0) call = call_key(p);
  __syncthreads();
  const Selection<uint64_t> rows = choose_rows(p, call, choice, &candidates);
  const int64_t warps = blockDim.x / kWarpSize, warp = threadIdx.x / kWarpSize;
#pragma unroll 1
  for (int64_t row = blockIdx.x * warps + warp; row < p.rows; row += gridDim.x * warps) {
    const bool chosen =
        takes_all(rows) || rows.holds(row_draw(call, row_key(p, row)), uint32_t(row));
    replace_row<Id, Draws>(p, options, call, row, chosen, lists[warp]);
  }
}

template <class Draws, class Id, class Options>
void launch_kernel(const RandomReplacementParams<Id>& p, const Options& options, int device,
                   void* stream) {
  const int64_t processors = multiprocessors(device);
  const int64_t warps = std::min<int64_t>(
      kMaxWarps<Options>, std::max<int64_t>(kMinWarps, (p.rows + processors - 1) / processors));
  const int64_t blocks = std::min(processors, (p.rows + warps - 1) / warps);
  launch("random_replacement", random_replacement_kernel<Id, Draws, Options>,
         {blocks, int(warps) * kWarpSize}, device, stream, p, row_choice(p), options);
}

template <class Id, class Options>
void launch_for_length(const RandomReplacementParams<Id>& p, const Options& options, int device,
                       void* stream) {
  if (p.open_length <= kMaxHeldLength)
    return launch_kernel<HeldDraws<Id>>(p, options, device, stream);
  launch_kernel<RepeatedDraws<Id>>(p, options, device, stream);
}

}  // namespace

template <class Id>
void random_replacement(const RandomReplacementParams<Id>& p, const FeatureColumns& features,
                        int device, void* stream) {
  const bool plain = p.alias_table == nullptr && !p.avoid_history && features.count == 0;
  if (plain) return launch_for_length(p, NoOptions{}, device, stream);
  launch_for_length(p, features, device, stream);
}

template void random_replacement(const RandomReplacementParams<int32_t>&, const FeatureColumns&,
                                 int, void*);
template void random_replacement(const RandomReplacementParams<int64_t>&, const FeatureColumns&,
                                 int, void*);

}  // namespace atjt::cuda
