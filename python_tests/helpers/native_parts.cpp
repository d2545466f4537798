// The functions under the kernels that no op exposes, for their tests: C functions, which
// native_parts.py calls.
// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cstdint>

#include "common/exp.h"
#include "common/half.h"
#include "common/philox.h"
#include "random_replacement/select_smallest.h"
#include "reweighted_binary_cross_entropy/log1p.h"
#include "reweighted_cross_entropy/online_softmax.h"

using namespace atjt;

#define EXPORT extern "C" __attribute__((visibility("default")))

#define EXPORT_FUNCTION(name, type)                                        \
  EXPORT void name##_##type(const type* from, type* to, int64_t size) {    \
    std::transform(from, from + size, to, [](type x) { return name(x); }); \
  }
EXPORT_FUNCTION(exp_nonpositive, float)
EXPORT_FUNCTION(exp_nonpositive, double)
EXPORT_FUNCTION(exp_in_hardware, float)
EXPORT_FUNCTION(exp_in_hardware, double)
EXPORT_FUNCTION(log1p_of_unit, float)
EXPORT_FUNCTION(log1p_of_unit, double)

#define EXPORT_CONVERSIONS(Half)                                            \
  EXPORT void widen_##Half(const Half* from, float* to, int64_t size) {     \
    std::transform(from, from + size, to, [](Half x) { return widen(x); }); \
  }                                                                         \
  EXPORT void narrow_##Half(const float* from, Half* to, int64_t size) {    \
    for (int64_t i = 0; i < size; ++i) narrow(from[i], &to[i]);             \
  }
EXPORT_CONVERSIONS(Float16)
EXPORT_CONVERSIONS(BFloat16)

EXPORT void combine_softmax_parts(const SoftmaxPart<double>* parts, SoftmaxPart<double>* whole) {
  *whole = combine(parts[0], parts[1]);
}

EXPORT void philox(const uint32_t* counter, const uint32_t* key, uint32_t* words) {
  const Philox4<uint64_t> word = philox4x32_10(
      Philox4<uint64_t>{counter[0], counter[1], counter[2], counter[3]}, key[0], key[1]);
  const uint64_t all[] = {word.x, word.y, word.z, word.w};
  std::transform(all, all + 4, words, [](uint64_t x) { return uint32_t(x); });
}

EXPORT void cutoff(const uint32_t* keys, int64_t size, int64_t k, Cutoff<uint32_t>* found) {
  *found = find_cutoff<uint32_t>(k, size, [&](uint32_t limit) {
    return std::count_if(keys, keys + size, [limit](uint32_t key) { return key <= limit; });
  });
}
