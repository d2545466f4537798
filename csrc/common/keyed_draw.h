// Random words named by seed, step, row, purpose and index.
//
// No word depends on earlier words, so a row has the same words in any batch, on any device, with
// any number of threads. A choice that compares rows, such as an exact number of them, depends on
// the batch.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

#include "common/philox.h"

namespace atjt {

// The purpose of a draw: four bits beside an index of 28 bits. atjt_ext/ops/keyed_draws.py names
// those from kFirstOfPython on, which the kernels need not know.
enum class Purpose : uint32_t {
  kRow = 0,
  kPosition = 1,
  kItem = 2,
  kExactItem = 3,
  kFirstOfPython = 4
};

constexpr int kIndexBits = 28;
// The longest row. Indices of positions then differ in the low 23 bits only. The five bits above,
// which are all ones, number up to 32 attempts at the same draw.
constexpr int64_t kMaxLength = int64_t{1} << 23;
constexpr uint32_t kMaxAttempts = 32;

// `row_key` holds the row's key, `row_key_high` its upper half.
template <class Word>
ATJT_HD Philox4<Word> keyed_draw(uint64_t seed, uint32_t step, const Word& row_key,
                                 const Word& row_key_high, Purpose purpose, const Word& index) {
  const Philox4<Word> counter = {row_key, row_key_high, index | (uint32_t(purpose) << kIndexBits),
                                 Word{} + step};
  return philox4x32_10(counter, uint32_t(seed), uint32_t(seed >> 32));
}

template <class Word>
ATJT_HD Philox4<Word> keyed_draw(uint64_t seed, uint32_t step, uint64_t row_key, Purpose purpose,
                                 const Word& index) {
  return keyed_draw(seed, step, Word{} + uint32_t(row_key), Word{} + uint32_t(row_key >> 32),
                    purpose, index);
}

constexpr uint32_t kEndIndex = uint32_t{1} << kIndexBits;  // one past the last position's index

// The index of position 0; position i has index i more. The last position has the same index in
// every row, so padding on the left, which depends on the batch's longest row, does not change the
// draws.
ATJT_HD uint32_t first_index(int64_t length) { return uint32_t(kEndIndex - length); }

// The key of numbers that need the whole counter for themselves, as those of dropout do: a number
// of its own kind for each (seed, place), like fold_in of JAX. The counter belongs to no
// keyed_draw: keyed_draws, which alone has purposes from kFirstOfPython on, draws pairs, whose
// indices end at 2^27. Two keys are equal with a probability of 2^-64.
ATJT_HD uint64_t derived_key(uint64_t seed, uint32_t place) {
  const Philox4<uint64_t> counter = {place, 0, 0xFFFFFFFFu, 0};
  const Philox4<uint64_t> word = philox4x32_10(counter, uint32_t(seed), uint32_t(seed >> 32));
  return word.y << 32 | uint32_t(word.x);
}

// The index of the same position at a later attempt (0, 1, ... kMaxAttempts - 1).
template <class Word>
ATJT_HD Word at_attempt(const Word& index, uint32_t attempt) {
  return index ^ (attempt << 23);
}

}  // namespace atjt
