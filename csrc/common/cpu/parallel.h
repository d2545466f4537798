// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <cstdint>

#ifdef _OPENMP
#include <omp.h>
#endif

namespace atjt::cpu {

// f(thread, begin, end) over contiguous parts of [0, rows), at most `num_threads` at a time and
// never so many that a thread gets less than `kGrain` elements. f must not throw.
template <class F>
void parallel_rows(int64_t rows, int64_t elements_per_row, int num_threads, const F& f) {
  constexpr int64_t kGrain =
      16384;  // about 10 us of work, several times what a thread costs to wake
  const int64_t useful = rows * elements_per_row / kGrain;
  const int threads = int(std::max<int64_t>(1, std::min<int64_t>({num_threads, useful, rows})));
#ifdef _OPENMP
  if (threads > 1) {
#pragma omp parallel num_threads(threads)
    {
      const int64_t team = omp_get_num_threads(), thread = omp_get_thread_num();
      f(int(thread), rows * thread / team, rows * (thread + 1) / team);
    }
    return;
  }
#endif
  f(0, int64_t{0}, rows);
}

}  // namespace atjt::cpu
