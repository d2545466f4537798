// candidate_scores: x_n . W_v for the candidates v of each row n, and both gradients, without the
// [rows, candidates, width] tensor of gathered embeddings.
//
//   scores[n, c]   = x_n . W_v(n, c)
//   grad_hidden[n] = sum_c grad_scores[n, c] * W_v(n, c)
//   grad_table[v]  = sum over the pairs (n, c) with v(n, c) = v of grad_scores[n, c] * x_n
//
// For grad_table, pairs come sorted by item. Chunks of a fixed number of pairs are summed
// separately, and the parts of an item that spans chunks are added in order: the same bits for any
// number of threads, no atomics, and a popular item is work for several threads. Pairs of gradient
// 0 are skipped, so that a NaN among their embeddings spoils nothing.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

#include "common/half.h"
#include "common/host_device.h"

namespace atjt {

struct CandidatesShape {
  const int64_t* candidates;  // [rows, per_row]: in [0, items), or ignore_index
  int64_t rows, per_row, items, width, ignore_index;
};

ATJT_HD bool is_scored(const CandidatesShape& shape, int64_t candidate) {
  return candidate != shape.ignore_index && uint64_t(candidate) < uint64_t(shape.items);
}

template <class T>
struct CandidateScoresParams {
  CandidatesShape shape;
  const T* hidden;        // x [rows, width]
  const T* table;         // W [items, width]
  Arithmetic<T>* scores;  // [rows, per_row]; 0 where ignored, on CUDA NaN where out of range
};

template <class T>
struct CandidateHiddenGradientParams {
  CandidatesShape shape;
  const T* table;
  const Arithmetic<T>* grad_scores;  // [rows, per_row]
  T* grad_hidden;                    // [rows, width]
};

template <class T>
struct CandidateTableGradientParams {
  const T* hidden;
  const Arithmetic<T>* grad_scores;
  const int64_t* order;  // [pairs]: n * per_row + c, sorted by item
  const int64_t* slots;  // [pairs]: rows of grad_table, ascending; other rows are skipped
  T* grad_table;         // [num_slots, width]; holds zeros where no pair is summed
  Arithmetic<T>* parts;  // [2 * chunks, width]: sums that continue in another chunk
  int64_t pairs;         // those in `order`
  int64_t all_pairs;  // [rows of hidden] * per_row; a product in the kernel would spill registers
  int64_t per_row, num_slots, width;
};

template <class T>
ATJT_HD bool is_pair(const CandidateTableGradientParams<T>& p, int64_t pair) {
  return uint64_t(pair) < uint64_t(p.all_pairs);
}

// Short enough for a sum in float to keep its digits.
constexpr int64_t kPairsPerChunk = 128;

ATJT_HD int64_t num_chunks(int64_t pairs) { return (pairs + kPairsPerChunk - 1) / kPairsPerChunk; }

// A chunk of the sorted pairs. A run is the pairs of one item within one chunk. The sum of a run
// whose item continues in another chunk is a part. Only the first run can have begun in an earlier
// chunk, and only the last run can continue in a later one.
struct PairChunk {
  const int64_t* slots;
  int64_t pairs, number, begin, end;
};

ATJT_HD PairChunk chunk_of_pairs(const int64_t* slots, int64_t pairs, int64_t number) {
  const int64_t begin = number * kPairsPerChunk, end = begin + kPairsPerChunk;
  return {slots, pairs, number, begin, end < pairs ? end : pairs};
}

// Whether the pairs before and at `position` have the same item.
ATJT_HD bool is_joined(const PairChunk& chunk, int64_t position) {
  return position > 0 && position < chunk.pairs &&
         chunk.slots[position - 1] == chunk.slots[position];
}

// The part that the run [first, last) is, or -1 if it holds all pairs of its item.
ATJT_HD int64_t part_of_run(const PairChunk& chunk, int64_t first, int64_t last) {
  if (first == chunk.begin && is_joined(chunk, first)) return 2 * chunk.number;
  return last == chunk.end && is_joined(chunk, last) ? 2 * chunk.number + 1 : -1;
}

// Whether an item begins in this chunk and continues in the next. Its sum is part 2 * number + 1 of
// this chunk, plus parts 2 * number of the later chunks up to last_chunk_of_item.
ATJT_HD bool begins_long_item(const PairChunk& chunk) {
  const bool is_one_run = chunk.slots[chunk.begin] == chunk.slots[chunk.end - 1];
  return is_joined(chunk, chunk.end) && !(is_one_run && is_joined(chunk, chunk.begin));
}

// For an item that begins in `chunk` and continues: the last chunk whose first pair has this item.
ATJT_HD int64_t last_chunk_of_item(const PairChunk& chunk) {
  const int64_t slot = chunk.slots[chunk.end - 1];
  int64_t found = chunk.number + 1, behind = num_chunks(chunk.pairs);
  while (behind - found > 1) {
    const int64_t middle = found + (behind - found) / 2;
    if (chunk.slots[middle * kPairsPerChunk] == slot) {
      found = middle;
    } else {
      behind = middle;
    }
  }
  return found;
}

// For float, double, Float16 and BFloat16. Both gradients leave out candidates that are no items.
// candidate_table_gradient leaves out a number in `order` that is no pair on CUDA, and throws
// std::out_of_range on the CPU.
namespace cpu {
template <class T>
void candidate_scores(const CandidateScoresParams<T>& params, int num_threads);
template <class T>
void candidate_hidden_gradient(const CandidateHiddenGradientParams<T>& params, int num_threads);
template <class T>
void candidate_table_gradient(const CandidateTableGradientParams<T>& params, int num_threads);
}  // namespace cpu

namespace cuda {
template <class T>
void candidate_scores(const CandidateScoresParams<T>& params, int device, void* stream);
template <class T>
void candidate_hidden_gradient(const CandidateHiddenGradientParams<T>& params, int device,
                               void* stream);
template <class T>
void candidate_table_gradient(const CandidateTableGradientParams<T>& params, int device,
                              void* stream);
}  // namespace cuda

}  // namespace atjt
