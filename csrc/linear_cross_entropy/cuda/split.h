// How both passes of the whole-catalogue loss are cut into blocks: by the shape and the number of
// rows that count.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "common/cuda/splits.h"

namespace atjt::cuda {

// The most streamed rows of a sum that cannot be taken off in between: tensor cores cut off, and
// 2^13 steps lose 2e-4 of the sum.
constexpr int64_t kMostPerSplit = 131072;

// Forward: the catalogue is split. Blocks without a row that counts take part in the others' work,
// so there are as many slots for sums as blocks, and the number of splits depends on the count.
struct ForwardSplit {
  int64_t slots;       // blocks, and block_rows of workspace each
  int64_t row_blocks;  // with rows that count
  int64_t splits, per_split;

  ATJT_HD int64_t slots_for(int64_t rows, int64_t classes, int64_t block_rows) {
    const int64_t blocks = ceil_of_quotient(rows, block_rows);
    return blocks * splits_for(blocks, classes);
  }

  ATJT_HD ForwardSplit of(int64_t rows, int64_t counted, int64_t classes, int64_t block_rows,
                          int64_t tile_rows) {
    ForwardSplit split;
    split.slots = slots_for(rows, classes, block_rows);
    split.row_blocks = larger_of(1, ceil_of_quotient(counted, block_rows));
    const int64_t wanted =
        larger_of(1, smaller(split.slots / split.row_blocks, classes / kLeastPerSplit));
    split.per_split = ceil_of_quotient(ceil_of_quotient(classes, wanted), tile_rows) * tile_rows;
    split.splits = larger_of(1, ceil_of_quotient(classes, split.per_split));
    return split;
  }
};

// Gradient of the table: the rows are split.
ATJT_HD int64_t gradient_splits(int64_t rows, int64_t classes, int64_t block_rows) {
  return larger_of(splits_for(ceil_of_quotient(classes, block_rows), rows),
                   ceil_of_quotient(rows, kMostPerSplit));
}

}  // namespace atjt::cuda
