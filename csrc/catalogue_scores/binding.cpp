// SPDX-License-Identifier: Apache-2.0
#include "catalogue_scores/catalogue_scores.h"
#include "common/bindings/arguments.h"
#include "common/bindings/floating.h"
#include "common/bindings/op.h"
#include "common/cuda/splits.h"

namespace atjt {
namespace {

// Calls f(TypeOf<T>{}, inputs, dtype of Arithmetic<T>).
template <class F>
void with_inputs(const TensorArg& hidden, const TensorArg& table, const OptionalTensorArg& bias,
                 const F& f) {
  require_rank("hidden", hidden, 2);
  require_rank("table", table, 2);
  const int64_t rows = hidden.shape()[0], classes = table.shape()[0], width = hidden.shape()[1];
  // Without columns a table takes no memory, so only this limits the loop over its rows.
  require_range("the number of rows of table", classes, 0, INT32_MAX);
  if (on_cuda("hidden", hidden)) {
    require_range("the width of hidden", width, 1, cuda::kMaxWidth);
    if (hidden.dtype() == kFloat64)
      throw py::value_error("hidden must be float32, float16 or bfloat16 on CUDA, got float64");
  }
  with_floating("hidden", hidden, [&](auto type, DLDataType dtype, DLDataType arithmetic) {
    using T = typename decltype(type)::type;
    const CatalogueInputs<T> inputs = {
        hidden.data<const T>("hidden", dtype, {rows, width}, hidden),
        table.data<const T>("table", dtype, {classes, width}, hidden),
        bias ? bias->data<const Arithmetic<T>>("bias", arithmetic, {classes}, hidden) : nullptr,
        rows,
        classes,
        width};
    f(type, inputs, arithmetic);
  });
}

void pair_scores(const TensorArg& hidden, const TensorArg& table, const TensorArg& pair_rows,
                 const TensorArg& pair_classes, const OptionalTensorArg& bias,
                 const TensorArg& scores, int64_t num_threads) {
  require_rank("pair_rows", pair_rows, 1);
  with_inputs(hidden, table, bias, [&](auto type, const auto& inputs, DLDataType arithmetic) {
    using T = typename decltype(type)::type;
    const int64_t pairs = pair_rows.shape()[0];
    const PairScoresParams<T> params = {
        inputs, pair_rows.data<const int64_t>("pair_rows", kInt64, {pairs}, hidden),
        pair_classes.data<const int64_t>("pair_classes", kInt64, {pairs}, hidden),
        scores.data<Arithmetic<T>>("scores", arithmetic, {pairs}, hidden), pairs};
    run_beside(
        "hidden", hidden, num_threads,
        [&](auto device, void* stream) {
          if constexpr (!std::is_same_v<T, double>) cuda::pair_scores(params, device, stream);
        },
        [&](int threads) { cpu::pair_scores(params, threads); });
  });
}

void count_at_least(const TensorArg& hidden, const TensorArg& table, const TensorArg& thresholds,
                    const OptionalTensorArg& bias, const TensorArg& counts, int64_t num_threads) {
  with_inputs(hidden, table, bias, [&](auto type, const auto& inputs, DLDataType arithmetic) {
    using T = typename decltype(type)::type;
    const CountAtLeastParams<T> params = {
        inputs,
        thresholds.data<const Arithmetic<T>>("thresholds", arithmetic, {inputs.rows}, hidden),
        counts.data<int64_t>("counts", kInt64, {inputs.rows}, hidden)};
    run_beside(
        "hidden", hidden, num_threads,
        [&](auto device, void* stream) {
          if constexpr (!std::is_same_v<T, double>) cuda::count_at_least(params, device, stream);
        },
        [&](int threads) { cpu::count_at_least(params, threads); });
  });
}

const Op op([](py::module_& m) {
  using namespace py::literals;
  m.def("pair_scores", &pair_scores, "hidden"_a, "table"_a, "pair_rows"_a, "pair_classes"_a,
        py::kw_only(), "bias"_a, "scores"_a, "num_threads"_a);
  m.def("count_at_least", &count_at_least, "hidden"_a, "table"_a, "thresholds"_a, py::kw_only(),
        "bias"_a, "counts"_a, "num_threads"_a);
});

}  // namespace
}  // namespace atjt
