// SPDX-License-Identifier: Apache-2.0
#include "alias_table/alias_table.h"
#include "common/bindings/arguments.h"
#include "common/bindings/op.h"

namespace atjt {
namespace {

void alias_table(const TensorArg& weights, const TensorArg& out) {
  require_rank("weights", weights, 1);
  const auto shape = weights.shape();
  require_range("the length of weights", shape[0], 1, INT32_MAX);
  const auto* const from = weights.data<const double>("weights", kFloat64, shape, weights);
  auto* const to = out.data<uint64_t>("out", kInt64, shape, weights);
  if (weights.device().device_type != kDLCPU)
    throw py::value_error("weights must be on cpu, got " + name_of(weights.device()));
  weights.memory().refuse_overlaps();
  const py::gil_scoped_release release;
  cpu::alias_table(from, shape[0], to);
}

const Op op([](py::module_& m) {
  using namespace py::literals;
  m.def("alias_table", &alias_table, "weights"_a, py::kw_only(), "out"_a);
});

}  // namespace
}  // namespace atjt
