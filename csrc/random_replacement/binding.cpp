// SPDX-License-Identifier: Apache-2.0
#include <cmath>
#include <utility>

#include "common/bindings/arguments.h"
#include "common/bindings/op.h"
#include "random_replacement/random_replacement.h"

namespace atjt {
namespace {

constexpr int64_t kMaxRows = (int64_t{1} << 31) - 1;

struct Arguments {
  const TensorArg& sequences;
  const OptionalTensorArg& row_keys;
  const OptionalTensorArg& alias_table;
  const std::vector<TensorArg>& features;
  const std::vector<TensorArg>& feature_tables;
  const TensorArg& out;
  const TensorArg& replaced;
  const TensorArg& noise_labels;
  const std::vector<TensorArg>& features_out;
  int64_t num_items, padding_idx, num_targets;
  Amount row_amount, position_amount;
  bool avoid_history;
  int64_t seed, step;
  const OptionalTensorArg& seed_tensor;
  const OptionalTensorArg& step_tensor;
  int num_threads;
};

Amount share_of(double share) { return {Amount::kShare, 0, share, 0}; }

Amount with_probability(double probability) {
  if (probability >= 1) return share_of(1);  // 2^64 has no place in the threshold
  return {Amount::kProbability, 0, 0, uint64_t(std::ldexp(probability, 64))};
}

FeatureColumns feature_columns(const Arguments& args) {
  const size_t count = args.features.size();
  if (count > size_t{kMaxFeatures})
    throw py::value_error("features must hold at most " + std::to_string(kMaxFeatures) +
                          " columns, got " + std::to_string(count));
  for (const auto& [list, name] : {std::pair{&args.feature_tables, "feature_tables"},
                                   std::pair{&args.features_out, "features_out"}})
    if (list->size() != count)
      throw py::value_error(std::string(name) + " must hold one for each of the " +
                            std::to_string(count) + " features, got " +
                            std::to_string(list->size()));
  FeatureColumns columns = {int32_t(count), 0, {}};
  for (size_t i = 0; i < count; ++i) {
    const std::string place = "[" + std::to_string(i) + "]";
    const std::string name = "features" + place, table_name = "feature_tables" + place,
                      out_name = "features_out" + place;
    const DLDataType dtype = args.features[i].dtype();
    if (!(dtype == kInt32 || dtype == kInt64 || dtype == kFloat32 || dtype == kFloat64))
      throw py::value_error(name + " must be int32, int64, float32 or float64, got " +
                            name_of(dtype));
    const auto shape = args.sequences.shape();
    columns.wide |= uint64_t{dtype.bits == 64} << i;
    columns.column[i] = {
        args.features[i].data<const void>(name.c_str(), dtype, shape, args.sequences),
        args.features_out[i].data<void>(out_name.c_str(), dtype, shape, args.sequences),
        args.feature_tables[i].data<const void>(table_name.c_str(), dtype, {args.num_items + 1},
                                                args.sequences)};
  }
  return columns;
}

template <class Id>
void replace(const Arguments& args) {
  const TensorArg& sequences = args.sequences;
  const auto shape = sequences.shape();
  const int64_t rows = shape[0], length = shape[1];
  if (rows > kMaxRows)
    throw py::value_error("sequences must have at most " + std::to_string(kMaxRows) +
                          " rows, got " + std::to_string(rows));
  if (length > kMaxLength)
    throw py::value_error("sequences must be no longer than " + std::to_string(kMaxLength) +
                          ", got " + std::to_string(length));
  require_range("num_items", args.num_items, 1, (int64_t{1} << 31) - 1);
  require_range("num_targets", args.num_targets, 0, INT64_MAX);
  require_range("step", args.step, 0, UINT32_MAX);
  const DLDataType ids = sequences.dtype();
  const RandomReplacementParams<Id> params = {
      sequences.data<const Id>("sequences", ids, shape, sequences),
      args.row_keys ? args.row_keys->data<const int64_t>("row_keys", kInt64, {rows}, sequences)
                    : nullptr,
      args.out.data<Id>("out", ids, shape, sequences),
      args.replaced.data<bool>("replaced", kBool, shape, sequences),
      args.noise_labels.data<bool>("noise_labels", kBool, {rows}, sequences),
      rows,
      length,
      std::max<int64_t>(length - args.num_targets, 0),
      uint32_t(args.num_items),
      Id(args.padding_idx),
      args.row_amount,
      args.position_amount,
      args.alias_table ? args.alias_table->data<const uint64_t>("alias_table", kInt64,
                                                                {args.num_items}, sequences)
                       : nullptr,
      args.avoid_history,
      uint64_t(args.seed),
      uint32_t(args.step),
      scalar("seed", args.seed_tensor, sequences),
      scalar("step", args.step_tensor, sequences)};
  const FeatureColumns features = feature_columns(args);
  run_beside(
      "sequences", sequences,
      [&](auto device, void* stream) {
        cuda::random_replacement(params, features, device, stream);
      },
      [&] { cpu::random_replacement(params, features, args.num_threads); });
}

void random_replacement(const Arguments& args) {
  require_rank("sequences", args.sequences, 2);
  if (args.sequences.dtype() == kInt32) return replace<int32_t>(args);
  if (args.sequences.dtype() == kInt64) return replace<int64_t>(args);
  throw py::value_error("sequences must be int32 or int64, got " + name_of(args.sequences.dtype()));
}

const Op op([](py::module_& m) {
  using namespace py::literals;
  m.def(
      "random_replacement",
      [](const TensorArg& sequences, const OptionalTensorArg& row_keys,
         const OptionalTensorArg& alias_table, const std::vector<TensorArg>& features,
         const std::vector<TensorArg>& feature_tables, const TensorArg& out,
         const TensorArg& replaced, const TensorArg& noise_labels,
         const std::vector<TensorArg>& features_out, int64_t num_items, int64_t padding_idx,
         int64_t num_targets, std::optional<double> sequence_fraction,
         std::optional<double> sequence_probability, std::optional<int64_t> num_replacements,
         std::optional<double> replace_ratio, std::optional<double> replace_probability,
         bool avoid_history, int64_t seed, int64_t step, const OptionalTensorArg& seed_tensor,
         const OptionalTensorArg& step_tensor, int num_threads) {
        const Amount row_amount = sequence_probability ? with_probability(*sequence_probability)
                                                       : share_of(sequence_fraction.value_or(1));
        const Amount position_amount = replace_probability ? with_probability(*replace_probability)
                                       : num_replacements
                                           ? Amount{Amount::kCount, *num_replacements, 0, 0}
                                           : share_of(replace_ratio.value());
        random_replacement({sequences,   row_keys,    alias_table,  features,        feature_tables,
                            out,         replaced,    noise_labels, features_out,    num_items,
                            padding_idx, num_targets, row_amount,   position_amount, avoid_history,
                            seed,        step,        seed_tensor,  step_tensor,     num_threads});
      },
      "sequences"_a, py::kw_only(), "row_keys"_a, "alias_table"_a, "features"_a, "feature_tables"_a,
      "out"_a, "replaced"_a, "noise_labels"_a, "features_out"_a, "num_items"_a, "padding_idx"_a,
      "num_targets"_a, "sequence_fraction"_a, "sequence_probability"_a, "num_replacements"_a,
      "replace_ratio"_a, "replace_probability"_a, "avoid_history"_a, "seed"_a, "step"_a,
      "seed_tensor"_a, "step_tensor"_a, "num_threads"_a);
});

}  // namespace
}  // namespace atjt
