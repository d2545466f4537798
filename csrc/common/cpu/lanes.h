// A vector of 64-bit words, of the instruction set's width, for the draws of philox.h.
//
// Written by hand, because compilers vectorise a 32 x 32 -> 64 bit product badly: GCC 12 emits full
// 64-bit products and shuffles, at three times the cost of the dedicated instruction.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <cstring>

#if defined(__SSE2__)
#include <immintrin.h>
#endif

#include "common/host_device.h"

namespace atjt::cpu {

#if defined(__AVX512F__)
constexpr int kLanes = 8;
#elif defined(__AVX2__)
constexpr int kLanes = 4;
#else
constexpr int kLanes = 2;
#endif

struct Lanes {
  using Words [[gnu::vector_size(8 * kLanes)]] = uint64_t;
  using HalfWords [[gnu::vector_size(4 * kLanes)]] = uint32_t;
  Words words;
};

ATJT_HD Lanes operator^(Lanes a, Lanes b) { return {a.words ^ b.words}; }
ATJT_HD Lanes operator^(Lanes a, uint32_t b) { return {a.words ^ uint64_t{b}}; }
ATJT_HD Lanes operator|(Lanes a, uint32_t b) { return {a.words | uint64_t{b}}; }
ATJT_HD Lanes operator+(Lanes a, Lanes b) { return {a.words + b.words}; }
ATJT_HD Lanes operator+(Lanes a, uint32_t b) { return {a.words + uint64_t{b}}; }
ATJT_HD Lanes operator>>(Lanes a, int bits) { return {a.words >> bits}; }

ATJT_HD Lanes multiply(Lanes a, uint32_t b) {
  const Lanes factor = Lanes{} + b;
#if defined(__AVX512F__)
  // The masked form, with a mask of ones: GCC's plain form reads an uninitialised value and warns.
  return {(Lanes::Words)_mm512_maskz_mul_epu32(0xFF, (__m512i)a.words, (__m512i)factor.words)};
#elif defined(__AVX2__)
  return {(Lanes::Words)_mm256_mul_epu32((__m256i)a.words, (__m256i)factor.words)};
#elif defined(__SSE2__)
  return {(Lanes::Words)_mm_mul_epu32((__m128i)a.words, (__m128i)factor.words)};
#else
  return {(a.words & 0xFFFFFFFFu) * factor.words};
#endif
}

// start, start + 1, ...
ATJT_HD Lanes counting_from(uint32_t start) {
  Lanes lanes{};
  for (int i = 0; i < kLanes; ++i) lanes.words[i] = uint64_t(i);
  return lanes + start;
}

ATJT_HD Lanes load_words(const uint32_t* from) {
  Lanes::HalfWords half;
  std::memcpy(&half, from, sizeof half);
  return {__builtin_convertvector(half, Lanes::Words)};
}

ATJT_HD void store_words(uint32_t* to, Lanes lanes) {
  const auto half = __builtin_convertvector(lanes.words, Lanes::HalfWords);
  std::memcpy(to, &half, sizeof half);
}

// Stores x0 y0 z0 w0 x1 y1 z1 w1 ...
ATJT_HD void store_interleaved(uint32_t* to, Lanes x, Lanes y, Lanes z, Lanes w) {
  const Lanes::Words xy = (x.words & 0xFFFFFFFFu) | y.words << 32;
  const Lanes::Words zw = (z.words & 0xFFFFFFFFu) | w.words << 32;
#if defined(__AVX512F__)
  const __m512i low = _mm512_setr_epi64(0, 8, 1, 9, 2, 10, 3, 11);
  const __m512i high = _mm512_setr_epi64(4, 12, 5, 13, 6, 14, 7, 15);
  _mm512_storeu_si512(to, _mm512_permutex2var_epi64((__m512i)xy, low, (__m512i)zw));
  _mm512_storeu_si512(to + 16, _mm512_permutex2var_epi64((__m512i)xy, high, (__m512i)zw));
#elif defined(__AVX2__)
  const __m256i even = _mm256_unpacklo_epi64((__m256i)xy, (__m256i)zw);  // calls 0 and 2
  const __m256i odd = _mm256_unpackhi_epi64((__m256i)xy, (__m256i)zw);   // calls 1 and 3
  _mm256_storeu_si256((__m256i*)to, _mm256_permute2x128_si256(even, odd, 0x20));
  _mm256_storeu_si256((__m256i*)(to + 8), _mm256_permute2x128_si256(even, odd, 0x31));
#else
  for (int i = 0; i < kLanes; ++i) {
    const uint64_t pairs[2] = {xy[i], zw[i]};
    std::memcpy(to + 4 * i, pairs, sizeof pairs);
  }
#endif
}

}  // namespace atjt::cpu
