// alias_table: the table from which common/alias_slots.h draws.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

namespace atjt::cpu {

// Fills table [n] from weights [n], 0 < n < 2^31. Throws std::invalid_argument unless all weights
// are >= 0, finite, and one of them > 0. Weights below 2^-32 of their mean may count as 0.
void alias_table(const double* weights, int64_t n, uint64_t* table);

}  // namespace atjt::cpu
