// SPDX-License-Identifier: Apache-2.0
#include "random_replacement.h"

#include <algorithm>
#include <memory>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "cpu/huge_pages.h"
#include "cpu/isa.h"
#include "cpu/parallel.h"
#include "cpu/random_replacement_rows.h"

namespace atjt::cpu {
namespace {

// The rows with the smallest (draw, row); exactly round(sequence_fraction * rows) of them.
template <class Id>
std::unique_ptr<bool[]> choose_rows(const RandomReplacementParams<Id>& p) {
  const int64_t count = rounded_share(p.sequence_fraction, p.rows);
  std::unique_ptr<bool[]> chosen(new bool[size_t(p.rows)]);
  std::fill_n(chosen.get(), p.rows, count == p.rows);
  if (count == 0 || count == p.rows) return chosen;
  std::vector<std::pair<uint64_t, int64_t>> draws(size_t(p.rows));
  for (int64_t row = 0; row < p.rows; ++row) draws[size_t(row)] = {row_draw(p, row), row};
  std::nth_element(draws.begin(), draws.begin() + count, draws.end());
  for (int64_t i = 0; i < count; ++i) chosen[size_t(draws[size_t(i)].second)] = true;
  return chosen;
}

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
void random_replacement(const RandomReplacementParams<Id>& p, int num_threads) {
  const std::unique_ptr<bool[]> chosen = choose_rows(p);
  prefer_huge_pages(p.out, p.rows * p.length * int64_t{sizeof(Id)});
  num_threads = std::max(num_threads, 1);
  const int64_t scratch_size = replacement_scratch(p.length);
  std::unique_ptr<uint32_t[]> scratch(new uint32_t[size_t(scratch_size * num_threads)]);
  std::vector<int64_t> refused(size_t(num_threads), kNoRow);

  with_current_isa([&](auto isa) {
    parallel_rows(p.rows, p.length, num_threads, [&](int thread, int64_t begin, int64_t end) {
      refused[size_t(thread)] = RandomReplacementRows<decltype(isa)::value>::run(
          p, chosen.get(), begin, end, scratch.get() + thread * scratch_size);
    });
  });
  for (const int64_t row : refused)  // threads hold ascending rows: the first hit is the first row
    if (row != kNoRow) refuse_row(p, row);
}

template void random_replacement(const RandomReplacementParams<int32_t>&, int);
template void random_replacement(const RandomReplacementParams<int64_t>&, int);

}  // namespace atjt::cpu
