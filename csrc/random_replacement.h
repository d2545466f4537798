// random_replacement: in some rows of [rows, length] ids, replace some items by random other items.
//
// Everything random is a Philox draw named by (seed; row key, purpose, index, step), and every
// choice is an order on draws, so the result is defined without naming an algorithm:
//   rows       the round(sequence_fraction * rows) rows with the smallest (64-bit draw, row)
//   positions  in such a row, the k smallest (32-bit draw, position) among positions not padding
//   items      floor(64-bit draw * (num_items - 1) / 2^64) counts through the items 1..num_items
//              other than the original
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

#include "keyed_draws.h"

namespace atjt {

template <class Id>
struct RandomReplacementParams {
  const Id* sequences;      // [rows, length]
  const int64_t* row_keys;  // [rows], or null: the key of a row is its index
  Id* out;                  // [rows, length]
  bool* replaced;           // [rows, length]
  bool* noise_labels;       // [rows]
  int64_t rows, length;
  uint32_t num_items;  // items are 1..num_items, and num_items >= 2 wherever something is replaced
  Id padding_idx;
  double sequence_fraction;
  int64_t num_replacements;  // per row; negative: replace_ratio decides
  double replace_ratio;
  uint64_t seed;
  uint32_t step;
};

template <class Id>
ATJT_HD uint64_t row_key(const RandomReplacementParams<Id>& p, int64_t row) {
  return uint64_t(p.row_keys != nullptr ? p.row_keys[row] : row);
}

// Rows with the smallest draws are chosen.
template <class Id>
ATJT_HD uint64_t row_draw(const RandomReplacementParams<Id>& p, int64_t row) {
  const Philox4<uint64_t> word =
      keyed_draw(p.seed, p.step, row_key(p, row), Purpose::kRow, uint64_t{0});
  return word.y << 32 | uint32_t(word.x);
}

template <class Id>
ATJT_HD uint32_t first_index(const RandomReplacementParams<Id>& p) {
  return first_index(p.length);
}

// The draws of the indices 4 * group + {0, 1, 2, 3}; positions with the smallest are chosen.
template <class Id, class Word>
ATJT_HD Philox4<Word> position_draws(const RandomReplacementParams<Id>& p, uint64_t key,
                                     const Word& group) {
  return keyed_draw(p.seed, p.step, key, Purpose::kPosition, group);
}

// Which of the num_items - 1 items other than the original a position gets, counted from 0.
template <class Id, class Word>
ATJT_HD Word other_item_rank(const RandomReplacementParams<Id>& p, uint64_t key,
                             const Word& position) {
  const Philox4<Word> word =
      keyed_draw(p.seed, p.step, key, Purpose::kItem, position + first_index(p));
  return bounded(word.x, word.y, p.num_items - 1);
}

// The item of that rank: counting steps over the original, so there is nothing to draw again.
template <class Id>
ATJT_HD Id other_item(uint32_t rank, Id original) {
  const Id item = Id(1 + rank);
  return Id(item + Id(item >= original));
}

// floor(share * count + 0.5) with both roundings of double arithmetic: nvcc would fuse them into
// one.
ATJT_HD int64_t rounded_share(double share, int64_t count) {
#if defined(__CUDA_ARCH__)
  return int64_t(__dadd_rn(__dmul_rn(share, double(count)), 0.5));
#else
  return int64_t(share * double(count) + 0.5);
#endif
}

template <class Id>
ATJT_HD int64_t replacements_in_row(const RandomReplacementParams<Id>& p, int64_t items_in_row) {
  if (p.num_replacements < 0) return rounded_share(p.replace_ratio, items_in_row);
  return p.num_replacements < items_in_row ? p.num_replacements : items_in_row;
}

// The op on either device, for int32_t and int64_t ids.
namespace cpu {
// Throws std::invalid_argument, naming the place, if an id is neither padding nor in 1..num_items.
template <class Id>
void random_replacement(const RandomReplacementParams<Id>& params, int num_threads);
}  // namespace cpu

namespace cuda {
// Does not look for ids out of range: each counts as an item, and is replaced by one in range.
template <class Id>
void random_replacement(const RandomReplacementParams<Id>& params, int device, void* stream);
}  // namespace cuda

}  // namespace atjt
