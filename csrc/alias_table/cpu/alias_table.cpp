// SPDX-License-Identifier: Apache-2.0
#include "alias_table/alias_table.h"

#include <algorithm>
#include <cmath>
#include <memory>
#include <stdexcept>
#include <string>

#include "common/alias_slots.h"

namespace atjt::cpu {
namespace {

void check_weights(const double* weights, int64_t n) {
  for (int64_t i = 0; i < n; ++i)
    if (!(weights[i] >= 0 && std::isfinite(weights[i])))
      throw std::invalid_argument("weights must be >= 0 and finite, got " +
                                  std::to_string(weights[i]) + " at [" + std::to_string(i) + "]");
  if (std::all_of(weights, weights + n, [](double weight) { return weight == 0; }))
    throw std::invalid_argument("weights must not all be 0");
}

// Integers in proportion to the weights; they sum to n * 2^32.
std::unique_ptr<uint64_t[]> masses_of(const double* weights, int64_t n) {
  const int64_t heaviest = std::max_element(weights, weights + n) - weights;
  const double largest = weights[heaviest];
  // A compensated sum (Kahan) is exact to its last digits for any n. So all roundings together are
  // less than the heaviest mass, at least 2^32, which takes the difference.
  double sum = 0, lost = 0;
  for (int64_t i = 0; i < n; ++i) {
    const double term = weights[i] / largest - lost;
    const double next = sum + term;
    lost = (next - sum) - term;
    sum = next;
  }
  const uint64_t total = uint64_t(n) * kSlotMass;
  std::unique_ptr<uint64_t[]> masses(new uint64_t[size_t(n)]);
  uint64_t given = 0;
  for (int64_t i = 0; i < n; ++i) {
    masses[size_t(i)] = uint64_t(weights[i] / largest / sum * double(total));
    given += masses[size_t(i)];
  }
  masses[size_t(heaviest)] += total - given;  // may wrap around, and back
  return masses;
}

}  // namespace

void alias_table(const double* weights, int64_t n, uint64_t* table) {
  check_weights(weights, n);
  const std::unique_ptr<uint64_t[]> masses = masses_of(weights, n);
  // A donor tops up every index below 2^32. If the donor itself drops below 2^32, the next donor
  // tops it up: at once if its turn has passed, otherwise when its turn comes.
  const auto next_donor = [&](int64_t i) {
    while (i < n && masses[size_t(i)] < kSlotMass) ++i;
    return i;
  };
  int64_t donor = next_donor(0);
  for (int64_t i = 0; i < n; ++i) {
    for (int64_t poor = i; masses[size_t(poor)] < kSlotMass;) {
      table[poor] = packed({uint32_t(masses[size_t(poor)]), uint32_t(donor)});
      masses[size_t(donor)] -= kSlotMass - masses[size_t(poor)];
      if (masses[size_t(donor)] >= kSlotMass) break;
      const int64_t drained = donor;
      donor = next_donor(donor + 1);
      if (drained > i) break;
      poor = drained;
    }
  }
  // The masses sum to n * 2^32, so every index that never dropped below 2^32 has exactly 2^32 left.
  for (int64_t i = 0; i < n; ++i)
    if (masses[size_t(i)] == kSlotMass) table[i] = packed({0, uint32_t(i)});
}

}  // namespace atjt::cpu
