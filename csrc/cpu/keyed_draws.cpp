// SPDX-License-Identifier: Apache-2.0
#include "keyed_draws.h"

#include "cpu/isa.h"
#include "cpu/keyed_draws_rows.h"
#include "cpu/parallel.h"

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
