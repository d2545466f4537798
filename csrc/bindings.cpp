// The module atjt_ext._C: checks what C++ relies on, picks device and dtype, calls the kernels.
//
// Private: atjt_ext.ops allocates the outputs, checks the options and is what users call.
// SPDX-License-Identifier: Apache-2.0
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include <algorithm>
#include <array>
#include <optional>
#include <utility>
#include <vector>

#include "cpu/isa.h"
#include "cuda/devices.h"
#include "dlpack_tensor.h"
#include "random_replacement.h"
#include "reweighted_cross_entropy.h"
#include "select_smallest.h"

namespace atjt {
namespace {

void require_rank(const char* name, const TensorArg& tensor, size_t rank) {
  if (tensor.shape().size() != rank)
    throw py::value_error(std::string(name) + " must have " + std::to_string(rank) +
                          " dimensions, got shape " + name_of(tensor.shape()));
}

// True for CUDA, false for the CPU. Everything else an op gets has to lie beside this tensor.
bool on_cuda(const char* name, const TensorArg& tensor) {
  if (tensor.device().device_type == kDLCPU) return false;
  if (tensor.device().device_type != kDLCUDA)
    throw py::value_error(std::string(name) + " must be on cpu or cuda, got " +
                          name_of(tensor.device()));
  if (!ATJT_HAVE_CUDA)
    throw std::runtime_error(
        std::string(name) + " is on " + name_of(tensor.device()) +
        ", but atjt_ext was built without CUDA kernels; with nvcc installed, rebuild it: "
        "pip install . -C cmake.define.ATJT_CUDA=ON");
  return true;
}

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

template <class Id>
void replace(const TensorArg& sequences, const std::optional<TensorArg>& row_keys,
             const TensorArg& out, const TensorArg& replaced, const TensorArg& noise_labels,
             int64_t num_items, int64_t padding_idx, double sequence_fraction,
             int64_t num_replacements, double replace_ratio, int64_t seed, int64_t step,
             int num_threads) {
  const auto shape = sequences.shape();
  const int64_t rows = shape[0], length = shape[1];
  if (length >= kMaxLength)
    throw py::value_error("sequences must be shorter than 2^28, got " + std::to_string(length));
  const DLDataType ids = sequences.dtype();
  const RandomReplacementParams<Id> params = {
      sequences.data<const Id>("sequences", ids, shape, sequences),
      row_keys ? row_keys->data<const int64_t>("row_keys", kInt64, {rows}, sequences) : nullptr,
      out.data<Id>("out", ids, shape, sequences),
      replaced.data<bool>("replaced", kBool, shape, sequences),
      noise_labels.data<bool>("noise_labels", kBool, {rows}, sequences),
      rows,
      length,
      uint32_t(num_items),
      Id(padding_idx),
      sequence_fraction,
      num_replacements,
      replace_ratio,
      uint64_t(seed),
      uint32_t(step)};
#if ATJT_HAVE_CUDA
  if (on_cuda("sequences", sequences)) {
    void* const stream = sequences.stream();
    const py::gil_scoped_release release;
    return cuda::random_replacement(params, sequences.device().device_id, stream);
  }
#endif
  const py::gil_scoped_release release;
  cpu::random_replacement(params, num_threads);
}

template <class... Rest>
void random_replacement(const TensorArg& sequences, Rest... rest) {
  require_rank("sequences", sequences, 2);
  on_cuda("sequences", sequences);
  if (sequences.dtype() == kInt32) return replace<int32_t>(sequences, rest...);
  if (sequences.dtype() == kInt64) return replace<int64_t>(sequences, rest...);
  throw py::value_error("sequences must be int32 or int64, got " + name_of(sequences.dtype()));
}

struct CrossEntropyArgs {
  const TensorArg &logits, &targets;
  std::optional<TensorArg> row_scale, losses, lse, grad_logits;
  int64_t ignore_index;
  int num_threads;
};

template <class T>
void cross_entropy(const CrossEntropyArgs& args, DLDataType arithmetic) {
  const TensorArg& logits = args.logits;
  const auto shape = logits.shape();
  const int64_t rows = shape[0];
  const auto row_vector = [&](const char* name, const std::optional<TensorArg>& tensor) {
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
  using Optional = std::optional<TensorArg>;
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

  m.def("random_replacement",
        &random_replacement<const Optional&, const TensorArg&, const TensorArg&, const TensorArg&,
                            int64_t, int64_t, double, int64_t, double, int64_t, int64_t, int>,
        "sequences"_a, py::kw_only(), "row_keys"_a, "out"_a, "replaced"_a, "noise_labels"_a,
        "num_items"_a, "padding_idx"_a, "sequence_fraction"_a, "num_replacements"_a,
        "replace_ratio"_a, "seed"_a, "step"_a, "num_threads"_a);
  m.def(
      "cross_entropy_forward",
      [](const TensorArg& logits, const TensorArg& targets, const Optional& row_scale,
         const TensorArg& losses, const TensorArg& lse, const Optional& grad_logits,
         int64_t ignore_index, int num_threads) {
        if (row_scale.has_value() != grad_logits.has_value())
          throw py::value_error("row_scale and grad_logits go together");
        cross_entropy(
            {logits, targets, row_scale, losses, lse, grad_logits, ignore_index, num_threads});
      },
      "logits"_a, "targets"_a, py::kw_only(), "row_scale"_a, "losses"_a, "lse"_a, "grad_logits"_a,
      "ignore_index"_a, "num_threads"_a);
}
