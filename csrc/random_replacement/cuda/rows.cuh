// The choice of an exact number of rows, which every block makes by itself.
//
// One pass computes each row's draw once. The k-th smallest of n uniform draws lies close to k / n
// of their range, so the pass counts the draws below a bracket around that point and lists the
// draws inside it. One warp then searches a few hundred draws in shared memory. If the bracket
// misses, all draws are searched.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cmath>

#include "random_replacement/cuda/select_smallest.cuh"
#include "random_replacement/random_replacement.h"

namespace atjt::cuda {

struct RowChoice {
  Selection<uint64_t> rows;  // if `count` is 0
  int64_t count;             // number of rows to choose; 0: `rows` is the choice
  uint64_t low, width;       // the bracket: draws in [low, low + width]
};

constexpr int kCandidates = 3072;  // room in shared memory

struct RowCandidates {
  uint64_t draw[kCandidates];  // less the low end of the bracket
  uint32_t row[kCandidates];
  int64_t block_counts[32];  // one per warp
  int listed;                // may exceed kCandidates
  Selection<uint64_t> found;
};

template <class Id>
RowChoice row_choice(const RandomReplacementParams<Id>& p) {
  if (p.row_amount.kind == Amount::kProbability) return {{p.row_amount.threshold, 0}, 0, 0, 0};
  const int64_t count = exact_amount(p.row_amount, p.rows);
  if (count == 0) return {kNone<uint64_t>, 0, 0, 0};
  if (count == p.rows) return {kAll<uint64_t>, 0, 0, 0};
  // The number of draws below k / n has the standard deviation sqrt(k (n - k) / n). The bracket
  // reaches six of them, or as far as kCandidates allows with six deviations of their own number to
  // spare.
  const double n = double(p.rows), k = double(count);
  const double room = (kCandidates - 6 * std::sqrt(double(kCandidates))) / 2;
  const double reach = std::min(6 * std::sqrt(k * (n - k) / n) + 8, room);
  const auto threshold = [](double share) {
    return share >= 1 ? ~uint64_t{0} : uint64_t(std::ldexp(std::max(share, 0.0), 64));
  };
  const uint64_t low = threshold((k - reach) / n);
  return {kNone<uint64_t>, count, low, threshold((k + reach) / n) - low};
}

// Called by whole blocks.
template <class Id>
__device__ Selection<uint64_t> choose_rows(const RandomReplacementParams<Id>& p,
                                           const CallKey& call, const RowChoice& choice,
                                           RowCandidates* shared) {
  if (choice.count == 0) return choice.rows;
  const auto block_sum = [&](int64_t value) {
    return block_reduce(value, int64_t{0}, shared->block_counts,
                        [](int64_t v) { return warp_sum(v); });
  };
  if (threadIdx.x == 0) shared->listed = 0;
  __syncthreads();
  int64_t below = 0;
#pragma unroll 1
  for (int64_t row = threadIdx.x; row < p.rows; row += blockDim.x) {
    const uint64_t draw = row_draw(call, row_key(p, row));
    below += draw < choice.low;
    if (draw - choice.low > choice.width) continue;
    const int place = atomicAdd(&shared->listed, 1);
    if (place >= kCandidates) continue;
    shared->draw[place] = draw - choice.low;
    shared->row[place] = uint32_t(row);
  }
  below = block_sum(below);  // now all candidates are listed
  const int listed = shared->listed;
  const int64_t left = choice.count - below;  // to be chosen among the candidates
  if (left <= 0 || left > listed || listed > kCandidates) {
    return select_smallest<uint64_t>(choice.count, p.rows, [&](const auto& accept) {
      int64_t count = 0;
#pragma unroll 1
      for (int64_t row = threadIdx.x; row < p.rows; row += blockDim.x)
        count += accept(row_draw(call, row_key(p, row)), uint32_t(row));
      return block_sum(count);
    });
  }
  if (threadIdx.x < kWarpSize) {
    Selection<uint64_t> found = {choice.width, ~uint32_t{0}};
    if (left < listed)
      found = select_smallest<uint64_t>(
          left, listed,
          [&](const auto& accept) {
            int count = 0;
#pragma unroll 1
            for (int i = int(threadIdx.x); i < listed; i += kWarpSize)
              count += accept(shared->draw[i], shared->row[i]);
            return int64_t(warp_count(count));
          },
          choice.width);
    found.cutoff += choice.low;
    if (threadIdx.x == 0) shared->found = found;
  }
  __syncthreads();
  return shared->found;
}

}  // namespace atjt::cuda
