// The k smallest of n keys without sorting: the search for a cutoff counts the keys below it.
//
// A count is one comparison per key; it vectorises on the CPU and is one reduction on a GPU. Keys
// are uniform random words, so interpolation finds a cutoff for exactly k keys in about five
// counts. Different cutoffs may be found, but they separate the same set.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

#include "common/host_device.h"

namespace atjt {

// A key belongs to the k smallest if it is < `key`, or == `key` and among the first `ties` such
// keys in the order of their positions.
template <class Key>
struct Cutoff {
  Key key;
  int64_t ties;
};

// The search needs no exact quotient; an exact division is a function call on the GPU.
ATJT_HD float rough_quotient(float a, float b) {
#if defined(__CUDA_ARCH__)
  return __fdividef(a, b);
#else
  return a / b;
#endif
}

// Requires 0 < k < n, for n keys in [0, largest]. `count_up_to(t)` returns the number of keys <= t.
// It is never called with `largest`, so callers may mark non-keys with that value.
template <class Key, class Count>
ATJT_HD Cutoff<Key> find_cutoff(int64_t k, int64_t n, const Count& count_up_to,
                                Key largest = Key(~Key{0})) {
  Key low = 0, high = largest;        // the k-th smallest key lies in [low, high]
  int64_t below = 0, up_to_high = n;  // how many keys are < low, and <= high
  for (int probes = 1; low < high; ++probes) {
    // Interpolate, but bisect every fourth time: clumped keys must not make the search linear.
    float share = rough_quotient(float(k - below) + 0.5f, float(up_to_high - below) + 1.0f);
    if (probes % 4 == 0) share = 0.5f;
    if (share > 0.999f) share = 0.999f;  // keeps the product below the span
    Key probe = low + Key(float(high - low) * share);
    if (probe >= high) probe = high - 1;
    const int64_t count = count_up_to(probe);
    if (count == k) return {Key(probe + 1), 0};
    const bool too_low = count < k;  // unpredictable, so conditional moves instead of branches
    low = too_low ? Key(probe + 1) : low;
    below = too_low ? count : below;
    high = too_low ? high : probe;
    up_to_high = too_low ? up_to_high : count;
  }
  return {low, k - below};
}

}  // namespace atjt
