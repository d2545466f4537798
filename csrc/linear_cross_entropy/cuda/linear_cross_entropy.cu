// SPDX-License-Identifier: Apache-2.0
#include "linear_cross_entropy/cuda/finish.cuh"
#include "linear_cross_entropy/linear_cross_entropy.h"

namespace atjt::cuda {

LinearCrossEntropyWorkspace linear_cross_entropy_workspace(int64_t rows, int64_t classes,
                                                           int64_t width) {
  LinearCrossEntropyWorkspace floats = {0, 0};
  for (const int64_t block_rows : {64, 128}) {  // whatever the kernel
    const int64_t forward = ForwardSplit::slots_for(rows, classes, block_rows) * block_rows;
    floats.forward = larger_of(floats.forward, forward * (width + 2));
    const int64_t splits = gradient_splits(rows, classes, block_rows);
    const int64_t gradient = (rows + (splits > 1 ? splits * classes : 0)) * (width + 1);
    floats.table_gradient = larger_of(floats.table_gradient, gradient);
  }
  return {floats.forward * int64_t(sizeof(float)), floats.table_gradient * int64_t(sizeof(float))};
}

template <class T>
void linear_cross_entropy(const LinearCrossEntropyForward<T>& p, int device, void* stream) {
  const auto& in = p.in;
  const float factor = factor_of(in.scale);
  with_products(in, [&](auto use) {
    using Products = typename decltype(use)::type;
    const int64_t slots = ForwardSplit::slots_for(in.rows, in.classes, Products::kBlockRows);
    const PartialSums parts(p.workspace, slots * Products::kBlockRows, p.mean_embedding != nullptr);
    launch("linear_cross_entropy", forward_kernel<Products, T>,
           {slots, Products::kThreads, Products::kSharedBytes}, device, stream, in,
           Rows<T>(in.hidden, in.width), Rows<T>(in.table, in.width), parts, factor);
    constexpr int kRows = kFinishThreads / kWarpSize;
    launch("linear_cross_entropy", finish_kernel<T>,
           {ceil_of_quotient(in.rows, kRows), kFinishThreads}, device, stream, p, parts, factor,
           Products::kBlockRows, Products::kTileRows);
  });
}

#define ATJT_INSTANTIATE(T) \
  template void linear_cross_entropy(const LinearCrossEntropyForward<T>&, int, void*);
ATJT_TILE_TYPES(ATJT_INSTANTIATE)

}  // namespace atjt::cuda
