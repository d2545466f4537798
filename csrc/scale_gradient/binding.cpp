// SPDX-License-Identifier: Apache-2.0
#include "common/bindings/arguments.h"
#include "common/bindings/floating.h"
#include "common/bindings/op.h"
#include "scale_gradient/scale_gradient.h"

namespace atjt {
namespace {

void scale_gradient(const TensorArg& gradient, const TensorArg& factor, int64_t num_threads) {
  with_floating("gradient", gradient, [&](auto type, DLDataType dtype, DLDataType arithmetic) {
    using T = typename decltype(type)::type;
    const auto shape = gradient.shape();
    int64_t size = 1;
    for (const int64_t extent : shape) size *= extent;
    const ScaleGradientParams<T> params = {
        gradient.data<T>("gradient", dtype, shape, gradient),
        factor.data<const Arithmetic<T>>("factor", arithmetic, {}, gradient), size};
    run_beside(
        "gradient", gradient, num_threads,
        [&](auto device, void* stream) { cuda::scale_gradient(params, device, stream); },
        [&](int threads) { cpu::scale_gradient(params, threads); });
  });
}

const Op op([](py::module_& m) {
  using namespace py::literals;
  m.def("scale_gradient", &scale_gradient, "gradient"_a, "factor"_a, py::kw_only(),
        "num_threads"_a);
});

}  // namespace
}  // namespace atjt
