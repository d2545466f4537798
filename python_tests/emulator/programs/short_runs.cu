// The forward pass with runs that end after every tile. A real run ends only after thousands of
// classes in one block, which takes a GPU.
//
//   short_runs   prints "right", or what differs
//
// SPDX-License-Identifier: Apache-2.0
#include <cmath>
#include <cstdio>
#include <exception>
#include <vector>

#include "linear_cross_entropy/cuda/finish.cuh"

namespace atjt::cuda {
namespace {

template <class Products>
struct ShortRuns : Products {
  using Products::Products;
  static constexpr int kTilesPerRun = 1;
};

template <class T>
float stored(double x, T* to) {
  narrow(float(x), to);
  return widen(*to);
}

template <class Products, class T>
bool right(double limit) {
  constexpr int kRows = 3, kClasses = 200, kWidth = 8;  // one split, several tiles
  std::vector<T> hidden(kRows * kWidth), table(kClasses * kWidth);
  std::vector<double> x(hidden.size()), w(table.size());
  for (size_t i = 0; i < x.size(); ++i) x[i] = stored(std::sin(1 + 3.0 * double(i)), &hidden[i]);
  for (size_t i = 0; i < w.size(); ++i) w[i] = stored(std::cos(2 + 5.0 * double(i)), &table[i]);
  std::vector<float> bias(kClasses);  // rises and falls: the reference changes between runs
  for (int v = 0; v < kClasses; ++v) bias[size_t(v)] = 16 - std::fabs(float(v) - 120) / 8;
  const std::vector<int64_t> targets = {0, 130, 199};

  std::vector<float> losses(kRows, NAN), origins(kRows, NAN), sums(kRows, NAN);
  std::vector<float> mean(kRows * kWidth, NAN), workspace(Products::kBlockRows * (kWidth + 2), NAN);
  LinearCrossEntropyForward<T> p = {};
  p.in = {hidden.data(), table.data(), bias.data(), targets.data(), nullptr,
          kRows,         kClasses,     kWidth,      1.0f,           true};
  p.losses = losses.data();
  p.origins = origins.data();
  p.sums = sums.data();
  p.mean_embedding = mean.data();
  const PartialSums parts(workspace.data(), Products::kBlockRows, true);
  launch("forward", forward_kernel<ShortRuns<Products>, T>,
         {1, Products::kThreads, size_t(Products::kSharedBytes)}, 0, nullptr, p.in,
         Rows<T>(hidden.data(), kWidth), Rows<T>(table.data(), kWidth), parts, factor_of(1.0f));
  launch("finish", finish_kernel<T>, {1, kFinishThreads}, 0, nullptr, p, parts, factor_of(1.0f),
         Products::kBlockRows, Products::kTileRows);

  for (int n = 0; n < kRows; ++n) {
    double total = 0, target_logit = 0, wanted[kWidth] = {}, difference = 0, size = 0;
    for (int v = 0; v < kClasses; ++v) {
      double logit = bias[size_t(v)];
      for (int d = 0; d < kWidth; ++d)
        logit += x[size_t(n * kWidth + d)] * w[size_t(v * kWidth + d)];
      if (v == targets[size_t(n)]) target_logit = logit;
      total += std::exp(logit);
      for (int d = 0; d < kWidth; ++d) wanted[d] += std::exp(logit) * w[size_t(v * kWidth + d)];
    }
    for (int d = 0; d < kWidth; ++d) {
      const double got = mean[size_t(n * kWidth + d)] - wanted[d] / total;
      difference += got * got;
      size += wanted[d] / total * (wanted[d] / total);
    }
    const double loss = std::log(total) - target_logit;
    if (std::fabs(losses[size_t(n)] - loss) < 1e-5 * loss &&
        std::sqrt(difference) < limit * std::sqrt(size))
      continue;
    std::printf("row %d: loss %g, not %g; mean embedding off by %g of %g\n", n,
                double(losses[size_t(n)]), loss, std::sqrt(difference), std::sqrt(size));
    return false;
  }
  return true;
}

}  // namespace
}  // namespace atjt::cuda

int main() {
  using namespace atjt;
  using namespace atjt::cuda;
  try {
    if (right<MatrixProducts<Float16, 32>, Float16>(1e-3) &&
        right<MatrixProducts<BFloat16, 32>, BFloat16>(4e-3) &&
        right<ExactProducts<float, 64>, float>(1e-5))
      std::puts("right");
    return 0;
  } catch (const std::exception& error) {
    std::fprintf(stderr, "%s\n", error.what());
    return 1;
  }
}
