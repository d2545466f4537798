// SPDX-License-Identifier: Apache-2.0
#include "common/bindings/arguments.h"
#include "common/bindings/op.h"
#include "keyed_draws/keyed_draws.h"

namespace atjt {
namespace {

void draw(const TensorArg& row_keys, const TensorArg& out, int64_t purpose, int64_t seed,
          int64_t step, const OptionalTensorArg& seed_tensor, const OptionalTensorArg& step_tensor,
          int64_t num_threads) {
  require_rank("row_keys", row_keys, 1);
  require_rank("out", out, 2);
  const int64_t rows = row_keys.shape()[0], length = out.shape()[1];
  require_range("length", length, 0, kMaxLength);
  require_range("purpose", purpose, 0, 15);
  require_range("step", step, 0, UINT32_MAX);
  const KeyedDrawsParams params = {
      row_keys.data<const int64_t>("row_keys", kInt64, {rows}, row_keys),
      out.data<int64_t>("out", kInt64, {rows, length}, row_keys),
      rows,
      length,
      Purpose(purpose),
      uint64_t(seed),
      uint32_t(step),
      scalar("seed", seed_tensor, row_keys),
      scalar("step", step_tensor, row_keys)};
  run_beside(
      "row_keys", row_keys, num_threads,
      [&](auto device, void* stream) { cuda::keyed_draws(params, device, stream); },
      [&](int threads) { cpu::keyed_draws(params, threads); });
}

const Op op([](py::module_& m) {
  using namespace py::literals;
  m.def("keyed_draws", &draw, "row_keys"_a, py::kw_only(), "out"_a, "purpose"_a, "seed"_a, "step"_a,
        "seed_tensor"_a, "step_tensor"_a, "num_threads"_a);
});

}  // namespace
}  // namespace atjt
