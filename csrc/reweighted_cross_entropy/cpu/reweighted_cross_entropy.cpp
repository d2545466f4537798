// SPDX-License-Identifier: Apache-2.0
#include "reweighted_cross_entropy/reweighted_cross_entropy.h"

#include <stdexcept>
#include <string>

#include "common/cpu/huge_pages.h"
#include "common/cpu/isa.h"
#include "common/cpu/parallel.h"
#include "reweighted_cross_entropy/cpu/reweighted_cross_entropy_rows.h"

namespace atjt::cpu {
namespace {

template <class T>
void check_targets(const CrossEntropyParams<T>& p) {
  for (int64_t row = 0; row < p.rows; ++row) {
    if (p.targets[row] == p.ignore_index || target_in_range(p, p.targets[row])) continue;
    throw std::out_of_range("targets must be in [0, " + std::to_string(p.classes) +
                            ") or ignore_index = " + std::to_string(p.ignore_index) + ", got " +
                            std::to_string(p.targets[row]) + " in row " + std::to_string(row));
  }
}

}  // namespace

template <class T>
void reweighted_cross_entropy(const CrossEntropyParams<T>& p, int num_threads) {
  check_targets(p);
  if (p.grad_logits != nullptr && p.grad_logits != p.logits)
    prefer_huge_pages(p.grad_logits, p.rows * p.classes * int64_t{sizeof(T)});
  with_current_isa([&](auto isa) {
    parallel_rows(p.rows, p.classes, num_threads, [&](int, int64_t begin, int64_t end) {
      CrossEntropyRows<decltype(isa)::value>::run(p, begin, end);
    });
  });
}

#define ATJT_INSTANTIATE(T) \
  template void reweighted_cross_entropy(const CrossEntropyParams<T>&, int);
ATJT_FLOATING_TYPES(ATJT_INSTANTIATE)

}  // namespace atjt::cpu
