// SPDX-License-Identifier: Apache-2.0
#include <utility>

#include "common/bindings/arguments.h"
#include "common/bindings/floating.h"
#include "common/bindings/op.h"
#include "common/cuda/splits.h"
#include "linear_cross_entropy/linear_cross_entropy.h"

namespace atjt {
namespace {

// The arguments about logits that both passes share.
struct Logits {
  const TensorArg& hidden;
  const TensorArg& table;
  const OptionalTensorArg& bias;
  const TensorArg& targets;
  const OptionalTensorArg& rows_counted;
  double scale;
  bool allow_tf32;

  int64_t rows() const { return hidden.shape()[0]; }
  int64_t classes() const { return table.shape()[0]; }
  int64_t width() const { return hidden.shape()[1]; }
};

template <class T>
LinearCrossEntropyInputs<T> inputs(const Logits& logits, DLDataType dtype, DLDataType arithmetic) {
  const TensorArg& hidden = logits.hidden;
  const int64_t rows = logits.rows(), classes = logits.classes(), width = logits.width();
  return {hidden.data<const T>("hidden", dtype, {rows, width}, hidden),
          logits.table.data<const T>("table", dtype, {classes, width}, hidden),
          logits.bias
              ? logits.bias->data<const Arithmetic<T>>("bias", arithmetic, {classes}, hidden)
              : nullptr,
          logits.targets.data<const int64_t>("targets", kInt64, {rows}, hidden),
          scalar("rows_counted", logits.rows_counted, hidden),
          rows,
          classes,
          width,
          Arithmetic<T>(logits.scale),
          logits.allow_tf32};
}

void check_width(const TensorArg& hidden) {
  require_rank("hidden", hidden, 2);
  require_range("the width of hidden", hidden.shape()[1], 1,
                on_cuda("hidden", hidden) ? cuda::kMaxWidth : INT32_MAX);
}

void check(const Logits& logits) {
  check_width(logits.hidden);
  require_rank("table", logits.table, 2);
  require_range("the number of rows of table", logits.classes(), 1, INT32_MAX);
}

// Calls f(TypeOf<T>{}, dtype, dtype of Arithmetic<T>); refuses double on CUDA, which has no kernel.
template <class F>
void with_type(const TensorArg& hidden, const F& f) {
  if (hidden.dtype() == kFloat64 && on_cuda("hidden", hidden))
    throw py::value_error("hidden must be float32, float16 or bfloat16 on CUDA, got float64");
  with_floating("hidden", hidden, f);
}

void* workspace_of(const OptionalTensorArg& workspace, int64_t bytes, const TensorArg& beside) {
  constexpr DLDataType kUInt8 = {kDLUInt, 8, 1};
  if (!workspace) {
    if (bytes > 0)
      throw py::value_error("workspace must hold " + std::to_string(bytes) + " bytes, got none");
    return nullptr;
  }
  require_rank("workspace", *workspace, 1);
  const auto shape = workspace->shape();
  require_range("the bytes of workspace", shape[0], bytes, INT64_MAX);
  return workspace->data<void>("workspace", kUInt8, shape, beside);
}

// Bytes of workspace for the two passes on this device.
std::pair<int64_t, int64_t> workspace_bytes(const TensorArg& hidden, int64_t classes) {
  check_width(hidden);
  require_range("classes", classes, 1, INT32_MAX);
  if (!on_cuda("hidden", hidden)) return {0, 0};
  if constexpr (ATJT_HAVE_CUDA) {
    const auto bytes =
        cuda::linear_cross_entropy_workspace(hidden.shape()[0], classes, hidden.shape()[1]);
    return {bytes.forward, bytes.table_gradient};
  }
  return {0, 0};
}

// The lanes and stream tile of KeptExponentials for tensors on the CPU whose arithmetic has so many
// bytes per number; 0, 0 if they go to CUDA kernels, as in the block emulator.
std::pair<int64_t, int64_t> kept_shape(int64_t itemsize) {
  if (ATJT_CUDA_MEMORY == kDLCPU) return {0, 0};
  const auto shape = itemsize == 8 ? cpu::kept_shape<double>() : cpu::kept_shape<float>();
  return {shape.lanes, shape.stream_tile};
}

struct Kept {
  const OptionalTensorArg& values;
  const OptionalTensorArg& origins;
};

template <class T, class Real>
KeptExponentials<Real> kept_of(const Kept& kept, const Logits& logits, DLDataType arithmetic) {
  if (bool(kept.values) != bool(kept.origins))
    throw py::value_error("kept and kept_origins must be given together");
  if (!kept.values) return {};
  if (on_cuda("hidden", logits.hidden)) throw py::value_error("kept must be None on CUDA");
  const auto shape = cpu::kept_shape<T>();
  const int64_t tiles = (logits.rows() + shape.lanes - 1) / shape.lanes;
  const int64_t stream_tiles = (logits.classes() + shape.stream_tile - 1) / shape.stream_tile;
  return {kept.values->data<Real>("kept", arithmetic, {tiles, logits.classes(), shape.lanes},
                                  logits.hidden),
          kept.origins->data<Real>("kept_origins", arithmetic, {tiles, stream_tiles, shape.lanes},
                                   logits.hidden)};
}

void linear_cross_entropy(const Logits& logits, const TensorArg& losses, const TensorArg& origins,
                          const TensorArg& sums, const OptionalTensorArg& mean_embedding,
                          const Kept& kept, const OptionalTensorArg& workspace,
                          int64_t num_threads) {
  check(logits);
  const TensorArg& hidden = logits.hidden;
  const int64_t bytes = workspace_bytes(hidden, logits.classes()).first;
  with_type(hidden, [&](auto type, DLDataType dtype, DLDataType arithmetic) {
    using T = typename decltype(type)::type;
    using Real = Arithmetic<T>;
    const int64_t rows = logits.rows();
    const LinearCrossEntropyForward<T> params = {
        inputs<T>(logits, dtype, arithmetic),
        losses.data<Real>("losses", arithmetic, {rows}, hidden),
        origins.data<Real>("origins", arithmetic, {rows}, hidden),
        sums.data<Real>("sums", arithmetic, {rows}, hidden),
        mean_embedding ? mean_embedding->data<Real>("mean_embedding", arithmetic,
                                                    {rows, logits.width()}, hidden)
                       : nullptr,
        workspace_of(workspace, bytes, hidden),
        kept_of<T, Real>(kept, logits, arithmetic)};
    run_beside(
        "hidden", hidden, num_threads,
        [&](auto device, void* stream) {
          if constexpr (!std::is_same_v<T, double>)
            cuda::linear_cross_entropy(params, device, stream);
        },
        [&](int threads) { cpu::linear_cross_entropy(params, threads); });
  });
}

void linear_cross_entropy_table_gradient(const Logits& logits, const TensorArg& origins,
                                         const TensorArg& factors, const TensorArg& target_factors,
                                         const OptionalTensorArg& unscale,
                                         const OptionalTensorArg& shift,
                                         const TensorArg& grad_table,
                                         const OptionalTensorArg& grad_bias, bool accumulate,
                                         const OptionalTensorArg& workspace, int64_t num_threads) {
  check(logits);
  const TensorArg& hidden = logits.hidden;
  const int64_t bytes = workspace_bytes(hidden, logits.classes()).second;
  with_type(hidden, [&](auto type, DLDataType dtype, DLDataType arithmetic) {
    using T = typename decltype(type)::type;
    using Real = Arithmetic<T>;
    const int64_t rows = logits.rows(), classes = logits.classes(), width = logits.width();
    const bool in_arithmetic = grad_table.dtype() == arithmetic;
    const LinearCrossEntropyTableGradient<T> params = {
        inputs<T>(logits, dtype, arithmetic),
        origins.data<const Real>("origins", arithmetic, {rows}, hidden),
        factors.data<const Real>("factors", arithmetic, {rows}, hidden),
        target_factors.data<const Real>("target_factors", arithmetic, {rows}, hidden),
        unscale ? unscale->data<const Real>("unscale", arithmetic, {}, hidden) : nullptr,
        shift ? shift->data<const Real>("shift", arithmetic, {width}, hidden) : nullptr,
        grad_table.data<void>("grad_table", in_arithmetic ? arithmetic : dtype, {classes, width},
                              hidden),
        grad_bias ? grad_bias->data<Real>("grad_bias", arithmetic, {classes}, hidden) : nullptr,
        in_arithmetic,
        accumulate,
        workspace_of(workspace, bytes, hidden)};
    run_beside(
        "hidden", hidden, num_threads,
        [&](auto device, void* stream) {
          if constexpr (!std::is_same_v<T, double>)
            cuda::linear_cross_entropy_table_gradient(params, device, stream);
        },
        [&](int threads) { cpu::linear_cross_entropy_table_gradient(params, threads); });
  });
}

void linear_cross_entropy_table_sums(const Logits& logits, const Kept& kept,
                                     const TensorArg& origins, const TensorArg& factors,
                                     const TensorArg& target_factors, const TensorArg& table_sums,
                                     const OptionalTensorArg& bias_sums, int64_t num_threads) {
  check(logits);
  const TensorArg& hidden = logits.hidden;
  if (on_cuda("hidden", hidden)) throw py::value_error("hidden must be on the CPU");
  const int64_t rows = logits.rows(), classes = logits.classes(), width = logits.width();
  with_type(hidden, [&](auto type, DLDataType dtype, DLDataType arithmetic) {
    using T = typename decltype(type)::type;
    using Real = Arithmetic<T>;
    const LinearCrossEntropyTableSums<T> params = {
        inputs<T>(logits, dtype, arithmetic),
        kept_of<T, const Real>(kept, logits, arithmetic),
        origins.data<const Real>("origins", arithmetic, {rows}, hidden),
        factors.data<const Real>("factors", arithmetic, {rows}, hidden),
        target_factors.data<const Real>("target_factors", arithmetic, {rows}, hidden),
        table_sums.data<double>("table_sums", kFloat64, {classes, width}, hidden),
        bias_sums ? bias_sums->data<double>("bias_sums", kFloat64, {classes}, hidden) : nullptr};
    run_beside(
        "hidden", hidden, num_threads, [](auto, void*) {},
        [&](int threads) { cpu::linear_cross_entropy_table_sums(params, threads); });
  });
}

const Op op([](py::module_& m) {
  using namespace py::literals;
  m.def("linear_cross_entropy_workspace", &workspace_bytes, "hidden"_a, "classes"_a);
  m.def("linear_cross_entropy_kept_shape", &kept_shape, "itemsize"_a);
  m.def(
      "linear_cross_entropy_table_sums",
      [](const TensorArg& hidden, const TensorArg& table, const TensorArg& targets,
         const TensorArg& kept, const TensorArg& kept_origins, const TensorArg& origins,
         const TensorArg& factors, const TensorArg& target_factors, const TensorArg& table_sums,
         const OptionalTensorArg& bias_sums, int64_t num_threads) {
        linear_cross_entropy_table_sums({hidden, table, {}, targets, {}, 1, false},
                                        {kept, kept_origins}, origins, factors, target_factors,
                                        table_sums, bias_sums, num_threads);
      },
      "hidden"_a, "table"_a, "targets"_a, py::kw_only(), "kept"_a, "kept_origins"_a, "origins"_a,
      "factors"_a, "target_factors"_a, "table_sums"_a, "bias_sums"_a, "num_threads"_a);
  m.def(
      "linear_cross_entropy",
      [](const TensorArg& hidden, const TensorArg& table, const TensorArg& targets,
         const OptionalTensorArg& bias, const OptionalTensorArg& rows_counted, double scale,
         bool allow_tf32, const TensorArg& losses, const TensorArg& origins, const TensorArg& sums,
         const OptionalTensorArg& mean_embedding, const OptionalTensorArg& kept,
         const OptionalTensorArg& kept_origins, const OptionalTensorArg& workspace,
         int64_t num_threads) {
        linear_cross_entropy({hidden, table, bias, targets, rows_counted, scale, allow_tf32},
                             losses, origins, sums, mean_embedding, {kept, kept_origins}, workspace,
                             num_threads);
      },
      "hidden"_a, "table"_a, "targets"_a, py::kw_only(), "bias"_a, "rows_counted"_a, "scale"_a,
      "allow_tf32"_a, "losses"_a, "origins"_a, "sums"_a, "mean_embedding"_a, "kept"_a = py::none(),
      "kept_origins"_a = py::none(), "workspace"_a, "num_threads"_a);
  m.def(
      "linear_cross_entropy_table_gradient",
      [](const TensorArg& hidden, const TensorArg& table, const TensorArg& targets,
         const OptionalTensorArg& bias, const OptionalTensorArg& rows_counted, double scale,
         bool allow_tf32, const TensorArg& origins, const TensorArg& factors,
         const TensorArg& target_factors, const OptionalTensorArg& unscale,
         const OptionalTensorArg& shift, const TensorArg& grad_table,
         const OptionalTensorArg& grad_bias, bool accumulate, const OptionalTensorArg& workspace,
         int64_t num_threads) {
        linear_cross_entropy_table_gradient(
            {hidden, table, bias, targets, rows_counted, scale, allow_tf32}, origins, factors,
            target_factors, unscale, shift, grad_table, grad_bias, accumulate, workspace,
            num_threads);
      },
      "hidden"_a, "table"_a, "targets"_a, py::kw_only(), "bias"_a, "rows_counted"_a, "scale"_a,
      "allow_tf32"_a, "origins"_a, "factors"_a, "target_factors"_a, "unscale"_a, "shift"_a,
      "grad_table"_a, "grad_bias"_a, "accumulate"_a, "workspace"_a, "num_threads"_a);
});

}  // namespace
}  // namespace atjt
