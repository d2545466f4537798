// SPDX-License-Identifier: Apache-2.0
#include "keyed_draws/keyed_draws.h"

#include "common/cpu/isa.h"
#include "common/cpu/parallel.h"
#include "keyed_draws/cpu/keyed_draws_rows.h"

namespace atjt::cpu {

void keyed_draws(const KeyedDrawsParams& params, int num_threads) {
  const KeyedDrawsParams p = with_seed_and_step(params);
  with_current_isa([&](auto isa) {
    parallel_rows(p.rows, p.length, num_threads, [&](int, int64_t begin, int64_t end) {
      KeyedDrawsRows<decltype(isa)::value>::run(p, begin, end);
    });
  });
}

}  // namespace atjt::cpu
