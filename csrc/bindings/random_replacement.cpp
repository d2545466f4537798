// SPDX-License-Identifier: Apache-2.0
#include "random_replacement.h"

#include "bindings/arguments.h"
#include "bindings/ops.h"

namespace atjt {
namespace {

template <class Id>
void replace(const TensorArg& sequences, const OptionalTensorArg& row_keys, const TensorArg& out,
             const TensorArg& replaced, const TensorArg& noise_labels, int64_t num_items,
             int64_t padding_idx, double sequence_fraction, int64_t num_replacements,
             double replace_ratio, int64_t seed, int64_t step, int num_threads) {
  const auto shape = sequences.shape();
  const int64_t rows = shape[0], length = shape[1];
  if (length > kMaxLength)
    throw py::value_error("sequences must be no longer than " + std::to_string(kMaxLength) +
                          ", got " + std::to_string(length));
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

}  // namespace

void bind_random_replacement(py::module_& m) {
  using namespace py::literals;
  m.def("random_replacement",
        &random_replacement<const OptionalTensorArg&, const TensorArg&, const TensorArg&,
                            const TensorArg&, int64_t, int64_t, double, int64_t, double, int64_t,
                            int64_t, int>,
        "sequences"_a, py::kw_only(), "row_keys"_a, "out"_a, "replaced"_a, "noise_labels"_a,
        "num_items"_a, "padding_idx"_a, "sequence_fraction"_a, "num_replacements"_a,
        "replace_ratio"_a, "seed"_a, "step"_a, "num_threads"_a);
}

}  // namespace atjt
