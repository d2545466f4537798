// SPDX-License-Identifier: Apache-2.0
#include "cuda/launch.cuh"
#include "linear_cross_entropy.h"
#include "linear_cross_entropy_naive.h"

namespace atjt::cuda {
namespace {

constexpr int kThreads = 128;

template <class T>
__global__ void forward_kernel(const LinearCrossEntropyForward<T> p) {
  const int64_t n = int64_t(blockIdx.x) * kThreads + threadIdx.x;
  if (n < p.in.rows) naive::forward_row(p, n);
}

template <class T>
__global__ void table_gradient_kernel(const LinearCrossEntropyTableGradient<T> p) {
  const int64_t v = int64_t(blockIdx.x) * kThreads + threadIdx.x;
  if (v < p.in.classes) naive::gradient_item(p, v);
}

}  // namespace

LinearCrossEntropyWorkspace linear_cross_entropy_workspace(int64_t, int64_t, int64_t, int) {
  return {0, 0};
}

template <class T>
void linear_cross_entropy(const LinearCrossEntropyForward<T>& p, int device, void* stream) {
  launch("linear_cross_entropy", forward_kernel<T>,
         {(p.in.rows + kThreads - 1) / kThreads, kThreads}, device, stream, p);
}

template <class T>
void linear_cross_entropy_table_gradient(const LinearCrossEntropyTableGradient<T>& p, int device,
                                         void* stream) {
  launch("linear_cross_entropy_table_gradient", table_gradient_kernel<T>,
         {(p.in.classes + kThreads - 1) / kThreads, kThreads}, device, stream, p);
}

#define ATJT_INSTANTIATE(T)                                                                    \
  template void linear_cross_entropy(const LinearCrossEntropyForward<T>&, int, void*);         \
  template void linear_cross_entropy_table_gradient(const LinearCrossEntropyTableGradient<T>&, \
                                                    int, void*)
ATJT_INSTANTIATE(float);
ATJT_INSTANTIATE(Float16);
ATJT_INSTANTIATE(BFloat16);

}  // namespace atjt::cuda
