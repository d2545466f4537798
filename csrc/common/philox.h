// Philox4x32-10 (Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", SC'11, table 2).
//
// Stateless: the words depend on (key, counter) and nothing else. So CPU and CUDA agree bit for
// bit, and a row draws the same numbers whatever batch, launch or thread it sits in.
//
// The functions are templates over the Word they work on: uint64_t for one draw, a vector of them
// for several at once (common/cpu/lanes.h). Only the low 32 bits of a Word are meaningful.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

#include "common/host_device.h"

namespace atjt {

template <class Word>
struct Philox4 {
  Word x, y, z, w;
};

// The 64-bit product of the low halves.
ATJT_HD uint64_t multiply(uint64_t a, uint32_t b) { return uint64_t{uint32_t(a)} * b; }

template <class Word>
ATJT_HD Philox4<Word> philox_round(const Philox4<Word>& counter, uint32_t key_x, uint32_t key_y) {
  const Word product_x = multiply(counter.x, 0xD2511F53u);
  const Word product_z = multiply(counter.z, 0xCD9E8D57u);
  return {(product_z >> 32) ^ counter.y ^ key_x, product_z, (product_x >> 32) ^ counter.w ^ key_y,
          product_x};
}

template <class Word>
ATJT_HD Philox4<Word> philox4x32_10(Philox4<Word> counter, uint32_t key_x, uint32_t key_y) {
  ATJT_UNROLL
  for (int round = 0; round < 10; ++round) {
    counter = philox_round(counter, key_x, key_y);
    key_x += 0x9E3779B9u;  // the Weyl sequence of the key
    key_y += 0xBB67AE85u;
  }
  return counter;
}

// floor(draw * bound / 2^64) of the 64-bit draw low + high * 2^32: uniform on [0, bound) up to a
// bias below bound / 2^64.
template <class Word>
ATJT_HD Word bounded(const Word& low, const Word& high, uint32_t bound) {
  return (multiply(high, bound) + (multiply(low, bound) >> 32)) >> 32;
}

}  // namespace atjt
