// Random words with a name: which seed, step and row, for what, at which index.
//
// Nothing depends on how many words were drawn before, so a row draws the same in any batch, on any
// device, with any number of threads.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

#include "common/philox.h"

namespace atjt {

// What a draw is for. Four bits, beside an index of 28 bits. From kFirstOfPython on they are named
// in atjt_ext/ops/keyed_draws.py, whose callers the kernels need not know.
enum class Purpose : uint32_t {
  kRow = 0,
  kPosition = 1,
  kItem = 2,
  kExactItem = 3,
  kFirstOfPython = 4
};

constexpr int kIndexBits = 28;
// Rows are no longer, so that the indices of their positions differ in the low 23 bits only. The
// five bits above them, all ones there, tell up to 32 attempts at the same draw apart.
constexpr int64_t kMaxLength = int64_t{1} << 23;
constexpr uint32_t kMaxAttempts = 32;

// One word has 64 bits of a row's key, one has its upper half.
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

// The index of position 0 of a row; that of position i is i more. Counted so that the last position
// always has the same one: padding on the left, of which a row has more where it stands in a batch
// with longer rows, does not change what is drawn.
ATJT_HD uint32_t first_index(int64_t length) { return uint32_t(kEndIndex - length); }

// The index of the same position at a later attempt (0, 1, ... kMaxAttempts - 1).
template <class Word>
ATJT_HD Word at_attempt(const Word& index, uint32_t attempt) {
  return index ^ (attempt << 23);
}

}  // namespace atjt
