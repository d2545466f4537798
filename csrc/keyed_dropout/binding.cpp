// SPDX-License-Identifier: Apache-2.0
#include "common/bindings/arguments.h"
#include "common/bindings/floating.h"
#include "common/bindings/op.h"
#include "keyed_dropout/keyed_dropout.h"

namespace atjt {
namespace {

void drop(const TensorArg& values, const TensorArg& row_keys, const TensorArg& positions,
          const TensorArg& out, int64_t threshold, int64_t layer, int64_t seed, int64_t step,
          const OptionalTensorArg& seed_tensor, const OptionalTensorArg& step_tensor,
          int64_t num_threads) {
  require_rank("values", values, 2);
  const int64_t rows = values.shape()[0], width = values.shape()[1];
  require_range("the width of values", width, 0, kMaxWidth);
  require_range("threshold", threshold, 0, kDropoutSteps - 1);
  require_range("layer", layer, 0, UINT32_MAX);
  require_range("step", step, 0, UINT32_MAX);
  with_floating("values", values, [&](auto type, DLDataType dtype, DLDataType) {
    using T = typename decltype(type)::type;
    const KeyedDropoutParams<T> params = {
        values.data<const T>("values", dtype, {rows, width}, values),
        row_keys.data<const int64_t>("row_keys", kInt64, {rows}, values),
        positions.data<const int64_t>("positions", kInt64, {rows}, values),
        out.data<T>("out", dtype, {rows, width}, values),
        rows,
        width,
        uint32_t(threshold),
        uint32_t(layer),
        uint64_t(seed),
        uint32_t(step),
        scalar("seed", seed_tensor, values),
        scalar("step", step_tensor, values)};
    run_beside(
        "values", values, num_threads,
        [&](auto device, void* stream) { cuda::keyed_dropout(params, device, stream); },
        [&](int threads) { cpu::keyed_dropout(params, threads); });
  });
}

const Op op([](py::module_& m) {
  using namespace py::literals;
  m.def("keyed_dropout", &drop, "values"_a, "row_keys"_a, "positions"_a, py::kw_only(), "out"_a,
        "threshold"_a, "layer"_a, "seed"_a, "step"_a, "seed_tensor"_a, "step_tensor"_a,
        "num_threads"_a);
});

}  // namespace
}  // namespace atjt
