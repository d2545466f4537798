// The k smallest draws, found by a warp or block together.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "common/cuda/launch.cuh"
#include "random_replacement/select_smallest.h"

namespace atjt::cuda {

// Whether (draw, index) is among the smallest; the index decides between equal draws.
template <class Key>
struct Selection {
  Key cutoff;        // smaller draws belong
  uint32_t tie_end;  // equal draws belong if their index is smaller

  __device__ bool holds(Key draw, uint32_t index) const {
    return draw < cutoff || (draw == cutoff && index < tie_end);
  }
};

template <class Key>
constexpr Selection<Key> kAll = {Key(~Key{0}), ~uint32_t{0}};

template <class Key>
constexpr Selection<Key> kNone = {0, 0};

template <class Key>
__device__ bool takes_all(const Selection<Key>& selection) {
  return selection.cutoff == Key(~Key{0}) && selection.tie_end == ~uint32_t{0};
}

// `count(accept)` returns the number of (draw, index) with accept(draw, index), the same in all
// threads. Requires 0 < k < n for n draws, none of them above `largest`.
template <class Key, class Count>
__device__ Selection<Key> select_smallest(int64_t k, int64_t n, const Count& count,
                                          Key largest = Key(~Key{0})) {
  const Cutoff<Key> cutoff = find_cutoff<Key>(
      k, n, [&](Key limit) { return count([limit](Key draw, uint32_t) { return draw <= limit; }); },
      largest);
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

// One instruction on architectures that have it.
__device__ __forceinline__ int warp_count(int value) {
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 800
  return __reduce_add_sync(kFullWarp, value);
#else
  return warp_sum(value);
#endif
}

}  // namespace atjt::cuda
