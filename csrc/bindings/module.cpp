// The module atjt_ext._C: checks what C++ relies on, picks device and dtype, calls the kernels.
//
// Private: atjt_ext.ops allocates the outputs, checks the options and is what users call.
// SPDX-License-Identifier: Apache-2.0
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include <algorithm>
#include <array>
#include <utility>
#include <vector>

#include "bindings/ops.h"
#include "cpu/isa.h"
#include "cuda/devices.h"
#include "philox.h"
#include "select_smallest.h"

namespace atjt {
namespace {

namespace py = pybind11;

std::array<uint32_t, 4> philox(std::array<uint32_t, 4> counter, std::array<uint32_t, 2> key) {
  const Philox4<uint64_t> word = philox4x32_10(
      Philox4<uint64_t>{counter[0], counter[1], counter[2], counter[3]}, key[0], key[1]);
  return {uint32_t(word.x), uint32_t(word.y), uint32_t(word.z), uint32_t(word.w)};
}

std::pair<uint32_t, int64_t> cutoff(const std::vector<uint32_t>& keys, int64_t k) {
  const auto n = int64_t(keys.size());
  if (k < 1 || k >= n) throw py::value_error("k must be in [1, len(keys))");
  const Cutoff<uint32_t> found = find_cutoff<uint32_t>(k, n, [&](uint32_t limit) {
    return std::count_if(keys.begin(), keys.end(), [limit](uint32_t key) { return key <= limit; });
  });
  return {found.key, found.ties};
}

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
  m.def("philox4x32_10", &philox, "counter"_a, "key"_a, "Four random words.");
  m.def("find_cutoff", &cutoff, "keys"_a, "k"_a,
        "(key, ties): the k smallest keys are those below key and the first `ties` equal to it.");

  bind_candidate_scores(m);
  bind_catalogue_scores(m);
  bind_elementary(m);
  bind_keyed_draws(m);
  bind_linear_cross_entropy(m);
  bind_random_replacement(m);
  bind_reweighted_binary_cross_entropy(m);
  bind_reweighted_cross_entropy(m);
  bind_reweighted_gradient(m);
}
