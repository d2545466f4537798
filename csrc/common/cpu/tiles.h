// How the loops over [rows, classes] are cut, for all that must never store a matrix of that size.
//
// A tile of one side stays (rows in the forward pass, items in the gradient of the table) while the
// other side streams by. Numbers that stay lie side by side in the lanes of vectors, so that sums
// and maxima over the stream are sums and maxima of vectors; the stream is read as it lies in
// memory, each number broadcast to all lanes. One pair of products (gemm_tiles.h) serves both
// passes: S = stream . stay^T, and totals += stream^T . P.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

#include "common/cpu/isa.h"

namespace atjt::cpu {

// Numbers that stream by before anything else happens, and how many products are added up in float
// before a sum goes on in double. 256 would be 2% faster, but err more than PyTorch does. 128
// beside 48 lanes make a tile of 24 KiB, read several times and next to the stream's own 32 KiB (at
// width 64): all of it stays in the second cache.
constexpr int kStreamTile = 128;

// The same for sums of single numbers, which cost nothing beside those and can be shorter.
constexpr int kSumBlock = 32;

// Three vectors of lanes by eight broadcast numbers are 24 sums in registers (of 32 with AVX-512),
// three by four are 12 (of 16 elsewhere): each broadcast serves three multiply-adds, each load of
// lanes eight or four, and no sum waits for its last addition.
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

// What one thread needs for its tiles, in memory aligned to 64 bytes.
template <class Real>
struct TileScratch {
  Real* stay;      // [width, lanes]
  Real* products;  // [kStreamTile, lanes]
  double* totals;  // [width, lanes]
  Real* stream;    // [kStreamTile, width]: the stream as Real, where it is stored otherwise

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
