// The rows of keyed_draws (see common/cpu/isa.h).
// SPDX-License-Identifier: Apache-2.0
#include "keyed_draws/cpu/keyed_draws_rows.h"

#include "common/cpu/lanes.h"

namespace atjt::cpu {
namespace {

void draw_row(const KeyedDrawsParams& p, int64_t row) {
  int64_t* const out = p.out + row * p.length;
  const int64_t first = first_index(p.length);
  for (uint32_t group = first_group(p); group < kEndGroup; group += kLanes) {
    const Philox4<Lanes> word = paired_draws(p, row, counting_from(group));
    uint32_t draws[4 * kLanes];
    store_interleaved(draws, word.x, word.y, word.z, word.w);
    // A vector may begin one position before the row, and end behind it.
    const int64_t start = int64_t{2} * group - first;
    const int64_t skip = start < 0 ? 1 : 0;
    const int64_t end = start + 2 * kLanes < p.length ? start + 2 * kLanes : p.length;
    std::memcpy(out + start + skip, draws + 2 * skip, size_t(end - start - skip) * sizeof *out);
  }
}

}  // namespace

template <>
void KeyedDrawsRows<Isa::ATJT_ISA>::run(const KeyedDrawsParams& params, int64_t begin,
                                        int64_t end) noexcept {
  for (int64_t row = begin; row < end; ++row) draw_row(params, row);
}

}  // namespace atjt::cpu
