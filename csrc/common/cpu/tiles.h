// How loops over [rows, classes] are cut into tiles, so that no matrix of that size is stored.
//
// A tile of one side stays (rows in the forward pass, items in the gradient of the table) while the
// other side streams. Staying numbers lie side by side in the lanes of vectors, so that sums and
// maxima over the stream are sums and maxima of vectors. The stream is read as it lies in memory,
// each number broadcast to all lanes. One pair of products (gemm_tiles.h) serves both passes:
//   S = stream . stay^T,   totals += stream^T . P
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

#include "common/cpu/isa.h"

namespace atjt::cpu {

// The length of a streamed tile, and of a sum of products in float before it continues in double.
// 256 would be 2% faster, but less exact than PyTorch. 128 by 48 lanes is a tile of 24 KiB beside
// the stream's 32 KiB (at width 64): both stay in the second cache.
constexpr int kStreamTile = 128;

// The same for sums of single numbers. They are cheap, so the blocks can be shorter.
constexpr int kSumBlock = 32;

// Three vectors of lanes by eight broadcast numbers are 24 sums in registers (of 32 with AVX-512);
// three by four are 12 (of 16 elsewhere). Each broadcast then serves three multiply-adds, each load
// of lanes eight or four, and no sum waits for its previous addition.
constexpr int kTileVectors = 3;

template <Isa isa>
struct TileShape {
  static constexpr int kVectorBytes = isa == Isa::x86_64_v4 ? 64 : isa == Isa::x86_64_v3 ? 32 : 16;
#if defined(__aarch64__)
  static constexpr int kBroadcasts = 8;
#else
  static constexpr int kBroadcasts = isa == Isa::x86_64_v4 ? 8 : 4;
#endif
  template <class Real>
  static constexpr int lanes() {
    return kTileVectors * kVectorBytes / int(sizeof(Real));
  }
};

struct Range {
  int64_t begin, end;
  constexpr int64_t size() const { return end - begin; }
};

// The memory of one thread for its tiles, aligned to 64 bytes.
template <class Real>
struct TileScratch {
  Real* stay;      // [width, lanes]
  Real* products;  // [kStreamTile, lanes]
  double* totals;  // [width, lanes]
  Real* stream;    // [kStreamTile, width]: the stream as Real, if it is stored as another type

  static constexpr int64_t bytes(int64_t width, int64_t lanes) {
    return (width * lanes + kStreamTile * (lanes + width)) * int64_t(sizeof(Real)) +
           width * lanes * int64_t(sizeof(double));
  }
  TileScratch(void* memory, int64_t width, int64_t lanes)
      : stay(static_cast<Real*>(memory)),
        products(stay + width * lanes),
        totals(reinterpret_cast<double*>(products + kStreamTile * lanes)),
        stream(reinterpret_cast<Real*>(totals + width * lanes)) {}
};

}  // namespace atjt::cpu
