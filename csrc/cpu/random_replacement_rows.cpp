// The rows of random_replacement, compiled once per instruction set (see isa.h).
//
// Every loop is plain and without branches, so that the compiler vectorises it.
// SPDX-License-Identifier: Apache-2.0
#include "cpu/random_replacement_rows.h"

#include "cpu/lanes.h"
#include "select_smallest.h"

namespace atjt::cpu {
namespace {

constexpr uint32_t kNotAnItem = ~uint32_t{0};  // the key of padding; find_cutoff never counts it

// Returns the keys of the positions, which begin within the first four words of `scratch`.
template <class Id>
uint32_t* draw_keys(const RandomReplacementParams<Id>& p, uint64_t key,
                    uint32_t* __restrict scratch) {
  const uint32_t first = first_index(p) / 4, end = kEndIndex / 4;
  for (uint32_t group = first; group < end; group += kLanes) {
    const Philox4<Lanes> word = position_draws(p, key, counting_from(group));
    store_interleaved(scratch + size_t{4} * (group - first), word.x, word.y, word.z, word.w);
  }
  return scratch + first_index(p) % 4;
}

struct Scan {
  int64_t items;   // positions that are not padding
  bool ids_valid;  // all of them hold an item
};

template <class Id>
Scan copy_row(const RandomReplacementParams<Id>& p, const Id* __restrict in, Id* __restrict out) {
  using Unsigned = std::make_unsigned_t<Id>;
  const auto num_items = Unsigned(p.num_items);
  const int64_t length = p.length;
  const Id padding = p.padding_idx;
  Unsigned items = 0, strangers = 0;
#pragma omp simd reduction(+ : items, strangers)
  for (int64_t i = 0; i < length; ++i) {
    const Id id = in[i];
    const Unsigned is_item = id != padding, in_catalogue = Unsigned(id) - 1 < num_items;
    out[i] = id;
    items += is_item;
    strangers += is_item & ~in_catalogue & 1;
  }
  return {int64_t(items), strangers == 0};
}

template <class Id>
void forget_padding(const RandomReplacementParams<Id>& p, const Id* __restrict in,
                    uint32_t* __restrict keys) {
  const int64_t length = p.length;
  const Id padding = p.padding_idx;
#pragma omp simd
  for (int64_t i = 0; i < length; ++i) keys[i] = in[i] != padding ? keys[i] : kNotAnItem;
}

int64_t count_up_to(const uint32_t* __restrict keys, int64_t length, uint32_t limit) {
  uint32_t count = 0;
#pragma omp simd reduction(+ : count)
  for (int64_t i = 0; i < length; ++i) count += uint32_t(keys[i] <= limit);
  return count;
}

// Lists the positions of the true bytes in `marked`, without a branch per byte.
void list_marked(const bool* __restrict marked, int64_t length, uint32_t* __restrict list) {
  for (int64_t i = 0; i < length; ++i) {
    *list = uint32_t(i);
    list += int(marked[i]);
  }
}

// Marks and lists the keys below `limit`.
void mark_below(const uint32_t* __restrict keys, int64_t length, uint32_t limit,
                bool* __restrict marked, uint32_t* __restrict list) {
#if defined(__AVX512BW__) && defined(__AVX512VL__)
  // Compression has no counterpart in plain loops. (No masked stores: slow on AMD.)
  const __m512i limits = _mm512_set1_epi32(int(limit));
  __m512i positions = _mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
  int64_t i = 0;
  for (; i + 16 <= length; i += 16) {
    const __mmask16 below = _mm512_cmplt_epu32_mask(_mm512_loadu_si512(keys + i), limits);
    _mm_storeu_si128(reinterpret_cast<__m128i*>(marked + i), _mm_maskz_set1_epi8(below, 1));
    _mm512_storeu_si512(list, _mm512_maskz_compress_epi32(below, positions));
    positions = _mm512_add_epi32(positions, _mm512_set1_epi32(16));
    list += __builtin_popcount(below);
  }
  for (; i < length; ++i) {
    marked[i] = keys[i] < limit;
    *list = uint32_t(i);
    list += int(marked[i]);
  }
#else
  for (int64_t i = 0; i < length; ++i) marked[i] = keys[i] < limit;
  list_marked(marked, length, list);
#endif
}

// Marks and lists the k smallest (key, position) among the items of the row, 0 < k <= items.
template <class Id>
void choose_positions(const RandomReplacementParams<Id>& p, const Id* __restrict in, int64_t k,
                      int64_t items, const uint32_t* __restrict keys, bool* __restrict replaced,
                      uint32_t* __restrict list) {
  const int64_t length = p.length;
  const Id padding = p.padding_idx;
  if (k == items) {
    for (int64_t i = 0; i < length; ++i) replaced[i] = in[i] != padding;
    list_marked(replaced, length, list);
    return;
  }
  const Cutoff<uint32_t> cutoff = find_cutoff<uint32_t>(
      k, items, [&](uint32_t limit) { return count_up_to(keys, length, limit); });
  mark_below(keys, length, cutoff.key, replaced, list);
  if (cutoff.ties == 0) return;
  for (int64_t i = 0, ties = cutoff.ties; ties > 0; ++i) {
    if (keys[i] != cutoff.key || in[i] == padding) continue;
    replaced[i] = true;
    --ties;
  }
  list_marked(replaced, length, list);
}

// `ranks` is scratch.
template <class Id>
void replace_items(const RandomReplacementParams<Id>& p, uint64_t key, const Id* __restrict in,
                   const uint32_t* __restrict positions, int64_t count, uint32_t* __restrict ranks,
                   Id* __restrict out) {
  for (int64_t i = 0; i < count; i += kLanes)  // past the end: draws nobody reads
    store_words(ranks + i, other_item_rank(p, key, load_words(positions + i)));
  for (int64_t i = 0; i < count; ++i) {
    const uint32_t position = positions[i];
    out[position] = other_item(ranks[i], in[position]);
  }
}

template <class Id>
int64_t replace_rows(const RandomReplacementParams<Id>& p, const bool* chosen, int64_t begin,
                     int64_t end, uint32_t* scratch) {
  uint32_t* const positions = scratch + replacement_scratch(p.length) / 2;
  for (int64_t row = begin; row < end; ++row) {
    const Id* const in = p.sequences + row * p.length;
    Id* const out = p.out + row * p.length;
    bool* const replaced = p.replaced + row * p.length;

    const Scan scan = copy_row(p, in, out);
    if (!scan.ids_valid) return row;
    const int64_t k = chosen[row] ? replacements_in_row(p, scan.items) : 0;
    p.noise_labels[row] = k > 0;
    if (k == 0) {
      for (int64_t i = 0; i < p.length; ++i) replaced[i] = false;
      continue;
    }
    const uint64_t key = row_key(p, row);
    uint32_t* const keys = draw_keys(p, key, scratch);
    if (scan.items < p.length) forget_padding(p, in, keys);
    choose_positions(p, in, k, scan.items, keys, replaced, positions);
    replace_items(p, key, in, positions, k, keys, out);
  }
  return kNoRow;
}

}  // namespace

template <>
int64_t RandomReplacementRows<Isa::ATJT_ISA>::run(const RandomReplacementParams<int32_t>& params,
                                                  const bool* chosen, int64_t begin, int64_t end,
                                                  uint32_t* scratch) noexcept {
  return replace_rows(params, chosen, begin, end, scratch);
}

template <>
int64_t RandomReplacementRows<Isa::ATJT_ISA>::run(const RandomReplacementParams<int64_t>& params,
                                                  const bool* chosen, int64_t begin, int64_t end,
                                                  uint32_t* scratch) noexcept {
  return replace_rows(params, chosen, begin, end, scratch);
}

}  // namespace atjt::cpu
