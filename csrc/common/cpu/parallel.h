// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <cstdint>

#ifdef _OPENMP
#include <omp.h>
#endif

namespace atjt::cpu {

// Calls f(thread, begin, end) for contiguous parts of [0, rows), with at most `num_threads` threads
// and at least `kGrain` elements for each. f must not throw.
template <class F>
void parallel_rows(int64_t rows, int64_t elements_per_row, int num_threads, const F& f) {
  constexpr int64_t kGrain = 16384;  // about 10 us of work: waking a thread costs a fraction of it
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
