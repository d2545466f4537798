// scale_gradient on the GPU. A factor of 1, the usual case, costs a launch but reads no gradient.
// SPDX-License-Identifier: Apache-2.0
#include "common/cuda/launch.cuh"
#include "common/cuda/row_vectors.cuh"
#include "scale_gradient/scale_gradient.h"

namespace atjt::cuda {
namespace {

constexpr int kThreads = 256;
constexpr int64_t kMaxBlocks =
    2048;  // fills a GPU; if the factor is 1, few blocks must find that out

template <class T>
__global__ void __launch_bounds__(kThreads) scale_kernel(const ScaleGradientParams<T> p) {
  using Real = Arithmetic<T>;
  const Real factor = *p.factor;
  if (factor == 1) return;
  const RowLayout<T> layout(p.gradient, p.size);
  const int64_t thread = int64_t(blockIdx.x) * kThreads + threadIdx.x;
  if (thread < kThreads && layout.has_edge(int(thread))) {
    T* const edge = p.gradient + layout.edge(int(thread));
    narrow_in_hardware(widen_in_hardware(*edge) * factor, edge);
  }
  for (int64_t index = thread; index < layout.vectors; index += int64_t(gridDim.x) * kThreads) {
    T* const at = p.gradient + layout.head + index * kPerVector<T>;
    Real values[kPerVector<T>];
    unpack<T>(load_vector(at), values);
#pragma unroll
    for (int i = 0; i < kPerVector<T>; ++i) values[i] *= factor;
    store_vector(at, pack<T>(values), false);
  }
}

}  // namespace

template <class T>
void scale_gradient(const ScaleGradientParams<T>& p, int device, void* stream) {
  const int64_t per_block = int64_t{kThreads} * kPerVector<T>;
  const int64_t blocks = std::min((p.size + per_block - 1) / per_block, kMaxBlocks);
  launch("scale_gradient", scale_kernel<T>, {blocks, kThreads}, device, stream, p);
}

#define ATJT_INSTANTIATE(T) template void scale_gradient(const ScaleGradientParams<T>&, int, void*);
ATJT_FLOATING_TYPES(ATJT_INSTANTIATE)

}  // namespace atjt::cuda
