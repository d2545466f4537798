// How passes over tiles are cut into blocks: by shape only, never by the chip or by timing, so that
// the same numbers give the same bits everywhere.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "common/integers.h"

namespace atjt::cuda {

constexpr int64_t kMaxWidth = 256;  // columns of the widest tile

constexpr int64_t kEnoughBlocks = 512;   // two or more for every multiprocessor of today's chips
constexpr int64_t kLeastPerSplit = 512;  // streamed rows: less does not pay for a block

ATJT_HD int64_t splits_for(int64_t blocks, int64_t streamed) {
  return larger_of(
      1, smaller(ceil_of_quotient(kEnoughBlocks, larger_of(blocks, 1)), streamed / kLeastPerSplit));
}

}  // namespace atjt::cuda
