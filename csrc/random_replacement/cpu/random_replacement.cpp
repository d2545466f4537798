// SPDX-License-Identifier: Apache-2.0
#include "random_replacement/random_replacement.h"

#include <algorithm>
#include <memory>
#include <stdexcept>
#include <string>
#include <vector>

#include "common/cpu/huge_pages.h"
#include "common/cpu/isa.h"
#include "common/cpu/parallel.h"
#include "random_replacement/cpu/random_replacement_rows.h"

namespace atjt::cpu {
namespace {

template <class Id>
[[noreturn]] void refuse_row(const RandomReplacementParams<Id>& p, int64_t row) {
  const Id* const in = p.sequences + row * p.length;
  const Id* const stranger = std::find_if(in, in + p.length, [&p](Id id) {
    return id != p.padding_idx && (id < 1 || int64_t{id} > int64_t{p.num_items});
  });
  throw std::invalid_argument("sequences must hold items in 1.." + std::to_string(p.num_items) +
                              " or padding_idx = " + std::to_string(p.padding_idx) + ", got " +
                              std::to_string(*stranger) + " at [" + std::to_string(row) + ", " +
                              std::to_string(stranger - in) + "]");
}

}  // namespace

template <class Id>
void random_replacement(const RandomReplacementParams<Id>& p, const FeatureColumns& features,
                        int num_threads) {
  const std::unique_ptr<bool[]> chosen(new bool[size_t(p.rows)]);
  const ReplacementTask<Id> task = {p, features, call_key(p), chosen.get()};
  const bool some_rows =
      p.row_amount.kind == Amount::kProbability || exact_amount(p.row_amount, p.rows) != p.rows;
  if (some_rows) {
    const std::unique_ptr<uint64_t[]> draws(new uint64_t[size_t(p.rows)]);
    with_current_isa(
        [&](auto isa) { RandomReplacementRows<decltype(isa)::value>::choose(task, draws.get()); });
  } else {
    std::fill_n(chosen.get(), p.rows, true);
  }

  prefer_huge_pages(p.out, p.rows * p.length * int64_t{sizeof(Id)});
  const int64_t scratch_size = replacement_scratch(p.length);
  const std::unique_ptr<uint32_t[]> scratch(new uint32_t[size_t(scratch_size * num_threads)]);
  std::vector<int64_t> refused(size_t(num_threads), kNoRow);
  with_current_isa([&](auto isa) {
    parallel_rows(p.rows, p.length, num_threads, [&](int thread, int64_t begin, int64_t end) {
      refused[size_t(thread)] = RandomReplacementRows<decltype(isa)::value>::run(
          task, begin, end, scratch.get() + thread * scratch_size);
    });
  });
  for (const int64_t row :
       refused)  // threads have ascending rows, so the first hit is the first row
    if (row != kNoRow) refuse_row(p, row);
}

template void random_replacement(const RandomReplacementParams<int32_t>&, const FeatureColumns&,
                                 int);
template void random_replacement(const RandomReplacementParams<int64_t>&, const FeatureColumns&,
                                 int);

}  // namespace atjt::cpu
