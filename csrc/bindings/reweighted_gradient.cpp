// SPDX-License-Identifier: Apache-2.0
#include "reweighted_gradient.h"

#include "bindings/arguments.h"
#include "bindings/floating.h"
#include "bindings/ops.h"

namespace atjt {
namespace {

void scale_gradient(const TensorArg& gradient, const TensorArg& factor, int num_threads) {
  const bool cuda = on_cuda("gradient", gradient);
  with_floating("gradient", gradient, [&](auto type, DLDataType dtype, DLDataType arithmetic) {
    using T = typename decltype(type)::type;
    const auto shape = gradient.shape();
    int64_t size = 1;
    for (const int64_t extent : shape) size *= extent;
    const ScaleGradientParams<T> params = {
        gradient.data<T>("gradient", dtype, shape, gradient),
        factor.data<const Arithmetic<T>>("factor", arithmetic, {}, gradient), size};
#if ATJT_HAVE_CUDA
    if (cuda) {
      void* const stream = gradient.stream();
      const py::gil_scoped_release release;
      return cuda::scale_gradient(params, gradient.device().device_id, stream);
    }
#endif
    const py::gil_scoped_release release;
    cpu::scale_gradient(params, num_threads);
  });
  static_cast<void>(cuda);
}

}  // namespace

void bind_reweighted_gradient(py::module_& m) {
  using namespace py::literals;
  m.def("scale_gradient", &scale_gradient, "gradient"_a, "factor"_a, py::kw_only(),
        "num_threads"_a);
}

}  // namespace atjt
