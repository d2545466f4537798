// The rows of keyed_dropout (see common/cpu/isa.h): the bits of a row first, then its numbers.
// SPDX-License-Identifier: Apache-2.0
#include "keyed_dropout/cpu/keyed_dropout_rows.h"

#include "common/cpu/lanes.h"

namespace atjt::cpu {
namespace {

// A word's halves in memory, the low one first.
using Half [[gnu::may_alias]] = uint16_t;

constexpr int kMaxWords = int(kMaxWidth) / 2;
static_assert(kMaxWords % (4 * kLanes) == 0, "the last vector of a row stays in the buffer");

template <class T>
void drop_rows(const KeyedDropoutParams<T>& p, int64_t begin, int64_t end) {
  using Real = Arithmetic<T>;
  const Dropout<T> dropout = dropout_of(p);
  const Real scale = dropout.scale;
  const uint32_t threshold = dropout.threshold;
  const int64_t groups = groups_of(p.width);
  uint32_t words[kMaxWords];
  const Half* const bits = reinterpret_cast<const Half*>(words);
  for (int64_t row = begin; row < end; ++row) {
    for (int64_t group = 0; group < groups; group += kLanes) {
      const Philox4<Lanes> word = dropout_bits(dropout, uint64_t(p.row_keys[row]), p.positions[row],
                                               counting_from(uint32_t(group)));
      store_interleaved(words + 4 * group, word.x, word.y, word.z, word.w);
    }
    const T* const in = p.values + row * p.width;
    T* const out = p.out + row * p.width;
#pragma omp simd
    for (int64_t i = 0; i < p.width; ++i) {
      const Real kept = widen(in[i]) * scale;
      narrow(bits[i] < threshold ? Real(0) : kept, &out[i]);
    }
  }
}

}  // namespace

#define ATJT_DEFINE(T)                                                                     \
  template <>                                                                              \
  void KeyedDropoutRows<Isa::ATJT_ISA>::run(const KeyedDropoutParams<T>& p, int64_t begin, \
                                            int64_t end) noexcept {                        \
    drop_rows(p, begin, end);                                                              \
  }
ATJT_FLOATING_TYPES(ATJT_DEFINE)

}  // namespace atjt::cpu
