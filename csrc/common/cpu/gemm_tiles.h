// The two matrix products of a tile (see tiles.h), for row kernels.
//
// Every sum adds its terms in ascending order, one multiply-add at a time (fused where the
// processor can), in blocks of at most kStreamTile that start from zero. So a product has the same
// bits in any tile and lane.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <cstring>
#include <type_traits>

#if defined(__AVX2__)
#include <immintrin.h>
#endif

#include "common/cpu/half_blocks.h"
#include "common/cpu/tiles.h"
#include "common/half.h"
#include "common/host_device.h"

namespace atjt::cpu {

using IsaShape = TileShape<Isa::ATJT_ISA>;

template <class Real>
struct VectorOf;
template <>
struct VectorOf<float> {
  using type [[gnu::vector_size(IsaShape::kVectorBytes)]] = float;
};
template <>
struct VectorOf<double> {
  using type [[gnu::vector_size(IsaShape::kVectorBytes)]] = double;
};
template <class Real>
using Vector = typename VectorOf<Real>::type;
template <class Real>
constexpr int kVectorWidth = IsaShape::kVectorBytes / int(sizeof(Real));

// a * b + c, by an explicit instruction: a compiler may fuse one loop and not the next, and then an
// item would not tie with itself.
ATJT_HD Vector<float> multiply_add(Vector<float> a, Vector<float> b, Vector<float> c) {
#if defined(__AVX512F__)
  return (Vector<float>)_mm512_fmadd_ps((__m512)a, (__m512)b, (__m512)c);
#elif defined(__FMA__) && defined(__AVX2__)
  return (Vector<float>)_mm256_fmadd_ps((__m256)a, (__m256)b, (__m256)c);
#else
  return a * b + c;
#endif
}

ATJT_HD Vector<double> multiply_add(Vector<double> a, Vector<double> b, Vector<double> c) {
#if defined(__AVX512F__)
  return (Vector<double>)_mm512_fmadd_pd((__m512d)a, (__m512d)b, (__m512d)c);
#elif defined(__FMA__) && defined(__AVX2__)
  return (Vector<double>)_mm256_fmadd_pd((__m256d)a, (__m256d)b, (__m256d)c);
#else
  return a * b + c;
#endif
}

template <class Real>
ATJT_HD Vector<Real> load_vector(const Real* from) {
  Vector<Real> v;
  std::memcpy(&v, from, sizeof v);
  return v;
}

template <class Real>
ATJT_HD void store_vector(Real* to, Vector<Real> v) {
  std::memcpy(to, &v, sizeof v);
}

template <class Real>
ATJT_HD Vector<Real> broadcast(Real x) {
  return x - Vector<Real>{};  // x + 0 would cost an addition, because of -0
}

// Calls f(constant, begin) for blocks of kSize numbers, then of half as many, down to 1.
template <int kSize, class F>
ATJT_HD void each_block_of(int64_t begin, int64_t end, const F& f) {
  for (; begin + kSize <= end; begin += kSize) f(std::integral_constant<int, kSize>{}, begin);
  if constexpr (kSize > 1) each_block_of<kSize / 2>(begin, end, f);
}

// Calls f(constant) with the number of vectors that hold `numbers`, at most kTileVectors.
template <class Real, class F>
ATJT_HD void with_vectors(int64_t numbers, const F& f) {
  if (numbers <= kVectorWidth<Real>) return f(std::integral_constant<int, 1>{});
  if (numbers <= 2 * kVectorWidth<Real>) return f(std::integral_constant<int, 2>{});
  return f(std::integral_constant<int, 3>{});
}

// stay[d][lane] = from[lane][d]; 0 in lanes beyond `count`.
template <int kLanes, class T, class Real>
static void pack_lanes(const T* from, int64_t count, int64_t width, Real* stay) {
  for (int64_t lane = 0; lane < kLanes; ++lane)
    for (int64_t d = 0; d < width; ++d)
      stay[d * kLanes + lane] = lane < count ? Real(widen(from[lane * width + d])) : Real(0);
}

// `n` numbers at x as Real: in the buffer, or in place if no conversion is needed.
template <class T, class Real>
static const Real* read_stream(const T* x, int64_t n, Real* buffer) {
  if constexpr (std::is_same_v<T, Real>) return x;
  for (int64_t start = 0; start < n; start += kBlock)
    read_block(x + start, n - start < kBlock ? n - start : kBlock, buffer + start);
  return buffer;
}

// sums[r][lane] = sum_d stream[r][d] * stay[d][lane] for kRows rows of the stream.
template <int kRows, int kVectors, class Real>
ATJT_HD void multiply_rows(const Real* stream, int64_t stride, const Real* stay, int64_t depth,
                           Vector<Real> (&sums)[kRows][kVectors]) {
  constexpr int kWidth = kVectorWidth<Real>, kLanes = kVectors * kWidth;
  for (int64_t d = 0; d < depth; ++d) {
    Vector<Real> lanes[kVectors];
    ATJT_UNROLL
    for (int v = 0; v < kVectors; ++v) lanes[v] = load_vector(stay + d * kLanes + v * kWidth);
    ATJT_UNROLL
    for (int r = 0; r < kRows; ++r) {
      const Vector<Real> x = broadcast(stream[r * stride + d]);
      ATJT_UNROLL
      for (int v = 0; v < kVectors; ++v) sums[r][v] = multiply_add(x, lanes[v], sums[r][v]);
    }
  }
}

// totals[r][lane] += sums[r][lane]
template <int kRows, int kVectors, class Real>
ATJT_HD void add_to_totals(const Vector<Real> (&sums)[kRows][kVectors], double* totals) {
  constexpr int kWidth = kVectorWidth<Real>, kLanes = kVectors * kWidth;
  alignas(64) Real block[kRows * kLanes];
  ATJT_UNROLL
  for (int r = 0; r < kRows; ++r) {
    ATJT_UNROLL
    for (int v = 0; v < kVectors; ++v) store_vector(block + r * kLanes + v * kWidth, sums[r][v]);
  }
#pragma omp simd
  for (int i = 0; i < kRows * kLanes; ++i) totals[i] += double(block[i]);
}

// out[r][lane] (+)= sum_d stream[r][d] * stay[d][lane] for kRows rows of the stream.
template <int kRows, int kVectors, class Real>
ATJT_HD void product_block(const Real* stream, int64_t stride, const Real* stay, int64_t depth,
                           bool add, Real* out) {
  constexpr int kWidth = kVectorWidth<Real>, kLanes = kVectors * kWidth;
  Vector<Real> sums[kRows][kVectors] = {};
  multiply_rows<kRows, kVectors, Real>(stream, stride, stay, depth, sums);
  ATJT_UNROLL
  for (int r = 0; r < kRows; ++r) {
    ATJT_UNROLL
    for (int v = 0; v < kVectors; ++v) {
      Real* const to = out + r * kLanes + v * kWidth;
      store_vector(to, add ? load_vector(to) + sums[r][v] : sums[r][v]);
    }
  }
}

// out [count, lanes] = stream [count, width] . stay [width, lanes]
template <int kVectors, class Real>
static void products(const Real* stream, int64_t count, const Real* stay, int64_t width,
                     Real* out) {
  constexpr int kLanes = kVectors * kVectorWidth<Real>;
  for (int64_t d = 0; d < width || d == 0; d += kStreamTile) {
    const int64_t depth = width - d < kStreamTile ? width - d : kStreamTile;
    each_block_of<IsaShape::kBroadcasts>(0, count, [&](auto rows, int64_t row) {
      product_block<decltype(rows)::value, kVectors>(
          stream + row * width + d, width, stay + d * kLanes, depth, d > 0, out + row * kLanes);
    });
  }
}

// totals[d][lane] += sum_r stream[r][d] * weights[r][lane] for kDepth columns d of the stream.
template <int kDepth, int kVectors, class Real>
ATJT_HD void accumulate_block(const Real* stream, int64_t stride, const Real* weights,
                              int64_t count, double* totals) {
  constexpr int kWidth = kVectorWidth<Real>, kLanes = kVectors * kWidth;
  Vector<Real> sums[kDepth][kVectors] = {};
  for (int64_t r = 0; r < count; ++r) {
    Vector<Real> lanes[kVectors];
    ATJT_UNROLL
    for (int v = 0; v < kVectors; ++v) lanes[v] = load_vector(weights + r * kLanes + v * kWidth);
    ATJT_UNROLL
    for (int d = 0; d < kDepth; ++d) {
      const Vector<Real> x = broadcast(stream[r * stride + d]);
      ATJT_UNROLL
      for (int v = 0; v < kVectors; ++v) sums[d][v] = multiply_add(x, lanes[v], sums[d][v]);
    }
  }
  add_to_totals<kDepth, kVectors, Real>(sums, totals);
}

// totals [width, lanes] += stream^T [width, count] . weights [count, lanes], count <= kStreamTile
template <int kVectors, class Real>
static void accumulate(const Real* stream, int64_t count, const Real* weights, int64_t width,
                       double* totals) {
  constexpr int kLanes = kVectors * kVectorWidth<Real>;
  each_block_of<IsaShape::kBroadcasts>(0, width, [&](auto depth, int64_t d) {
    accumulate_block<decltype(depth)::value, kVectors>(stream + d, width, weights, count,
                                                       totals + d * kLanes);
  });
}

}  // namespace atjt::cpu
