// SPDX-License-Identifier: Apache-2.0
#include "linear_cross_entropy.h"

#include <stdexcept>
#include <string>

#include "cpu/parallel.h"
#include "linear_cross_entropy_naive.h"

namespace atjt::cpu {
namespace {

template <class T>
void check_targets(const LinearCrossEntropyInputs<T>& in) {
  const int64_t rows = in.rows_counted != nullptr ? *in.rows_counted : in.rows;
  for (int64_t row = 0; row < rows; ++row) {
    if (uint64_t(in.targets[row]) < uint64_t(in.classes)) continue;
    throw std::out_of_range("targets must be in [0, " + std::to_string(in.classes) + "), got " +
                            std::to_string(in.targets[row]) + " in row " + std::to_string(row));
  }
}

}  // namespace

template <class T>
void linear_cross_entropy(const LinearCrossEntropyForward<T>& p, int num_threads) {
  check_targets(p.in);
  parallel_rows(p.in.rows, p.in.classes * p.in.width, num_threads,
                [&](int, int64_t begin, int64_t end) {
                  for (int64_t n = begin; n < end; ++n) naive::forward_row(p, n);
                });
}

template <class T>
void linear_cross_entropy_table_gradient(const LinearCrossEntropyTableGradient<T>& p,
                                         int num_threads) {
  check_targets(p.in);
  parallel_rows(p.in.classes, p.in.rows * p.in.width, num_threads,
                [&](int, int64_t begin, int64_t end) {
                  for (int64_t v = begin; v < end; ++v) naive::gradient_item(p, v);
                });
}

#define ATJT_INSTANTIATE(T)                                                     \
  template void linear_cross_entropy(const LinearCrossEntropyForward<T>&, int); \
  template void linear_cross_entropy_table_gradient(const LinearCrossEntropyTableGradient<T>&, int)
ATJT_INSTANTIATE(float);
ATJT_INSTANTIATE(double);
ATJT_INSTANTIATE(Float16);
ATJT_INSTANTIATE(BFloat16);

}  // namespace atjt::cpu
