// SPDX-License-Identifier: Apache-2.0
#include <cmath>
#include <utility>

#include "common/bindings/arguments.h"
#include "common/bindings/op.h"
#include "random_replacement/random_replacement.h"

namespace atjt {
namespace {

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
  int64_t num_threads;
};

Amount share_of(const char* name, double share) {
  require_share(name, share);
  return {Amount::kShare, 0, share, 0};
}

Amount with_probability(const char* name, double probability) {
  require_share(name, probability);
  if (probability == 1) return share_of(name, 1);  // 2^64 has no place in the threshold
  return {Amount::kProbability, 0, 0, uint64_t(std::ldexp(probability, 64))};
}

Amount count_of(const char* name, int64_t count) {
  require_range(name, count, 0, INT64_MAX);
  return {Amount::kCount, count, 0, 0};
}

bool is_nothing(const Amount& amount) {
  return amount.count == 0 && amount.share == 0 && amount.threshold == 0;
}

Amount row_amount(std::optional<double> fraction, std::optional<double> probability) {
  if (fraction && probability)
    throw py::value_error("at most one of sequence_fraction and sequence_probability may be given");
  if (probability) return with_probability("sequence_probability", *probability);
  return share_of("sequence_fraction", fraction.value_or(1));
}

Amount position_amount(std::optional<int64_t> count, std::optional<double> ratio,
                       std::optional<double> probability) {
  if (count.has_value() + ratio.has_value() + probability.has_value() != 1)
    throw py::value_error(
        "exactly one of num_replacements, replace_ratio and replace_probability must be given");
  if (count) return count_of("num_replacements", *count);
  if (ratio) return share_of("replace_ratio", *ratio);
  return with_probability("replace_probability", *probability);
}

template <class Id>
void check_numbers(const Arguments& args) {
  require_range("num_items", args.num_items, 1, INT32_MAX);
  require_range("num_targets", args.num_targets, 0, INT64_MAX);
  require_range("step", args.step, 0, UINT32_MAX);
  require_range("padding_idx", args.padding_idx, std::numeric_limits<Id>::min(),
                std::numeric_limits<Id>::max());
  if (args.padding_idx >= 1 && args.padding_idx <= args.num_items)
    throw py::value_error("padding_idx must not be an item in 1.." +
                          std::to_string(args.num_items) + ", got " +
                          std::to_string(args.padding_idx));
  // The draw of another item would give item 2, which no feature table holds.
  if (args.num_items == 1 && !is_nothing(args.row_amount) && !is_nothing(args.position_amount))
    throw py::value_error("num_items must be at least 2 to replace an item, got 1");
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
  if (rows > INT32_MAX)
    throw py::value_error("sequences must have at most " + std::to_string(INT32_MAX) +
                          " rows, got " + std::to_string(rows));
  if (length > kMaxLength)
    throw py::value_error("sequences must be no longer than " + std::to_string(kMaxLength) +
                          ", got " + std::to_string(length));
  check_numbers<Id>(args);
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
      "sequences", sequences, args.num_threads,
      [&](auto device, void* stream) {
        cuda::random_replacement(params, features, device, stream);
      },
      [&](int threads) { cpu::random_replacement(params, features, threads); });
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
         const OptionalTensorArg& step_tensor, int64_t num_threads) {
        random_replacement({sequences,
                            row_keys,
                            alias_table,
                            features,
                            feature_tables,
                            out,
                            replaced,
                            noise_labels,
                            features_out,
                            num_items,
                            padding_idx,
                            num_targets,
                            row_amount(sequence_fraction, sequence_probability),
                            position_amount(num_replacements, replace_ratio, replace_probability),
                            avoid_history,
                            seed,
                            step,
                            seed_tensor,
                            step_tensor,
                            num_threads});
      },
      "sequences"_a, py::kw_only(), "row_keys"_a, "alias_table"_a, "features"_a, "feature_tables"_a,
      "out"_a, "replaced"_a, "noise_labels"_a, "features_out"_a, "num_items"_a, "padding_idx"_a,
      "num_targets"_a, "sequence_fraction"_a, "sequence_probability"_a, "num_replacements"_a,
      "replace_ratio"_a, "replace_probability"_a, "avoid_history"_a, "seed"_a, "step"_a,
      "seed_tensor"_a, "step_tensor"_a, "num_threads"_a);
});

}  // namespace
}  // namespace atjt
