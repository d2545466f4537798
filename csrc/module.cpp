// The module atjt_ext._C: the facts of its build, and all ops.
//
// Private: users call atjt_ext.ops, which allocates the outputs and checks the options.
// SPDX-License-Identifier: Apache-2.0
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include "common/bindings/op.h"
#include "common/cpu/isa.h"
#include "common/cuda/devices.h"

namespace atjt {
namespace {

namespace py = pybind11;

py::dict build_facts() {
  py::dict facts;
  facts["version"] = ATJT_VERSION;
  facts["cuda_architectures"] =
      ATJT_HAVE_CUDA ? py::object(py::str(ATJT_CUDA_ARCHITECTURES)) : py::object(py::none());
  facts["cuda_toolkit"] =
      ATJT_HAVE_CUDA ? py::object(py::str(ATJT_CUDA_VERSION)) : py::object(py::none());
#ifdef _OPENMP
  facts["openmp"] = true;
#else
  facts["openmp"] = false;
#endif
  py::list isas;
  for (int i = 0; i < cpu::num_compiled_isas(); ++i) isas.append(cpu::kIsaNames[i]);
  facts["cpu_isas"] = isas;
  return facts;
}

}  // namespace
}  // namespace atjt

PYBIND11_MODULE(_C, m) {
  using namespace atjt;
  using namespace py::literals;
  m.doc() = "Kernels behind atjt_ext.ops. Private.";

  m.def("build_facts", &build_facts, "What the module was compiled with.");
  m.def(
      "cuda_device_count",
      [] {
        if constexpr (ATJT_HAVE_CUDA) return cuda::device_count();
        return 0;
      },
      "CUDA devices the driver reports; 0 without driver or CUDA kernels. Creates no context.");
  m.def(
      "cpu_isa", [] { return cpu::kIsaNames[int(cpu::current_isa())]; },
      "The instruction set the CPU kernels run on.");
  m.def(
      "use_cpu_isa",
      [](const std::string& name) {
        if (!cpu::use_isa(name.c_str()))
          throw py::value_error("name must be a compiled level this processor has, got " + name);
      },
      "name"_a, "Run the CPU kernels on the named level, or on the best one with 'auto'.");
  Op::bind_all(m);
}
