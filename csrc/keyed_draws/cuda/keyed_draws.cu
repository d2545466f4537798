// keyed_draws on the GPU: one thread per pair of positions.
// SPDX-License-Identifier: Apache-2.0
#include "common/cuda/launch.cuh"
#include "keyed_draws/keyed_draws.h"

namespace atjt::cuda {
namespace {

constexpr int kThreads = 256;
constexpr int64_t kMaxBlocks = 4096;  // beyond, each thread takes several pairs

__global__ void __launch_bounds__(kThreads)
    keyed_draws_kernel(const KeyedDrawsParams params, const int64_t groups_per_row) {
  const KeyedDrawsParams p = with_seed_and_step(params);
  const int64_t end = p.rows * groups_per_row, stride = int64_t(gridDim.x) * kThreads;
  for (int64_t i = int64_t(blockIdx.x) * kThreads + threadIdx.x; i < end; i += stride) {
    const int64_t row = i / groups_per_row;
    const int64_t group = first_group(p) + (i - row * groups_per_row);
    const Philox4<uint64_t> word = paired_draws(p, row, uint64_t(group));
    const int64_t start = 2 * group - first_index(p.length);  // -1 in an odd row's first pair
    int64_t* const out = p.out + row * p.length;
    if (start >= 0) out[start] = int64_t(word.y << 32 | uint32_t(word.x));
    out[start + 1] = int64_t(word.w << 32 | uint32_t(word.z));
  }
}

}  // namespace

void keyed_draws(const KeyedDrawsParams& p, int device, void* stream) {
  const int64_t groups_per_row = kEndGroup - first_group(p);
  const int64_t blocks = (p.rows * groups_per_row + kThreads - 1) / kThreads;
  launch("keyed_draws", keyed_draws_kernel, {std::min(blocks, kMaxBlocks), kThreads}, device,
         stream, p, groups_per_row);
}

}  // namespace atjt::cuda
