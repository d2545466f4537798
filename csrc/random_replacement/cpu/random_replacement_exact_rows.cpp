// The rows of random_replacement (see common/cpu/isa.h).
//
// Loops are plain and without branches, so that the compiler vectorises them.
// SPDX-License-Identifier: Apache-2.0
#include "common/cpu/lanes.h"
#include "random_replacement/cpu/random_replacement_rows.h"
#include "random_replacement/remaining_item.h"
#include "random_replacement/select_smallest.h"

namespace atjt::cpu {
namespace {

constexpr uint32_t kNotAnItem = ~uint32_t{0};  // the key of padding; find_cutoff never counts it

// The keys that choose the rows.
template <class Id>
void draw_row_keys(const RandomReplacementParams<Id>& p, const CallKey& call,
                   uint64_t* __restrict keys) {
  int64_t row = 0;
  for (; row + kLanes <= p.rows; row += kLanes) {
    Lanes key = counting_from(uint32_t(row));
    if (p.row_keys != nullptr) std::memcpy(&key, p.row_keys + row, sizeof key);
    const Philox4<Lanes> word =
        keyed_draw(call.seed, call.step, key, key >> 32, Purpose::kRow, Lanes{});
    const Lanes::Words draws = word.y.words << 32 | (word.x.words & 0xFFFFFFFFu);
    std::memcpy(keys + row, &draws, sizeof draws);
  }
  for (; row < p.rows; ++row) keys[row] = row_draw(call, row_key(p, row));
}

// Returns the keys of the open positions: a pointer to one of the first four words of `scratch`.
template <class Id>
uint32_t* draw_keys(const RandomReplacementParams<Id>& p, const CallKey& call, uint64_t key,
                    uint32_t* __restrict scratch) {
  const uint32_t first = first_index(p) / 4, end = kEndIndex / 4;
  for (uint32_t group = first; group < end; group += kLanes) {
    const Philox4<Lanes> word = position_draws(call, key, counting_from(group));
    store_interleaved(scratch + size_t{4} * (group - first), word.x, word.y, word.z, word.w);
  }
  return scratch + first_index(p) % 4;
}

struct Scan {
  int64_t items;   // positions that are not padding
  bool ids_valid;  // all of them hold an item
};

template <class Id>
Scan copy_ids(const RandomReplacementParams<Id>& p, const Id* __restrict in, int64_t length,
              Id* __restrict out) {
  using Unsigned = std::make_unsigned_t<Id>;
  const auto num_items = Unsigned(p.num_items);
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
  const int64_t length = p.open_length;
  const Id padding = p.padding_idx;
#pragma omp simd
  for (int64_t i = 0; i < length; ++i) keys[i] = in[i] != padding ? keys[i] : kNotAnItem;
}

template <class Key>
int64_t count_up_to(const Key* __restrict keys, int64_t length, Key limit) {
  Key count = 0;
#pragma omp simd reduction(+ : count)
  for (int64_t i = 0; i < length; ++i) count += Key(keys[i] <= limit);
  return int64_t(count);
}

// Lists the positions of the true bytes in `marked`, without a branch per byte; returns how many.
int64_t list_marked(const bool* __restrict marked, int64_t length, uint32_t* __restrict list) {
  uint32_t* end = list;
  for (int64_t i = 0; i < length; ++i) {
    *end = uint32_t(i);
    end += int(marked[i]);
  }
  return end - list;
}

// Marks and lists the keys below `limit`; returns how many.
int64_t mark_below(const uint32_t* __restrict keys, int64_t length, uint32_t limit,
                   bool* __restrict marked, uint32_t* __restrict list) {
#if defined(__AVX512BW__) && defined(__AVX512VL__)
  // Plain loops cannot express compression. (Masked stores are slow on AMD.)
  const __m512i limits = _mm512_set1_epi32(int(limit));
  __m512i positions = _mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
  uint32_t* end = list;
  int64_t i = 0;
  for (; i + 16 <= length; i += 16) {
    const __mmask16 below = _mm512_cmplt_epu32_mask(_mm512_loadu_si512(keys + i), limits);
    _mm_storeu_si128(reinterpret_cast<__m128i*>(marked + i), _mm_maskz_set1_epi8(below, 1));
    _mm512_storeu_si512(end, _mm512_maskz_compress_epi32(below, positions));
    positions = _mm512_add_epi32(positions, _mm512_set1_epi32(16));
    end += __builtin_popcount(below);
  }
  for (; i < length; ++i) {
    marked[i] = keys[i] < limit;
    *end = uint32_t(i);
    end += int(marked[i]);
  }
  return end - list;
#else
  for (int64_t i = 0; i < length; ++i) marked[i] = keys[i] < limit;
  return list_marked(marked, length, list);
#endif
}

// Marks and lists the k smallest (key, position) among the items of the row, 0 < k <= items.
template <class Id>
void choose_positions(const RandomReplacementParams<Id>& p, const Id* __restrict in, int64_t k,
                      int64_t items, const uint32_t* __restrict keys, bool* __restrict replaced,
                      uint32_t* __restrict list) {
  const int64_t length = p.open_length;
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
void replace_by_others(const RandomReplacementParams<Id>& p, const CallKey& call, uint64_t key,
                       const Id* __restrict in, const uint32_t* __restrict positions, int64_t count,
                       uint32_t* __restrict ranks, Id* __restrict out) {
  for (int64_t i = 0; i < count; i += kLanes) {  // past the end: draws nobody reads
    const Lanes index = load_words(positions + i) + first_index(p);
    store_words(ranks + i, other_item_rank(item_draw(call, key, index), p.num_items));
  }
  for (int64_t i = 0; i < count; ++i) {
    const uint32_t position = positions[i];
    out[position] = other_item(ranks[i], in[position]);
  }
}

template <class Id>
bool contains(const Id* __restrict ids, int64_t length, Id wanted) {
  std::make_unsigned_t<Id> found = 0;
#pragma omp simd reduction(| : found)
  for (int64_t i = 0; i < length; ++i) found |= std::make_unsigned_t<Id>(ids[i] == wanted);
  return found != 0;
}

// The smallest item of the row above `item`, or a number that is no item.
template <class Id>
uint32_t next_in_row(const Id* __restrict ids, int64_t length, uint32_t num_items, uint32_t item) {
  uint32_t next = ~uint32_t{0};
#pragma omp simd reduction(min : next)
  for (int64_t i = 0; i < length; ++i) {
    const bool above = ids[i] > Id(item) && ids[i] <= Id(num_items);
    const uint32_t id = above ? uint32_t(ids[i]) : ~uint32_t{0};
    next = id < next ? id : next;
  }
  return next;
}

// The item for one position: `word` is its first draw. Returns 0 if no item remains.
template <class Id>
Id allowed_item(const RandomReplacementParams<Id>& p, const CallKey& call, uint64_t key,
                const Id* in, uint32_t position, Philox4<uint64_t> word) {
  const Id original = in[position];
  const auto is_excluded = [&](Id item) {
    return p.avoid_history ? contains(in, p.length, item) : item == original;
  };
  const uint64_t index = uint64_t{position} + first_index(p);
  for (uint32_t attempt = 0;;) {
    const Id item = drawn_item(p, word, original);
    if (!is_excluded(item)) return item;
    if (++attempt == kMaxAttempts) break;
    word = item_draw(call, key, at_attempt(index, attempt));
  }
  word = keyed_draw(call.seed, call.step, key, Purpose::kExactItem, index);
  if (p.alias_table != nullptr)
    return Id(weighted_remaining_item(word, p.alias_table, p.num_items,
                                      [&](uint32_t item) { return is_excluded(Id(item)); }));
  return Id(uniform_remaining_item(word, p.num_items, [&](uint32_t item) {
    return next_in_row(in, p.length, p.num_items, item);
  }));
}

// Removes positions without a remaining item from the list. Returns the number of positions left.
template <class Id>
int64_t replace_by_allowed(const RandomReplacementParams<Id>& p, const CallKey& call, uint64_t key,
                           const Id* in, uint32_t* positions, int64_t count, bool* replaced,
                           Id* out) {
  int64_t left = 0;
  for (int64_t i = 0; i < count; i += kLanes) {  // past the end: draws nobody reads
    const Philox4<Lanes> word = item_draw(call, key, load_words(positions + i) + first_index(p));
    for (int lane = 0; lane < kLanes && i + lane < count; ++lane) {
      const uint32_t position = positions[i + lane];
      const Id item = allowed_item(p, call, key, in, position,
                                   Philox4<uint64_t>{word.x.words[lane], word.y.words[lane],
                                                     word.z.words[lane], word.w.words[lane]});
      replaced[position] = item != 0;
      if (item == 0) continue;
      out[position] = item;
      positions[left++] = position;  // already read: left <= i + lane
    }
  }
  return left;
}

template <class Id, class Value>
void replace_feature(const RandomReplacementParams<Id>& p, const FeatureColumn& column, int64_t row,
                     const uint32_t* positions, int64_t count) {
  if (p.length == 0) return;  // memcpy takes no null pointer
  const auto* const in = static_cast<const Value*>(column.in) + row * p.length;
  auto* const out = static_cast<Value*>(column.out) + row * p.length;
  const auto* const table = static_cast<const Value*>(column.table);
  std::memcpy(out, in, size_t(p.length) * sizeof(Value));
  const Id* const items = p.out + row * p.length;
  for (int64_t i = 0; i < count; ++i) out[positions[i]] = table[items[positions[i]]];
}

// Writes `replaced` and the new items of a row that is already copied. Lists their positions in
// `positions` and returns the number of them; `keys` is scratch.
template <class Id>
int64_t replace_items(const ReplacementTask<Id>& task, int64_t row, int64_t items, uint32_t* keys,
                      uint32_t* positions) {
  const RandomReplacementParams<Id>& p = task.params;
  const Id* const in = p.sequences + row * p.length;
  Id* const out = p.out + row * p.length;
  bool* const replaced = p.replaced + row * p.length;
  const bool by_probability = p.position_amount.kind == Amount::kProbability;
  int64_t count = by_probability ? items : exact_amount(p.position_amount, items);
  if (!task.chosen[row] || count == 0) {
    for (int64_t i = 0; i < p.length; ++i) replaced[i] = false;
    return 0;
  }
  for (int64_t i = p.open_length; i < p.length; ++i) replaced[i] = false;

  const uint64_t key = row_key(p, row);
  keys = draw_keys(p, task.call, key, keys);
  if (items < p.open_length) forget_padding(p, in, keys);
  if (by_probability)
    count = mark_below(keys, p.open_length, uint32_t(p.position_amount.threshold >> 32), replaced,
                       positions);
  else
    choose_positions(p, in, count, items, keys, replaced, positions);
  if (p.alias_table != nullptr || p.avoid_history)
    return replace_by_allowed(p, task.call, key, in, positions, count, replaced, out);
  replace_by_others(p, task.call, key, in, positions, count, keys, out);
  return count;
}

template <class Id>
int64_t replace_rows(const ReplacementTask<Id>& task, int64_t begin, int64_t end,
                     uint32_t* scratch) {
  const RandomReplacementParams<Id>& p = task.params;
  uint32_t* const positions = scratch + replacement_scratch(p.length) / 2;
  const int64_t open = p.open_length;
  for (int64_t row = begin; row < end; ++row) {
    const Id* const in = p.sequences + row * p.length;
    Id* const out = p.out + row * p.length;
    const Scan scan = copy_ids(p, in, open, out);
    const Scan targets = copy_ids(p, in + open, p.length - open, out + open);
    if (!scan.ids_valid || !targets.ids_valid) return row;
    const int64_t count = replace_items(task, row, scan.items, scratch, positions);
    p.noise_labels[row] = count > 0;
    for (int i = 0; i < task.features.count; ++i) {
      const FeatureColumn& column = task.features.column[i];
      if (task.features.wide >> i & 1)
        replace_feature<Id, uint64_t>(p, column, row, positions, count);
      else
        replace_feature<Id, uint32_t>(p, column, row, positions, count);
    }
  }
  return kNoRow;
}

template <class Id>
void choose_rows(const ReplacementTask<Id>& task, uint64_t* keys) {
  const RandomReplacementParams<Id>& p = task.params;
  draw_row_keys(p, task.call, keys);
  Cutoff<uint64_t> cutoff = {p.row_amount.threshold, 0};
  if (p.row_amount.kind != Amount::kProbability) {
    const int64_t count = exact_amount(p.row_amount, p.rows);
    cutoff = {0, 0};
    if (count > 0)
      cutoff = find_cutoff<uint64_t>(
          count, p.rows, [&](uint64_t limit) { return count_up_to(keys, p.rows, limit); });
  }
  for (int64_t row = 0; row < p.rows; ++row) {
    const bool tied = keys[row] == cutoff.key && cutoff.ties > 0;
    task.chosen[row] = tied || keys[row] < cutoff.key;
    cutoff.ties -= tied;
  }
}

}  // namespace

template <>
void RandomReplacementRows<Isa::ATJT_ISA>::choose(const ReplacementTask<int32_t>& task,
                                                  uint64_t* draws) noexcept {
  choose_rows(task, draws);
}

template <>
void RandomReplacementRows<Isa::ATJT_ISA>::choose(const ReplacementTask<int64_t>& task,
                                                  uint64_t* draws) noexcept {
  choose_rows(task, draws);
}

template <>
int64_t RandomReplacementRows<Isa::ATJT_ISA>::run(const ReplacementTask<int32_t>& task,
                                                  int64_t begin, int64_t end,
                                                  uint32_t* scratch) noexcept {
  return replace_rows(task, begin, end, scratch);
}

template <>
int64_t RandomReplacementRows<Isa::ATJT_ISA>::run(const ReplacementTask<int64_t>& task,
                                                  int64_t begin, int64_t end,
                                                  uint32_t* scratch) noexcept {
  return replace_rows(task, begin, end, scratch);
}

}  // namespace atjt::cpu
