// The rows of candidate_scores (see common/cpu/isa.h).
//
// Embeddings are taken four at a time. A single dot product would wait for its own additions, and
// adding a single embedding would mostly load and store the sum.
// SPDX-License-Identifier: Apache-2.0
#include "candidate_scores/cpu/candidate_scores_rows.h"

#include "common/cpu/half_blocks.h"

namespace atjt::cpu {
namespace {

constexpr int kTogether = 4;
constexpr int64_t kAhead = 2 * kTogether;  // how far ahead candidates are prefetched

template <class T>
void prefetch(const T* from, int64_t n) {
  constexpr int64_t kLine = 64 / int64_t{sizeof(T)};
  for (int64_t i = 0; i < n; i += kLine) __builtin_prefetch(from + i);
}

template <class T>
void prefetch_candidate(const CandidatesShape& shape, const int64_t* candidates, int64_t c,
                        const T* table, int64_t n) {
  if (c < shape.per_row && is_scored(shape, candidates[c]))
    prefetch(table + candidates[c] * shape.width, n);
}

template <class Real>
void dot_products(const Real* x, const Real* const (&w)[kTogether], int64_t n,
                  Real (&sums)[kTogether]) {
  const Real *const w0 = w[0], *const w1 = w[1], *const w2 = w[2], *const w3 = w[3];
  Real s0 = 0, s1 = 0, s2 = 0, s3 = 0;
#pragma omp simd reduction(+ : s0, s1, s2, s3)
  for (int64_t i = 0; i < n; ++i) {
    s0 += x[i] * w0[i];
    s1 += x[i] * w1[i];
    s2 += x[i] * w2[i];
    s3 += x[i] * w3[i];
  }
  sums[0] = s0, sums[1] = s1, sums[2] = s2, sums[3] = s3;
}

template <class T, class Real = Arithmetic<T>>
void score_row(const CandidateScoresParams<T>& p, int64_t row) {
  const CandidatesShape& shape = p.shape;
  const int64_t* const candidates = shape.candidates + row * shape.per_row;
  Real* const scores = p.scores + row * shape.per_row;
  Real x_buffer[kBlock], w_buffers[kTogether][kBlock];
  for (int64_t c = 0; c < shape.per_row; ++c) scores[c] = 0;
  each_block(shape.width, [&](int64_t start, int64_t n) {
    const T* const table = p.table + start;
    const Real* const x = read_block(p.hidden + row * shape.width + start, n, x_buffer);
    for (int64_t c = 0; c < kAhead; ++c) prefetch_candidate(shape, candidates, c, table, n);
    for (int64_t first = 0; first < shape.per_row; first += kTogether) {
      const Real* w[kTogether];
      bool scored[kTogether];
      for (int k = 0; k < kTogether; ++k) {
        const int64_t c = first + k;
        prefetch_candidate(shape, candidates, c + kAhead, table, n);
        scored[k] = c < shape.per_row && is_scored(shape, candidates[c]);
        // For a missing or ignored candidate: any numbers, which stay unused.
        w[k] = scored[k] ? read_block(table + candidates[c] * shape.width, n, w_buffers[k]) : x;
      }
      Real sums[kTogether];
      dot_products(x, w, n, sums);
      for (int k = 0; k < kTogether; ++k)
        if (scored[k]) scores[first + k] += sums[k];
    }
  });
}

// sum of factor * row
template <class T>
class WeightedSum {
 public:
  using Real = Arithmetic<T>;

  void start(int64_t n) {
    n_ = n;
    held_ = 0;
    for (int64_t i = 0; i < n; ++i) sum_[i] = 0;
  }

  void add(const T* row, Real factor) {
    if (factor == 0) return;
    rows_[held_] = read_block(row, n_, buffers_[held_]);
    factors_[held_] = factor;
    if (++held_ == kTogether) add_all();
  }

  const Real* finish() {
    for (int k = 0; k < held_; ++k) add_one(rows_[k], factors_[k]);
    held_ = 0;
    return sum_;
  }

 private:
  void add_one(const Real* row, Real factor) {
#pragma omp simd
    for (int64_t i = 0; i < n_; ++i) sum_[i] += factor * row[i];
  }

  void add_all() {
    const Real *const a = rows_[0], *const b = rows_[1], *const c = rows_[2], *const d = rows_[3];
    const Real f = factors_[0], g = factors_[1], h = factors_[2], k = factors_[3];
#pragma omp simd
    for (int64_t i = 0; i < n_; ++i) sum_[i] += (f * a[i] + g * b[i]) + (h * c[i] + k * d[i]);
    held_ = 0;
  }

  int64_t n_ = 0;
  int held_ = 0;
  const Real* rows_[kTogether];
  Real factors_[kTogether];
  Real sum_[kBlock], buffers_[kTogether][kBlock];
};

template <class T, class Real = Arithmetic<T>>
void store_block(T* to, const Real* from, int64_t n) {
  Real buffer[kBlock];
  Real* const at = block_for(to, buffer);
  for (int64_t i = 0; i < n; ++i) at[i] = from[i];
  write_block(to, n, at);
}

template <class T>
void hidden_gradient_row(const CandidateHiddenGradientParams<T>& p, int64_t row,
                         WeightedSum<T>& sum) {
  const CandidatesShape& shape = p.shape;
  const int64_t* const candidates = shape.candidates + row * shape.per_row;
  const Arithmetic<T>* const grad_scores = p.grad_scores + row * shape.per_row;
  each_block(shape.width, [&](int64_t start, int64_t n) {
    sum.start(n);
    for (int64_t c = 0; c < shape.per_row; ++c) {
      prefetch_candidate(shape, candidates, c + kAhead, p.table + start, n);
      if (is_scored(shape, candidates[c]))
        sum.add(p.table + candidates[c] * shape.width + start, grad_scores[c]);
    }
    store_block(p.grad_hidden + row * shape.width + start, sum.finish(), n);
  });
}

template <class T, class Real = Arithmetic<T>>
void sum_chunk(const CandidateTableGradientParams<T>& p, int64_t number, WeightedSum<T>& sum) {
  const PairChunk chunk = chunk_of_pairs(p.slots, p.pairs, number);
  for (int64_t first = chunk.begin, last; first < chunk.end; first = last) {
    const int64_t slot = p.slots[first];
    for (last = first + 1; last < chunk.end && p.slots[last] == slot;) ++last;
    if (uint64_t(slot) >= uint64_t(p.num_slots)) continue;
    const int64_t part = part_of_run(chunk, first, last);
    each_block(p.width, [&](int64_t start, int64_t n) {
      sum.start(n);
      for (int64_t i = first; i < last; ++i) {
        const int64_t pair = p.order[i];
        sum.add(p.hidden + pair / p.per_row * p.width + start, p.grad_scores[pair]);
      }
      const Real* const total = sum.finish();
      if (part < 0) {
        store_block(p.grad_table + slot * p.width + start, total, n);
      } else {
        store_block(p.parts + part * p.width + start, total, n);
      }
    });
  }
}

template <class T, class Real = Arithmetic<T>>
void join_parts_of(const CandidateTableGradientParams<T>& p, int64_t number) {
  const PairChunk chunk = chunk_of_pairs(p.slots, p.pairs, number);
  const int64_t slot = p.slots[chunk.end - 1];
  if (uint64_t(slot) >= uint64_t(p.num_slots) || !begins_long_item(chunk)) return;
  const int64_t last = last_chunk_of_item(chunk);
  each_block(p.width, [&](int64_t start, int64_t n) {
    Real sum[kBlock];
    const Real* const own = p.parts + (2 * number + 1) * p.width + start;
    for (int64_t i = 0; i < n; ++i) sum[i] = own[i];
    for (int64_t other = number + 1; other <= last; ++other) {
      const Real* const part = p.parts + 2 * other * p.width + start;
#pragma omp simd
      for (int64_t i = 0; i < n; ++i) sum[i] += part[i];
    }
    store_block(p.grad_table + slot * p.width + start, sum, n);
  });
}

}  // namespace

template <Isa isa, class T>
void CandidateScoresRows<isa, T>::scores(const CandidateScoresParams<T>& p, int64_t begin,
                                         int64_t end) noexcept {
  for (int64_t row = begin; row < end; ++row) score_row(p, row);
}

template <Isa isa, class T>
void CandidateScoresRows<isa, T>::hidden_gradient(const CandidateHiddenGradientParams<T>& p,
                                                  int64_t begin, int64_t end) noexcept {
  WeightedSum<T> sum;
  for (int64_t row = begin; row < end; ++row) hidden_gradient_row(p, row, sum);
}

template <Isa isa, class T>
void CandidateScoresRows<isa, T>::sum_chunks(const CandidateTableGradientParams<T>& p,
                                             int64_t begin, int64_t end) noexcept {
  WeightedSum<T> sum;
  for (int64_t number = begin; number < end; ++number) sum_chunk(p, number, sum);
}

template <Isa isa, class T>
void CandidateScoresRows<isa, T>::join_parts(const CandidateTableGradientParams<T>& p,
                                             int64_t begin, int64_t end) noexcept {
  for (int64_t number = begin; number < end; ++number) join_parts_of(p, number);
}

#define ATJT_INSTANTIATE(T) template struct CandidateScoresRows<Isa::ATJT_ISA, T>;
ATJT_FLOATING_TYPES(ATJT_INSTANTIATE)

}  // namespace atjt::cpu
