// keyed_dropout: each number is dropped by chance or multiplied by 1 / (1 - p).
//
// 16 random bits decide on a number. One call of the generator has those of kGroup neighbours:
//
//   key      derived_key(seed, layer)
//   counter  row key (low half), row key (high half), position * 2^9 + channel / 8, step
//   bits     of channel c: half c % 8 of the words x, y, z, w, the low half of x first
//
// So the bits of a number depend on nothing else: not on the batch, the padding or the width.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "common/half.h"
#include "common/keyed_draw.h"

namespace atjt {

constexpr int kGroup = 8;      // numbers per call of the generator
constexpr int kGroupBits = 9;  // beside the 23 bits of a position
constexpr int64_t kMaxWidth = int64_t{kGroup} << kGroupBits;
constexpr int64_t kDropoutSteps = int64_t{1} << 16;  // p is a multiple of 1 / kDropoutSteps

template <class T>
struct KeyedDropoutParams {
  const T* values;           // [rows, width]
  const int64_t* row_keys;   // [rows]
  const int64_t* positions;  // [rows], in [0, kMaxLength)
  T* out;                    // [rows, width]
  int64_t rows, width;
  uint32_t threshold;  // p * kDropoutSteps: bits below it drop a number
  uint32_t layer;
  uint64_t seed;
  uint32_t step;
  const int64_t* seed_at;  // the seed in memory beside the values; null: `seed`
  const int64_t* step_at;  // the step likewise
};

// What all rows of a call share.
template <class T>
struct Dropout {
  uint64_t key;
  uint32_t step, threshold;
  Arithmetic<T> scale;  // of a number that is kept
};

// Reads seed and step from memory; call it on the device that holds them.
template <class T>
ATJT_HD Dropout<T> dropout_of(const KeyedDropoutParams<T>& p) {
  const uint64_t seed = p.seed_at != nullptr ? uint64_t(*p.seed_at) : p.seed;
  const uint32_t step = p.step_at != nullptr ? uint32_t(*p.step_at) : p.step;
  const auto kept = Arithmetic<T>(kDropoutSteps - p.threshold);
  return {derived_key(seed, p.layer), step, p.threshold, Arithmetic<T>(kDropoutSteps) / kept};
}

ATJT_HD int64_t groups_of(int64_t width) { return (width + kGroup - 1) / kGroup; }

ATJT_HD bool is_position(int64_t position) { return position >= 0 && position < kMaxLength; }

// The bits of the numbers of a group; `group` counts them in their row.
template <class T, class Word>
ATJT_HD Philox4<Word> dropout_bits(const Dropout<T>& dropout, uint64_t row_key, int64_t position,
                                   const Word& group) {
  const Philox4<Word> counter = {Word{} + uint32_t(row_key), Word{} + uint32_t(row_key >> 32),
                                 group | uint32_t(position) << kGroupBits, Word{} + dropout.step};
  return philox4x32_10(counter, uint32_t(dropout.key), uint32_t(dropout.key >> 32));
}

namespace cpu {
template <class T>
void keyed_dropout(const KeyedDropoutParams<T>& params, int num_threads);
}  // namespace cpu

namespace cuda {
template <class T>
void keyed_dropout(const KeyedDropoutParams<T>& params, int device, void* stream);
}  // namespace cuda

}  // namespace atjt
