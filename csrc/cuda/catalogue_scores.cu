// SPDX-License-Identifier: Apache-2.0
#include "catalogue_scores.h"
#include "cuda/launch.cuh"
#include "linear_cross_entropy_naive.h"

namespace atjt::cuda {
namespace {

constexpr int kThreads = 128;

template <class T>
__global__ void pair_kernel(const PairScoresParams<T> p) {
  const int64_t i = int64_t(blockIdx.x) * kThreads + threadIdx.x;
  if (i < p.pairs) naive::score_pair(p, i);
}

template <class T>
__global__ void count_kernel(const CountAtLeastParams<T> p) {
  const int64_t n = int64_t(blockIdx.x) * kThreads + threadIdx.x;
  if (n < p.in.rows) naive::count_row(p, n);
}

}  // namespace

template <class T>
void pair_scores(const PairScoresParams<T>& p, int device, void* stream) {
  launch("pair_scores", pair_kernel<T>, {(p.pairs + kThreads - 1) / kThreads, kThreads}, device,
         stream, p);
}

template <class T>
void count_at_least(const CountAtLeastParams<T>& p, int device, void* stream) {
  launch("count_at_least", count_kernel<T>, {(p.in.rows + kThreads - 1) / kThreads, kThreads},
         device, stream, p);
}

#define ATJT_INSTANTIATE(T)                                          \
  template void pair_scores(const PairScoresParams<T>&, int, void*); \
  template void count_at_least(const CountAtLeastParams<T>&, int, void*)
ATJT_INSTANTIATE(float);
ATJT_INSTANTIATE(Float16);
ATJT_INSTANTIATE(BFloat16);

}  // namespace atjt::cuda
