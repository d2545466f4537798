// Reads and writes blocks of stored numbers in the type of their arithmetic. float and double pass
// through; half precision goes through a buffer that stays in the first cache.
//
// Block by block, because compilers use the processor's float16 conversion only in loops that do
// nothing else.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

#if defined(__F16C__)
#include <immintrin.h>
#endif

#include "common/half.h"

namespace atjt::cpu {

// Also the length of a sum in float before it continues in double: longer sums would lose digits.
constexpr int64_t kBlock = 1024;

// Calls f(start, number) for the blocks of a row.
template <class F>
static void each_block(int64_t n, const F& f) {
  for (int64_t start = 0; start < n; start += kBlock)
    f(start, n - start < kBlock ? n - start : kBlock);
}

// The n <= kBlock numbers at x: in the buffer, or in place if no conversion is needed.
ATJT_HD const float* read_block(const float* x, int64_t, float*) { return x; }
ATJT_HD const double* read_block(const double* x, int64_t, double*) { return x; }

ATJT_HD const float* read_block(const BFloat16* x, int64_t n, float* buffer) {
#pragma omp simd
  for (int64_t i = 0; i < n; ++i) buffer[i] = widen(x[i]);
  return buffer;
}

ATJT_HD const float* read_block(const Float16* x, int64_t n, float* buffer) {
  int64_t done = 0;
#if defined(__F16C__)
  for (; done + 8 <= n; done += 8)
    _mm256_storeu_ps(buffer + done, _mm256_cvtph_ps(_mm_loadu_si128((const __m128i*)(x + done))));
#endif
#pragma omp simd
  for (int64_t i = done; i < n; ++i) buffer[i] = widen(x[i]);
  return buffer;
}

// The place for n numbers that write_block then stores at x.
ATJT_HD float* block_for(float* x, float*) { return x; }
ATJT_HD double* block_for(double* x, double*) { return x; }
ATJT_HD float* block_for(BFloat16*, float* buffer) { return buffer; }
ATJT_HD float* block_for(Float16*, float* buffer) { return buffer; }

ATJT_HD void write_block(float*, int64_t, const float*) {}
ATJT_HD void write_block(double*, int64_t, const double*) {}

ATJT_HD void write_block(BFloat16* x, int64_t n, const float* buffer) {
#pragma omp simd
  for (int64_t i = 0; i < n; ++i) narrow(buffer[i], &x[i]);
}

ATJT_HD void write_block(Float16* x, int64_t n, const float* buffer) {
  int64_t done = 0;
#if defined(__F16C__)
  for (; done + 8 <= n; done += 8)
    _mm_storeu_si128((__m128i*)(x + done),
                     _mm256_cvtps_ph(_mm256_loadu_ps(buffer + done), _MM_FROUND_TO_NEAREST_INT));
#endif
#pragma omp simd
  for (int64_t i = done; i < n; ++i) narrow(buffer[i], &x[i]);
}

}  // namespace atjt::cpu
