// SPDX-License-Identifier: Apache-2.0
#include "candidate_scores/candidate_scores.h"
#include "common/bindings/arguments.h"
#include "common/bindings/floating.h"
#include "common/bindings/op.h"

namespace atjt {
namespace {

CandidatesShape shape_of(const TensorArg& candidates, const TensorArg& table, int64_t ignore_index,
                         const TensorArg& beside) {
  require_rank("candidates", candidates, 2);
  require_rank("table", table, 2);
  const auto shape = candidates.shape();
  return {candidates.data<const int64_t>("candidates", kInt64, shape, beside),
          shape[0],
          shape[1],
          table.shape()[0],
          table.shape()[1],
          ignore_index};
}

void candidate_scores(const TensorArg& hidden, const TensorArg& table, const TensorArg& candidates,
                      const TensorArg& scores, int64_t ignore_index, int64_t num_threads) {
  const CandidatesShape shape = shape_of(candidates, table, ignore_index, hidden);
  with_floating("hidden", hidden, [&](auto type, DLDataType dtype, DLDataType arithmetic) {
    using T = typename decltype(type)::type;
    const CandidateScoresParams<T> params = {
        shape, hidden.data<const T>("hidden", dtype, {shape.rows, shape.width}, hidden),
        table.data<const T>("table", dtype, {shape.items, shape.width}, hidden),
        scores.data<Arithmetic<T>>("scores", arithmetic, {shape.rows, shape.per_row}, hidden)};
    run_beside(
        "hidden", hidden, num_threads,
        [&](auto device, void* stream) { cuda::candidate_scores(params, device, stream); },
        [&](int threads) { cpu::candidate_scores(params, threads); });
  });
}

void candidate_hidden_gradient(const TensorArg& table, const TensorArg& candidates,
                               const TensorArg& grad_scores, const TensorArg& grad_hidden,
                               int64_t ignore_index, int64_t num_threads) {
  const CandidatesShape shape = shape_of(candidates, table, ignore_index, table);
  with_floating("table", table, [&](auto type, DLDataType dtype, DLDataType arithmetic) {
    using T = typename decltype(type)::type;
    const CandidateHiddenGradientParams<T> params = {
        shape, table.data<const T>("table", dtype, {shape.items, shape.width}, table),
        grad_scores.data<const Arithmetic<T>>("grad_scores", arithmetic,
                                              {shape.rows, shape.per_row}, table),
        grad_hidden.data<T>("grad_hidden", dtype, {shape.rows, shape.width}, table)};
    run_beside(
        "table", table, num_threads,
        [&](auto device, void* stream) { cuda::candidate_hidden_gradient(params, device, stream); },
        [&](int threads) { cpu::candidate_hidden_gradient(params, threads); });
  });
}

void candidate_table_gradient(const TensorArg& hidden, const TensorArg& grad_scores,
                              const TensorArg& order, const TensorArg& slots,
                              const TensorArg& grad_table, const TensorArg& parts,
                              int64_t num_threads) {
  require_rank("hidden", hidden, 2);
  require_rank("grad_scores", grad_scores, 2);
  require_rank("order", order, 1);
  require_rank("grad_table", grad_table, 2);
  const int64_t rows = hidden.shape()[0], width = hidden.shape()[1];
  const int64_t pairs = order.shape()[0], per_row = grad_scores.shape()[1];
  const int64_t num_slots = grad_table.shape()[0];
  if (pairs > 0 && rows * per_row == 0)
    throw py::value_error("order must be empty like grad_scores, got " + std::to_string(pairs) +
                          " pairs");
  with_floating("hidden", hidden, [&](auto type, DLDataType dtype, DLDataType arithmetic) {
    using T = typename decltype(type)::type;
    using Real = Arithmetic<T>;
    const CandidateTableGradientParams<T> params = {
        hidden.data<const T>("hidden", dtype, {rows, width}, hidden),
        grad_scores.data<const Real>("grad_scores", arithmetic, {rows, per_row}, hidden),
        order.data<const int64_t>("order", kInt64, {pairs}, hidden),
        slots.data<const int64_t>("slots", kInt64, {pairs}, hidden),
        grad_table.data<T>("grad_table", dtype, {num_slots, width}, hidden),
        parts.data<Real>("parts", arithmetic, {2 * num_chunks(pairs), width}, hidden),
        pairs,
        rows * per_row,
        per_row,
        num_slots,
        width};
    run_beside(
        "hidden", hidden, num_threads,
        [&](auto device, void* stream) { cuda::candidate_table_gradient(params, device, stream); },
        [&](int threads) { cpu::candidate_table_gradient(params, threads); });
  });
}

const Op op([](py::module_& m) {
  using namespace py::literals;
  m.def("candidate_scores", &candidate_scores, "hidden"_a, "table"_a, "candidates"_a, py::kw_only(),
        "scores"_a, "ignore_index"_a, "num_threads"_a);
  m.def("candidate_hidden_gradient", &candidate_hidden_gradient, "table"_a, "candidates"_a,
        "grad_scores"_a, py::kw_only(), "grad_hidden"_a, "ignore_index"_a, "num_threads"_a);
  m.def(
      "candidate_parts",
      [](int64_t pairs) {
        require_range("pairs", pairs, 0, INT64_MAX / 2);
        return 2 * num_chunks(pairs);
      },
      "pairs"_a, "Rows of `parts` that candidate_table_gradient wants.");
  m.def("candidate_table_gradient", &candidate_table_gradient, "hidden"_a, "grad_scores"_a,
        "order"_a, "slots"_a, py::kw_only(), "grad_table"_a, "parts"_a, "num_threads"_a);
});

}  // namespace
}  // namespace atjt
