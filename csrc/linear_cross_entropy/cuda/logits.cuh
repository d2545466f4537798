// Logits, for both passes of the whole-catalogue loss.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "common/cuda/tile_stream.cuh"
#include "common/exp.h"
#include "linear_cross_entropy/linear_cross_entropy.h"

namespace atjt::cuda {

constexpr float kLog2E = 1.44269504f, kLn2 = 0.693147181f;

// score * factor is the logit in units of ln 2. Never 0: an excluded score would become NaN.
inline float factor_of(float scale) { return scale == 0.0f ? 0x1p-126f : scale * kLog2E; }

// A score whose exponential is 0.
__device__ __forceinline__ float excluded_score(float factor) {
  return factor > 0 ? -INFINITY : INFINITY;
}

template <class T>
__device__ __forceinline__ int64_t rows_that_count(const LinearCrossEntropyInputs<T>& in) {
  if (in.rows_counted == nullptr) return in.rows;
  const int64_t counted = *in.rows_counted;
  return counted < 0 ? 0 : counted < in.rows ? counted : in.rows;
}

// The index of the first of `count` ascending numbers that is not below `value`.
__device__ __forceinline__ int64_t lower_bound(const int64_t* ascending, int64_t count,
                                               int64_t value) {
  int64_t first = 0;
  while (count > 0) {
    const int64_t half = count / 2;
    if (ascending[first + half] < value) {
      first += half + 1;
      count -= half + 1;
    } else {
      count = half;
    }
  }
  return first;
}

// Calls f(Use<Products>{}) with the products for this type and width.
template <class Products>
struct Use {
  using type = Products;
};
template <class T, class F>
void with_products(const LinearCrossEntropyInputs<T>& in, const F& f) {
  if constexpr (std::is_same_v<T, float>) {
    if (!in.allow_tf32) {
      if (in.width <= 64) return f(Use<ExactProducts<T, 64>>{});
      return f(Use<ExactProducts<T, 256>>{});
    }
  }
  if (in.width <= 32) return f(Use<MatrixProducts<T, 32>>{});
  if (in.width <= 64) return f(Use<MatrixProducts<T, 64>>{});
  if (in.width <= 128) return f(Use<MatrixProducts<T, 128>>{});
  f(Use<MatrixProducts<T, 256>>{});
}

}  // namespace atjt::cuda
