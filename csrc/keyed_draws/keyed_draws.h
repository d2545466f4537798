// keyed_draws: 64 random bits for every row and position. Positions 2 * group and 2 * group + 1,
// counted by their index, share one call of the generator.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "common/keyed_draw.h"

namespace atjt {

struct KeyedDrawsParams {
  const int64_t* row_keys;  // [rows]
  int64_t* out;             // [rows, length]
  int64_t rows, length;
  Purpose purpose;
  uint64_t seed;
  uint32_t step;
  const int64_t* seed_at;  // the seed in memory beside the row keys; null: `seed`
  const int64_t* step_at;  // the step likewise
};

// Reads seed and step from memory; call it on the device that holds them.
ATJT_HD KeyedDrawsParams with_seed_and_step(KeyedDrawsParams p) {
  if (p.seed_at != nullptr) p.seed = uint64_t(*p.seed_at);
  if (p.step_at != nullptr) p.step = uint32_t(*p.step_at);
  return p;
}

ATJT_HD uint32_t first_group(const KeyedDrawsParams& p) { return first_index(p.length) / 2; }

constexpr uint32_t kEndGroup = kEndIndex / 2;

// {x, y} are the low and high half of the even position's draw, {z, w} of the odd one's.
template <class Word>
ATJT_HD Philox4<Word> paired_draws(const KeyedDrawsParams& p, int64_t row, const Word& group) {
  return keyed_draw(p.seed, p.step, uint64_t(p.row_keys[row]), p.purpose, group);
}

namespace cpu {
void keyed_draws(const KeyedDrawsParams& params, int num_threads);
}  // namespace cpu

namespace cuda {
void keyed_draws(const KeyedDrawsParams& params, int device, void* stream);
}  // namespace cuda

}  // namespace atjt
