// SPDX-License-Identifier: Apache-2.0
#include "reweighted_cross_entropy.h"

#include "bindings/arguments.h"
#include "bindings/ops.h"

namespace atjt {
namespace {

struct CrossEntropyArgs {
  const TensorArg &logits, &targets;
  OptionalTensorArg row_scale, losses, lse, grad_logits;
  int64_t ignore_index;
  int num_threads;
};

template <class T>
void cross_entropy(const CrossEntropyArgs& args, DLDataType arithmetic) {
  const TensorArg& logits = args.logits;
  const auto shape = logits.shape();
  const int64_t rows = shape[0];
  const auto row_vector = [&](const char* name, const OptionalTensorArg& tensor) {
    return tensor ? tensor->data<Arithmetic<T>>(name, arithmetic, {rows}, logits) : nullptr;
  };
  const CrossEntropyParams<T> params = {
      logits.data<const T>("logits", logits.dtype(), shape, logits),
      args.targets.data<const int64_t>("targets", kInt64, {rows}, logits),
      row_vector("row_scale", args.row_scale),
      row_vector("losses", args.losses),
      row_vector("lse", args.lse),
      args.grad_logits ? args.grad_logits->data<T>("grad_logits", logits.dtype(), shape, logits)
                       : nullptr,
      rows,
      shape[1],
      args.ignore_index};
#if ATJT_HAVE_CUDA
  if (on_cuda("logits", logits)) {
    const int device = logits.device().device_id;
    void* const stream = logits.stream();
    const py::gil_scoped_release release;
    return cuda::cross_entropy_forward(params, device, stream);
  }
#endif
  if constexpr (std::is_floating_point_v<T>) {
    const py::gil_scoped_release release;
    cpu::cross_entropy_forward(params, args.num_threads);
  }
}

void cross_entropy(const CrossEntropyArgs& args) {
  require_rank("logits", args.logits, 2);
  const bool cuda = on_cuda("logits", args.logits);
  const DLDataType dtype = args.logits.dtype();
  if (dtype == kFloat32) return cross_entropy<float>(args, kFloat32);
  if (dtype == kFloat64) return cross_entropy<double>(args, kFloat64);
  if (cuda && dtype == kFloat16) return cross_entropy<Float16>(args, kFloat32);
  if (cuda && dtype == kBFloat16) return cross_entropy<BFloat16>(args, kFloat32);
  throw py::value_error(std::string("logits must be ") +
                        (cuda ? "float32, float64, float16 or bfloat16" : "float32 or float64") +
                        " on " + name_of(args.logits.device()) + ", got " + name_of(dtype));
}

}  // namespace

void bind_reweighted_cross_entropy(py::module_& m) {
  using namespace py::literals;
  m.def(
      "cross_entropy_forward",
      [](const TensorArg& logits, const TensorArg& targets, const OptionalTensorArg& row_scale,
         const TensorArg& losses, const TensorArg& lse, const OptionalTensorArg& grad_logits,
         int64_t ignore_index, int num_threads) {
        if (row_scale.has_value() != grad_logits.has_value())
          throw py::value_error("row_scale and grad_logits go together");
        cross_entropy(
            {logits, targets, row_scale, losses, lse, grad_logits, ignore_index, num_threads});
      },
      "logits"_a, "targets"_a, py::kw_only(), "row_scale"_a, "losses"_a, "lse"_a, "grad_logits"_a,
      "ignore_index"_a, "num_threads"_a);
}

}  // namespace atjt
