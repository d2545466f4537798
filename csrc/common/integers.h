// Integer arithmetic for host and device.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

#include "common/host_device.h"

namespace atjt {

ATJT_HD int64_t ceil_of_quotient(int64_t a, int64_t b) { return (a + b - 1) / b; }
ATJT_HD int64_t smaller(int64_t a, int64_t b) { return a < b ? a : b; }
ATJT_HD int64_t larger_of(int64_t a, int64_t b) { return a > b ? a : b; }

// The upper half of the product.
ATJT_HD uint64_t multiply_high(uint64_t a, uint64_t b) {
#if defined(__CUDA_ARCH__)
  return __umul64hi(a, b);
#else
  __extension__ typedef unsigned __int128 Wide;
  return uint64_t(Wide(a) * b >> 64);
#endif
}

}  // namespace atjt
