// SPDX-License-Identifier: Apache-2.0
#include "keyed_dropout/keyed_dropout.h"

#include <stdexcept>
#include <string>

#include "common/cpu/isa.h"
#include "common/cpu/parallel.h"
#include "keyed_dropout/cpu/keyed_dropout_rows.h"

namespace atjt::cpu {
namespace {

void check_positions(const int64_t* positions, int64_t rows) {
  for (int64_t i = 0; i < rows; ++i)
    if (!is_position(positions[i]))
      throw std::out_of_range("positions must be in [0, " + std::to_string(kMaxLength) + "), got " +
                              std::to_string(positions[i]) + " at " + std::to_string(i));
}

}  // namespace

template <class T>
void keyed_dropout(const KeyedDropoutParams<T>& p, int num_threads) {
  check_positions(p.positions, p.rows);
  with_current_isa([&](auto isa) {
    parallel_rows(p.rows, p.width, num_threads, [&](int, int64_t begin, int64_t end) {
      KeyedDropoutRows<decltype(isa)::value>::run(p, begin, end);
    });
  });
}

#define ATJT_INSTANTIATE(T) template void keyed_dropout(const KeyedDropoutParams<T>&, int);
ATJT_FLOATING_TYPES(ATJT_INSTANTIATE)

}  // namespace atjt::cpu
