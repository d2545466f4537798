// SPDX-License-Identifier: Apache-2.0
#include "common/bindings/arguments.h"
#include "common/bindings/floating.h"
#include "common/bindings/op.h"
#include "reweighted_cross_entropy/reweighted_cross_entropy.h"

namespace atjt {
namespace {

void reweighted_cross_entropy(const TensorArg& logits, const TensorArg& targets,
                              const OptionalTensorArg& row_scale, const TensorArg& losses,
                              const OptionalTensorArg& grad_logits, int64_t ignore_index,
                              double label_smoothing, int64_t num_threads) {
  require_rank("logits", logits, 2);
  if (row_scale.has_value() != grad_logits.has_value())
    throw py::value_error("row_scale and grad_logits go together");
  require_share("label_smoothing", label_smoothing);
  with_floating("logits", logits, [&](auto type, DLDataType dtype, DLDataType arithmetic) {
    using T = typename decltype(type)::type;
    const auto shape = logits.shape();
    const CrossEntropyParams<T> params = {
        logits.data<const T>("logits", dtype, shape, logits),
        targets.data<const int64_t>("targets", kInt64, {shape[0]}, logits),
        row_scale
            ? row_scale->data<const Arithmetic<T>>("row_scale", arithmetic, {shape[0]}, logits)
            : nullptr,
        losses.data<Arithmetic<T>>("losses", arithmetic, {shape[0]}, logits),
        grad_logits ? grad_logits->data<T>("grad_logits", dtype, shape, logits, "logits") : nullptr,
        shape[0],
        shape[1],
        ignore_index,
        label_smoothing};
    run_beside(
        "logits", logits, num_threads,
        [&](auto device, void* stream) { cuda::reweighted_cross_entropy(params, device, stream); },
        [&](int threads) { cpu::reweighted_cross_entropy(params, threads); });
  });
}

const Op op([](py::module_& m) {
  using namespace py::literals;
  m.def("reweighted_cross_entropy", &reweighted_cross_entropy, "logits"_a, "targets"_a,
        py::kw_only(), "row_scale"_a, "losses"_a, "grad_logits"_a, "ignore_index"_a,
        "label_smoothing"_a, "num_threads"_a);
});

}  // namespace
}  // namespace atjt
