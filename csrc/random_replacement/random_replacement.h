// random_replacement: replaces some items by random other items, in some rows of [rows, length]
// ids.
//
// Every random number is a Philox draw named by (seed; row key, purpose, index, step), and every
// choice is an order on draws. So the result is defined without an algorithm:
//   rows       an exact number: the round(share * rows) rows with the smallest (64-bit draw, row);
//              or with a probability: the rows whose draw is < floor(probability * 2^64)
//   positions  in such a row, an exact number: the k smallest (32-bit draw, position) among the
//              open positions, which are those neither padding nor in a target column;
//              or with a probability: those whose draw is < floor(probability * 2^32)
//   items      uniform: floor(64-bit draw * (num_items - 1) / 2^64) counts through the items
//              1..num_items other than the original; weighted: see common/alias_slots.h
// A probability of 1 takes all. The last `num_targets` columns are copied and do not change the
// other draws: indices count from the end of the open columns.
//
// An item is excluded if it is the original or, with avoid_history, anywhere in the row, target
// columns included. An excluded item is drawn again, up to kMaxAttempts attempts in all; then
// remaining_item.h draws from the other items. If all items (or all items with weight) are
// excluded, the position keeps its item and `replaced` is false.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

#include "common/alias_slots.h"
#include "common/keyed_draw.h"

namespace atjt {

// How many of n: a count, a share of n, or each one with a probability below 1.
struct Amount {
  enum Kind : int32_t { kCount, kShare, kProbability };
  Kind kind;
  int64_t count;
  double share;
  uint64_t threshold;  // takes 64-bit draws below it, and 32-bit draws below its upper half
};

template <class Id>
struct RandomReplacementParams {
  const Id* sequences;      // [rows, length]
  const int64_t* row_keys;  // [rows], or null: the key of a row is its index
  Id* out;                  // [rows, length]
  bool* replaced;           // [rows, length]
  bool* noise_labels;       // [rows]
  int64_t rows, length;
  int64_t open_length;  // length less the target columns
  uint32_t num_items;   // items are 1..num_items, and num_items >= 2 wherever something is replaced
  Id padding_idx;
  Amount row_amount;            // of all rows
  Amount position_amount;       // of the items in the open columns of a chosen row
  const uint64_t* alias_table;  // [num_items], or null: items are uniform
  bool avoid_history;
  uint64_t seed;
  uint32_t step;
  const int64_t* seed_at;  // the seed in memory beside the sequences; null: `seed`
  const int64_t* step_at;  // the step likewise
};

// Side features per position: a replaced position gets the feature of its new item.
constexpr int kMaxFeatures = 64;

struct FeatureColumn {
  const void* in;     // [rows, length]
  void* out;          // [rows, length]
  const void* table;  // [num_items + 1], by item
};

struct FeatureColumns {
  int32_t count;
  uint64_t wide;  // bit i: column i holds numbers of 8 bytes instead of 4
  FeatureColumn column[kMaxFeatures];
};

// The part of a draw's name that a call fixes.
struct CallKey {
  uint64_t seed;
  uint32_t step;
};

template <class Id>
ATJT_HD CallKey call_key(const RandomReplacementParams<Id>& p) {
  return {p.seed_at != nullptr ? uint64_t(*p.seed_at) : p.seed,
          p.step_at != nullptr ? uint32_t(*p.step_at) : p.step};
}

template <class Id>
ATJT_HD uint64_t row_key(const RandomReplacementParams<Id>& p, int64_t row) {
  return uint64_t(p.row_keys != nullptr ? p.row_keys[row] : row);
}

// Rows with the smallest draws are chosen.
ATJT_HD uint64_t row_draw(const CallKey& call, uint64_t key) {
  const Philox4<uint64_t> word = keyed_draw(call.seed, call.step, key, Purpose::kRow, uint64_t{0});
  return word.y << 32 | uint32_t(word.x);
}

template <class Id>
ATJT_HD uint32_t first_index(const RandomReplacementParams<Id>& p) {
  return first_index(p.open_length);
}

// The draws of the indices 4 * group + {0, 1, 2, 3}; positions with the smallest are chosen.
template <class Word>
ATJT_HD Philox4<Word> position_draws(const CallKey& call, uint64_t key, const Word& group) {
  return keyed_draw(call.seed, call.step, key, Purpose::kPosition, group);
}

// The draw of the new item for the position with this index.
template <class Word>
ATJT_HD Philox4<Word> item_draw(const CallKey& call, uint64_t key, const Word& index) {
  return keyed_draw(call.seed, call.step, key, Purpose::kItem, index);
}

// The new item's rank among the num_items - 1 items other than the original.
template <class Word>
ATJT_HD Word other_item_rank(const Philox4<Word>& word, uint32_t num_items) {
  return bounded(word.x, word.y, num_items - 1);
}

// The item of that rank. Ranks skip the original, so no draw is repeated.
template <class Id>
ATJT_HD Id other_item(uint32_t rank, Id original) {
  const Id item = Id(1 + rank);
  return Id(item + Id(item >= original));
}

// The item of one attempt; it may be excluded.
template <class Id>
ATJT_HD Id drawn_item(const RandomReplacementParams<Id>& p, const Philox4<uint64_t>& word,
                      Id original) {
  if (p.alias_table == nullptr)
    return other_item(uint32_t(other_item_rank(word, p.num_items)), original);
  return Id(1 + weighted_index(p.alias_table, p.num_items, word));
}

// floor(share * count + 0.5) with two roundings: nvcc would fuse them into one.
ATJT_HD int64_t rounded_share(double share, int64_t count) {
#if defined(__CUDA_ARCH__)
  return int64_t(__dadd_rn(__dmul_rn(share, double(count)), 0.5));
#else
  return int64_t(share * double(count) + 0.5);
#endif
}

// How many of n are taken; not defined for probabilities.
ATJT_HD int64_t exact_amount(const Amount& amount, int64_t n) {
  if (amount.kind == Amount::kShare) return rounded_share(amount.share, n);
  return amount.count < n ? amount.count : n;
}

// The op on either device, for int32_t and int64_t ids.
namespace cpu {
// Throws std::invalid_argument, naming the place, if an id is neither padding nor in 1..num_items.
template <class Id>
void random_replacement(const RandomReplacementParams<Id>& params, const FeatureColumns& features,
                        int num_threads);
}  // namespace cpu

namespace cuda {
// Ids out of range are not refused: each counts as an item, and an item in range may replace it.
template <class Id>
void random_replacement(const RandomReplacementParams<Id>& params, const FeatureColumns& features,
                        int device, void* stream);
}  // namespace cuda

}  // namespace atjt
