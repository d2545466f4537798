// SPDX-License-Identifier: Apache-2.0
#include "linear_cross_entropy/linear_cross_entropy.h"

#include <cmath>
#include <limits>
#include <stdexcept>
#include <string>
#include <vector>

#include "common/cpu/huge_pages.h"
#include "common/cpu/tile_units.h"
#include "common/exp.h"
#include "linear_cross_entropy/cpu/linear_cross_entropy_rows.h"

namespace atjt::cpu {
namespace {

template <class T>
int64_t rows_that_count(const LinearCrossEntropyInputs<T>& in) {
  return in.rows_counted != nullptr ? *in.rows_counted : in.rows;
}

template <class T>
void check_targets(const LinearCrossEntropyInputs<T>& in) {
  const int64_t rows = rows_that_count(in);
  if (rows < 0 || rows > in.rows)
    throw std::invalid_argument("rows_counted must be in [0, " + std::to_string(in.rows) +
                                "], got " + std::to_string(rows));
  for (int64_t row = 0; row < rows; ++row) {
    if (uint64_t(in.targets[row]) < uint64_t(in.classes)) continue;
    // The row is not named: rows were sorted, and the caller numbers them differently.
    throw std::out_of_range("targets must be in [0, " + std::to_string(in.classes) + "), got " +
                            std::to_string(in.targets[row]));
  }
}

// The arrays of all parts, one after the other. A single part is the output itself.
template <class Real>
class Parts {
 public:
  Parts(int64_t parts, int64_t size, Real* output)
      : size_(size),
        memory_(parts > 1 && output != nullptr ? size_t(parts * size) : 0),
        data_(memory_.empty() ? output : memory_.data()) {}
  Real* operator[](int64_t part) { return memory_.empty() ? data_ : data_ + part * size_; }

 private:
  int64_t size_;
  std::vector<Real> memory_;
  Real* data_;
};

// Joins all parts of a row, relative to their largest origin, and adds its target.
template <class T, class Real = Arithmetic<T>>
void finish_row(const LinearCrossEntropyForward<T>& p, int64_t parts, Parts<Real>& origins,
                Parts<Real>& sums, Parts<Real>& mean_embeddings, double* factors, int64_t row) {
  const int64_t width = p.in.width;
  Real origin = -std::numeric_limits<Real>::infinity();
  for (int64_t part = 0; part < parts; ++part) origin = std::max(origin, origins[part][row]);
  double others = 0;
  for (int64_t part = 0; part < parts; ++part) {
    // NaN for a row of nothing but -inf, as for its softmax.
    factors[part] = exp_nonpositive(double(origins[part][row]) - double(origin));
    others += factors[part] * double(sums[part][row]);
  }
  const double above_target = double(origin) - double(p.losses[row]);
  const double target_weight = exp_nonpositive(-above_target), sum = others + target_weight;
  const T* const target = p.in.table + p.in.targets[row] * width;
  for (int64_t d = 0; p.mean_embedding != nullptr && d < width; ++d) {
    const int64_t at = row * width + d;
    double total = target_weight * double(widen(target[d]));
    for (int64_t part = 0; part < parts; ++part)
      total += factors[part] * double(mean_embeddings[part][at]);
    p.mean_embedding[at] = Real(total / sum);
  }
  p.losses[row] = Real(above_target == 0 ? std::log1p(others) : std::log(sum) + above_target);
  p.origins[row] = origin;
  p.sums[row] = Real(sum);
}

}  // namespace

template <class T>
void linear_cross_entropy(const LinearCrossEntropyForward<T>& p, int num_threads) {
  using Real = Arithmetic<T>;
  check_targets(p.in);
  const int64_t rows = rows_that_count(p.in), width = p.in.width;
  with_current_isa([&](auto isa) {
    constexpr Isa kIsa = decltype(isa)::value;
    const TileUnits units(rows, p.in.classes, TileShape<kIsa>::template lanes<Real>());
    const int64_t parts = units.parts();
    Parts<Real> origins(parts, rows, p.origins), sums(parts, rows, p.sums);
    Parts<Real> mean_embeddings(parts, rows * width, p.mean_embedding);
    units.run<Real>(width, num_threads, [&](int64_t part, Range tile, Range stream, void* scratch) {
      // p.losses holds the targets' logits until finish_row.
      LinearCrossEntropyRows<kIsa>::run(
          p, {origins[part], sums[part], mean_embeddings[part], p.losses}, tile, stream, scratch);
    });
    std::vector<double> factors(size_t(parts * num_threads));
    parallel_rows(rows, parts * (width + 1), num_threads,
                  [&](int thread, int64_t begin, int64_t end) {
                    for (int64_t row = begin; row < end; ++row)
                      finish_row(p, parts, origins, sums, mean_embeddings,
                                 factors.data() + thread * parts, row);
                  });
  });
  for (int64_t row = rows; row < p.in.rows; ++row) {
    p.losses[row] = p.origins[row] = 0;
    p.sums[row] = 1;
    if (p.mean_embedding == nullptr) continue;
    std::fill_n(p.mean_embedding + row * width, width, Real(0));
  }
}

template <class T>
void linear_cross_entropy_table_gradient(const LinearCrossEntropyTableGradient<T>& p,
                                         int num_threads) {
  using Real = Arithmetic<T>;
  check_targets(p.in);
  const int64_t classes = p.in.classes, width = p.in.width;
  if (!p.accumulate) {
    const auto bytes = int64_t(p.grad_in_arithmetic ? sizeof(Real) : sizeof(T));
    prefer_huge_pages(p.grad_table, classes * width * bytes);
  }
  with_current_isa([&](auto isa) {
    constexpr Isa kIsa = decltype(isa)::value;
    const TileUnits units(classes, rows_that_count(p.in), TileShape<kIsa>::template lanes<Real>());
    const int64_t parts = units.parts();
    std::vector<Real> tables(parts > 1 ? size_t(parts * classes * width) : 0);
    std::vector<Real> biases(parts > 1 ? size_t(parts * classes) : 0);
    units.run<Real>(width, num_threads, [&](int64_t part, Range tile, Range stream, void* scratch) {
      const TableGradientPart<Real> at = {tables.data() + part * classes * width,
                                          biases.data() + part * classes};
      LinearCrossEntropyItems<kIsa>::run(p, parts > 1 ? &at : nullptr, tile, stream, scratch);
    });
    if (parts == 1) return;
    const auto sum_of_parts = [&](const std::vector<Real>& of, int64_t size, int64_t at) {
      double sum = 0;
      for (int64_t part = 0; part < parts; ++part) sum += double(of[size_t(part * size + at)]);
      return sum;
    };
    parallel_rows(classes, parts * width, num_threads, [&](int, int64_t begin, int64_t end) {
      for (int64_t item = begin; item < end; ++item) {
        for (int64_t d = 0; d < width; ++d)
          store_table_gradient(p, item, d, sum_of_parts(tables, classes * width, item * width + d));
        if (p.grad_bias != nullptr) p.grad_bias[item] = Real(sum_of_parts(biases, classes, item));
      }
    });
  });
}

template <class T>
void linear_cross_entropy_table_sums(const LinearCrossEntropyTableSums<T>& p, int num_threads) {
  using Real = Arithmetic<T>;
  check_targets(p.in);
  with_current_isa([&](auto isa) {
    constexpr Isa kIsa = decltype(isa)::value;
    constexpr int kVector = TileShape<kIsa>::kVectorBytes / int(sizeof(Real));
    const int64_t columns = p.in.width + (p.bias_sums != nullptr ? 1 : 0);
    // With few rows there are no parts to be made: the tiles of items are the units.
    const TileUnits units(p.in.classes, 0, kSumItems);
    units.run_with(TableSumsScratch<Real>::bytes(TableSumsScratch<Real>::padded(columns, kVector)),
                   p.in.rows * p.in.width * kSumItems, num_threads,
                   [&](int64_t, Range items, Range, void* scratch) {
                     LinearCrossEntropySums<kIsa>::run(p, items, scratch);
                   });
  });
}

template <class T>
KeptShape kept_shape() {
  return with_current_isa([](auto isa) -> KeptShape {
    return {TileShape<decltype(isa)::value>::template lanes<Arithmetic<T>>(), kStreamTile};
  });
}

#define ATJT_INSTANTIATE(T)                                                                    \
  template void linear_cross_entropy(const LinearCrossEntropyForward<T>&, int);                \
  template void linear_cross_entropy_table_gradient(const LinearCrossEntropyTableGradient<T>&, \
                                                    int);                                      \
  template void linear_cross_entropy_table_sums(const LinearCrossEntropyTableSums<T>&, int);   \
  template KeptShape kept_shape<T>();
ATJT_FLOATING_TYPES(ATJT_INSTANTIATE)

}  // namespace atjt::cpu
