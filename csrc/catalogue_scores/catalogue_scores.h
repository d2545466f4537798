// Scores x_n . W_v + b_v of single pairs, and the number of items of a table that reach a score.
//
// Both compute the score of a pair to the same bits, so that an item ties with itself and with its
// duplicates: exact ranks without scores of size [rows, classes].
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

#include "common/half.h"

namespace atjt {

template <class T>
struct CatalogueInputs {
  const T* hidden;            // x [rows, width]
  const T* table;             // W [classes, width]
  const Arithmetic<T>* bias;  // b [classes]; null: 0
  int64_t rows, classes, width;
};

template <class T>
struct PairScoresParams {
  CatalogueInputs<T> in;
  const int64_t* pair_rows;     // [pairs], in [0, rows)
  const int64_t* pair_classes;  // [pairs], in [0, classes)
  Arithmetic<T>* scores;        // [pairs]; NaN where a pair is out of range
  int64_t pairs;
};

template <class T>
struct CountAtLeastParams {
  CatalogueInputs<T> in;
  const Arithmetic<T>* thresholds;  // [rows]
  int64_t* counts;  // [rows]: the number of v with not (score < threshold); NaN counts
};

// For float, double (CPU only), Float16 and BFloat16.
namespace cpu {
template <class T>
void pair_scores(const PairScoresParams<T>& params, int num_threads);
template <class T>
void count_at_least(const CountAtLeastParams<T>& params, int num_threads);
}  // namespace cpu

namespace cuda {
template <class T>
void pair_scores(const PairScoresParams<T>& params, int device, void* stream);
template <class T>
void count_at_least(const CountAtLeastParams<T>& params, int device, void* stream);
}  // namespace cuda

}  // namespace atjt
