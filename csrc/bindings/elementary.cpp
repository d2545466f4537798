// The elementary functions and conversions of the losses, for their tests.
// SPDX-License-Identifier: Apache-2.0
#include <type_traits>
#include <utility>

#include "bindings/arguments.h"
#include "bindings/floating.h"
#include "bindings/ops.h"
#include "exp.h"
#include "log1p.h"
#include "online_softmax.h"

namespace atjt {
namespace {

void require_cpu(const TensorArg& from) {
  require_rank("from", from, 1);
  if (from.device().device_type != kDLCPU)
    throw py::value_error("from must be on cpu, got " + name_of(from.device()));
}

template <class T, class F>
void map(const TensorArg& from, const TensorArg& to, const F& f) {
  const auto shape = from.shape();
  require_cpu(from);
  const T* const x = from.data<const T>("from", from.dtype(), shape, from);
  T* const y = to.data<T>("to", from.dtype(), shape, from);
  for (int64_t i = 0; i < shape[0]; ++i) y[i] = f(x[i]);
}

void elementary(const std::string& name, const TensorArg& from, const TensorArg& to) {
  const auto apply = [&](const auto& f) {
    if (from.dtype() == kFloat64) return map<double>(from, to, f);
    map<float>(from, to, f);
  };
  if (name == "exp_nonpositive") return apply([](auto x) { return exp_nonpositive(x); });
  if (name == "exp_in_hardware") return apply([](auto x) { return exp_in_hardware(x); });
  if (name == "log1p_of_unit") return apply([](auto x) { return log1p_of_unit(x); });
  throw py::value_error("name must be that of an elementary function, got " + name);
}

// From or to float32.
void convert(const TensorArg& from, const TensorArg& to) {
  const auto shape = from.shape();
  require_cpu(from);
  with_floating("from", from, [&](auto from_type, DLDataType from_dtype, DLDataType) {
    with_floating("to", to, [&](auto to_type, DLDataType to_dtype, DLDataType) {
      using From = typename decltype(from_type)::type;
      using To = typename decltype(to_type)::type;
      if constexpr (std::is_same_v<Arithmetic<From>, Arithmetic<To>>) {
        const From* const x = from.data<const From>("from", from_dtype, shape, from);
        To* const y = to.data<To>("to", to_dtype, shape, from);
        for (int64_t i = 0; i < shape[0]; ++i) narrow(widen(x[i]), &y[i]);
      } else {
        throw py::value_error("from and to must both be float64 or neither");
      }
    });
  });
}

using Part = std::pair<double, double>;

Part combine_softmax_parts(Part a, Part b) {
  const SoftmaxPart<double> part =
      combine(SoftmaxPart<double>{a.first, a.second}, SoftmaxPart<double>{b.first, b.second});
  return {part.maximum, part.sum};
}

}  // namespace

void bind_elementary(py::module_& m) {
  using namespace py::literals;
  m.def("elementary", &elementary, "name"_a, "from_"_a, "to"_a,
        "A function of exp.h or log1p.h, element by element, on the CPU.");
  m.def("convert", &convert, "from_"_a, "to"_a, "The conversions of half.h, on the CPU.");
  m.def("combine_softmax_parts", &combine_softmax_parts, "a"_a, "b"_a,
        "(maximum, sum) of two parts of a row as one.");
}

}  // namespace atjt
