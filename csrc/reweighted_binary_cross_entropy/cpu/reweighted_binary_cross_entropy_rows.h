// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "common/cpu/isa.h"
#include "reweighted_binary_cross_entropy/reweighted_binary_cross_entropy.h"

namespace atjt::cpu {

// Rows [begin, end).
template <Isa isa>
struct BinaryCrossEntropyRows {
  static void run(const BinaryCrossEntropyParams<float, uint8_t>&, int64_t begin,
                  int64_t end) noexcept;
  static void run(const BinaryCrossEntropyParams<float, float>&, int64_t begin,
                  int64_t end) noexcept;
  static void run(const BinaryCrossEntropyParams<double, uint8_t>&, int64_t begin,
                  int64_t end) noexcept;
  static void run(const BinaryCrossEntropyParams<double, double>&, int64_t begin,
                  int64_t end) noexcept;
  static void run(const BinaryCrossEntropyParams<Float16, uint8_t>&, int64_t begin,
                  int64_t end) noexcept;
  static void run(const BinaryCrossEntropyParams<Float16, float>&, int64_t begin,
                  int64_t end) noexcept;
  static void run(const BinaryCrossEntropyParams<BFloat16, uint8_t>&, int64_t begin,
                  int64_t end) noexcept;
  static void run(const BinaryCrossEntropyParams<BFloat16, float>&, int64_t begin,
                  int64_t end) noexcept;
};

}  // namespace atjt::cpu
