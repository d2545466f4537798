// Where numbers lie in the tiles of the matrix kernels: in shared memory, and in the registers of a
// warp ("Matrix Fragments for mma" of the PTX manual).
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "common/host_device.h"

namespace atjt {

// A row is cut into chunks of 16 bytes, and an XOR with the row's number moves the chunks. So eight
// rows of one chunk (ldmatrix) lie in different banks, and so do eight chunks of one row (copies).
template <int kRowBytes>
struct SwizzledRows {
  static_assert(kRowBytes >= 64 && (kRowBytes & (kRowBytes - 1)) == 0);
  static constexpr int kChunks = kRowBytes / 16;

  // Bytes from the beginning of the tile.
  ATJT_HD constexpr int offset(int row, int chunk) {
    // Two rows of 64 bytes share the 128 bytes that all banks hold once.
    const int key = kRowBytes == 64 ? row / 2 % 4 : row % 8;
    return row * kRowBytes + (chunk ^ key) * 16;
  }

  // Moves an offset whose chunk is 0 or 1 down by `rows` (a multiple of 8) and right by `chunks`
  // (even). With constant arguments one instruction is left to run time.
  ATJT_HD constexpr int moved(int offset, int rows, int chunks) {
    return (offset ^ chunks % 8 * 16) + chunks / 8 * 128 + rows * kRowBytes;
  }
};

// The accumulators of m16n8: element i = 2 h + e of a lane is at (row(lane) + 8 h, column(lane) +
// e).
struct AccumulatorLayout {
  ATJT_HD constexpr int row(int lane) { return lane / 4; }
  ATJT_HD constexpr int column(int lane) { return lane % 4 * 2; }
};

// The row and chunk that a lane passes to ldmatrix.x4.
struct LoadMatrixLayout {
  int row, chunk;
};
// For the left operand: 16 rows, two chunks. Also for the transposed right operand: 16 rows, two
// chunks of columns.
ATJT_HD constexpr LoadMatrixLayout rows_first(int lane) {
  return {lane / 8 % 2 * 8 + lane % 8, lane / 16};
}
// For the right operand, whose columns are 16 rows in memory.
ATJT_HD constexpr LoadMatrixLayout chunks_first(int lane) {
  return {lane / 16 * 8 + lane % 8, lane / 8 % 2};
}

}  // namespace atjt
