// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "common/cpu/isa.h"
#include "random_replacement/random_replacement.h"

namespace atjt::cpu {

constexpr int64_t kNoRow = -1;

// 32-bit words of scratch per thread for rows of this length: keys, then positions.
constexpr int64_t replacement_scratch(int64_t length) { return 2 * (length + 64); }

template <class Id>
struct ReplacementTask {
  const RandomReplacementParams<Id>& params;
  const FeatureColumns& features;
  CallKey call;
  bool* chosen;  // [rows]: whether to replace
};

template <Isa isa>
struct RandomReplacementRows {
  // Fills task.chosen; `draws` [rows] is scratch.
  static void choose(const ReplacementTask<int32_t>& task, uint64_t* draws) noexcept;
  static void choose(const ReplacementTask<int64_t>& task, uint64_t* draws) noexcept;

  // Rows [begin, end). Returns the first row with an id that is neither padding nor an item, and
  // leaves the later rows unwritten; otherwise kNoRow.
  static int64_t run(const ReplacementTask<int32_t>& task, int64_t begin, int64_t end,
                     uint32_t* scratch) noexcept;
  static int64_t run(const ReplacementTask<int64_t>& task, int64_t begin, int64_t end,
                     uint32_t* scratch) noexcept;
};

}  // namespace atjt::cpu
