// SPDX-License-Identifier: Apache-2.0
#include "reweighted_binary_cross_entropy/reweighted_binary_cross_entropy.h"

#include "common/cpu/huge_pages.h"
#include "common/cpu/isa.h"
#include "common/cpu/parallel.h"
#include "reweighted_binary_cross_entropy/cpu/reweighted_binary_cross_entropy_rows.h"

namespace atjt::cpu {

template <class T, class Target>
void reweighted_binary_cross_entropy(const BinaryCrossEntropyParams<T, Target>& p,
                                     int num_threads) {
  if (p.grad_logits != nullptr)
    prefer_huge_pages(p.grad_logits, p.rows * p.classes * int64_t{sizeof(T)});
  with_current_isa([&](auto isa) {
    parallel_rows(p.rows, p.classes, num_threads, [&](int, int64_t begin, int64_t end) {
      BinaryCrossEntropyRows<decltype(isa)::value>::run(p, begin, end);
    });
  });
}

#define ATJT_INSTANTIATE(T)                                                                        \
  template void reweighted_binary_cross_entropy(const BinaryCrossEntropyParams<T, uint8_t>&, int); \
  template void reweighted_binary_cross_entropy(const BinaryCrossEntropyParams<T, Arithmetic<T>>&, \
                                                int);
ATJT_FLOATING_TYPES(ATJT_INSTANTIATE)

}  // namespace atjt::cpu
