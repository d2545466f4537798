// SPDX-License-Identifier: Apache-2.0
#include <utility>

#include "linear_cross_entropy/cuda/gradient.cuh"

namespace atjt::cuda {

template <class T>
void linear_cross_entropy_table_gradient(const LinearCrossEntropyTableGradient<T>& p, int device,
                                         void* stream) {
  constexpr const char* kName = "linear_cross_entropy_table_gradient";
  const auto& in = p.in;
  float* workspace = static_cast<float*>(p.workspace);
  const auto take = [&](int64_t count) { return std::exchange(workspace, workspace + count); };
  TargetSums targets;
  targets.sums = take(in.rows * in.width);
  targets.totals = take(in.rows);
  launch(kName, target_kernel<T>, {in.rows, kTargetThreads}, device, stream, p, targets);
  with_products(in, [&](auto use) {
    using Products = typename decltype(use)::type;
    GradientParts parts = {};
    parts.splits = int(gradient_splits(in.rows, in.classes, Products::kBlockRows));
    if (parts.splits > 1) {
      parts.sums = take(parts.splits * in.classes * in.width);
      parts.totals = take(parts.splits * in.classes);
    }
    launch(kName, table_gradient_kernel<Products, T>,
           {ceil_of_quotient(in.classes, Products::kBlockRows) * parts.splits, Products::kThreads,
            Products::kSharedBytes},
           device, stream, p, Rows<T>(in.hidden, in.width), Rows<T>(in.table, in.width), targets,
           parts, factor_of(in.scale));
    if (parts.splits == 1) return;
    constexpr int kItems = kCombineThreads / kWarpSize;
    launch(kName, combine_gradient_kernel<T>,
           {ceil_of_quotient(in.classes, kItems), kCombineThreads}, device, stream, p, targets,
           parts);
  });
}

#define ATJT_INSTANTIATE(T)                                                                    \
  template void linear_cross_entropy_table_gradient(const LinearCrossEntropyTableGradient<T>&, \
                                                    int, void*);
ATJT_TILE_TYPES(ATJT_INSTANTIATE)

}  // namespace atjt::cuda
