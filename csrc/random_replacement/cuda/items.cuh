// The new item of a chosen position, and its side features.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <type_traits>

#include "random_replacement/cuda/copy_row.cuh"
#include "random_replacement/random_replacement.h"
#include "random_replacement/remaining_item.h"

namespace atjt::cuda {

// In place of FeatureColumns: no features, no history to avoid, no weights. It has a kernel of its
// own, in which those cost no registers.
struct NoOptions {};

__device__ __forceinline__ void copy_features(const NoOptions&, int64_t, int) {}

__device__ __forceinline__ void write_features(const NoOptions&, int64_t, uint32_t) {}

template <class Value>
__device__ __forceinline__ void copy_feature(const FeatureColumn& column, int64_t row, int length) {
  copy_row(static_cast<const Value*>(column.in) + row * length,
           static_cast<Value*>(column.out) + row * length, length, [](int, Value) {});
}

__device__ __forceinline__ void copy_features(const FeatureColumns& features, int64_t row,
                                              int length) {
#pragma unroll 1
  for (int i = 0; i < features.count; ++i) {
    if (features.wide >> i & 1)
      copy_feature<uint64_t>(features.column[i], row, length);
    else
      copy_feature<uint32_t>(features.column[i], row, length);
  }
}

template <class Value>
__device__ __forceinline__ void write_feature(const FeatureColumn& column, int64_t at,
                                              uint32_t item) {
  static_cast<Value*>(column.out)[at] = static_cast<const Value*>(column.table)[item];
}

__device__ __forceinline__ void write_features(const FeatureColumns& features, int64_t at,
                                               uint32_t item) {
#pragma unroll 1
  for (int i = 0; i < features.count; ++i) {
    if (features.wide >> i & 1)
      write_feature<uint64_t>(features.column[i], at, item);
    else
      write_feature<uint32_t>(features.column[i], at, item);
  }
}

// Whether the row holds the item; called by the whole warp with one item.
template <class Id>
__device__ __forceinline__ bool in_row(const RandomReplacementParams<Id>& p, const Id* in,
                                       Id item) {
  bool here = false;
#pragma unroll 1
  for (int i = int(lane_index()); i < int(p.length); i += kWarpSize) here |= in[i] == item;
  return __any_sync(kFullWarp, here);
}

// The row's smallest item above `item`, or a number above all items.
template <class Id>
__device__ __forceinline__ uint32_t next_in_row(const RandomReplacementParams<Id>& p, const Id* in,
                                                uint32_t item) {
  uint32_t next = ~uint32_t{0};
#pragma unroll 1
  for (int i = int(lane_index()); i < int(p.length); i += kWarpSize) {
    const Id id = in[i];
    if (id > Id(item) && id <= Id(p.num_items) && uint32_t(id) < next) next = uint32_t(id);
  }
  return ~warp_max(~next);
}

// Lanes have positions of their own, but search the row together.
template <class Id>
class AllowedItems {
 public:
  __device__ __forceinline__ AllowedItems(const RandomReplacementParams<Id>& p, const CallKey& call,
                                          uint64_t key, const Id* in)
      : p_(p), call_(call), key_(key), in_(in) {}

  // The item for this lane's position; 0 if the lane is inactive or no item remains.
  __device__ __forceinline__ Id draw(uint32_t position, bool active) const {
    const uint64_t index = uint64_t{position} + first_index(p_);
    const Id original = active ? in_[position] : Id(0);
    Id item = 0;
#pragma unroll 1
    for (uint32_t attempt = 0; attempt < kMaxAttempts && __any_sync(kFullWarp, active); ++attempt) {
      Id drawn = 0;
      if (active)
        drawn = drawn_item(p_, item_draw(call_, key_, at_attempt(index, attempt)), original);
      const bool excluded = p_.avoid_history ? drawn_in_row(drawn, active) : drawn == original;
      if (active && !excluded) {
        item = drawn;
        active = false;
      }
    }
#pragma unroll 1
    for (uint32_t lanes = __ballot_sync(kFullWarp, active); lanes != 0; lanes &= lanes - 1) {
      const int lane = __ffs(int(lanes)) - 1;
      const Id remaining = remaining_item(__shfl_sync(kFullWarp, position, lane),
                                          __shfl_sync(kFullWarp, original, lane));
      if (int(lane_index()) == lane) item = remaining;
    }
    return item;
  }

 private:
  // Whether the row holds `drawn`, for each active lane's own item.
  __device__ __forceinline__ bool drawn_in_row(Id drawn, bool active) const {
    bool found = false;
#pragma unroll 1
    for (uint32_t lanes = __ballot_sync(kFullWarp, active); lanes != 0; lanes &= lanes - 1) {
      const int lane = __ffs(int(lanes)) - 1;
      const bool in_the_row = in_row(p_, in_, __shfl_sync(kFullWarp, drawn, lane));
      if (int(lane_index()) == lane) found = in_the_row;
    }
    return found;
  }

  __device__ __forceinline__ Id remaining_item(uint32_t position, Id original) const {
    const Philox4<uint64_t> word = keyed_draw(call_.seed, call_.step, key_, Purpose::kExactItem,
                                              uint64_t{position} + first_index(p_));
    if (p_.alias_table == nullptr)  // here avoid_history holds, or no item would be excluded
      return Id(uniform_remaining_item(word, p_.num_items,
                                       [&](uint32_t item) { return next_in_row(p_, in_, item); }));
    return Id(weighted_remaining_item(word, p_.alias_table, p_.num_items, [&](uint32_t item) {
      return p_.avoid_history ? in_row(p_, in_, Id(item)) : Id(item) == original;
    }));
  }

  const RandomReplacementParams<Id>& p_;
  const CallKey& call_;
  const uint64_t key_;
  const Id* const in_;
};

// Called by the whole warp; 0 if there is nothing to write.
template <class Options, class Id>
__device__ __forceinline__ Id new_item(const RandomReplacementParams<Id>& p, const CallKey& call,
                                       uint64_t key, const Id* in, uint32_t position, bool active) {
  if constexpr (std::is_same_v<Options, NoOptions>) {
    if (!active) return 0;
    const Philox4<uint64_t> word = item_draw(call, key, uint64_t{position} + first_index(p));
    return other_item(uint32_t(other_item_rank(word, p.num_items)), in[position]);
  } else {
    return AllowedItems<Id>(p, call, key, in).draw(position, active);
  }
}

}  // namespace atjt::cuda
