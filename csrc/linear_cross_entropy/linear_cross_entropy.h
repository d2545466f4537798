// Softmax cross-entropy of hidden states x_n against a whole table of item embeddings W_v. The
// logits are never stored.
//
//   s_nv = scale * (x_n . W_v + b_v),   loss_n = log sum_v exp(s_nv) - s_n,target
//
// The forward pass is attention with W as keys and as values (Dao et al., "FlashAttention",
// arXiv:2205.14135). Beside sum_v exp(s_nv - origin_n) it keeps the mean embedding sum_v p_nv W_v,
// which is the gradient in x_n up to the target's own term. The table's gradient is the same pass
// with the roles swapped: items stay, rows stream. Nothing of size [rows, classes] exists, and no
// two threads add to the same number.
//
// On the CPU, a caller that knows the factors of rows before the backward pass may go through the
// rows in chunks: the forward pass keeps a chunk's exponentials in the processor's cache, and the
// table's gradient takes one matrix product from them instead of two and new exponentials.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

#include "common/half.h"

namespace atjt {

// Inputs of both passes.
template <class T>
struct LinearCrossEntropyInputs {
  const T* hidden;              // x [rows, width]
  const T* table;               // W [classes, width]
  const Arithmetic<T>* bias;    // b [classes]; null: 0
  const int64_t* targets;       // [rows]; on CUDA ascending over the rows that count
  const int64_t* rows_counted;  // how many first rows count; on the device; null: all
  int64_t rows, classes, width;
  Arithmetic<T> scale;
  bool allow_tf32;  // CUDA, float32: products of numbers rounded to 11 bits
};

// What the forward pass keeps of a chunk of rows. A tile has kept_shape<T>() lanes, one per row;
// the last tile may have fewer. Exponentials of one stream tile of classes are relative to the
// largest logit so far of their row. That of a row's target, and those of lanes without a row, are
// 0.
template <class Real>
struct KeptExponentials {
  Real* values;   // [tiles, classes, lanes]; null: nothing is kept
  Real* origins;  // [tiles, stream tiles, lanes]
};

template <class T>
struct LinearCrossEntropyForward {
  LinearCrossEntropyInputs<T> in;
  // Outputs. Rows that do not count get 0, 0, 1, 0.
  Arithmetic<T>* losses;                 // [rows]
  Arithmetic<T>* origins;                // [rows], near the largest logit: within 40 below it
  Arithmetic<T>* sums;                   // [rows], sum_v exp(s_nv - origin_n)
  Arithmetic<T>* mean_embedding;         // [rows, width], sum_v p_nv W_v; null: not wanted
  void* workspace;                       // CUDA: linear_cross_entropy_workspace() bytes
  KeptExponentials<Arithmetic<T>> kept;  // CPU
};

// grad_table_v = shift + sum_n {y_n != v} factor_n exp(s_nv - origin_n) x_n
//                      + sum_n {y_n == v} target_factor_n x_n
// grad_bias_v is the same with 1 for x_n and 0 for the shift. The caller passes the target's own
// term, because it knows p - 1 to more digits than a sum that contains p.
template <class T>
struct LinearCrossEntropyTableGradient {
  LinearCrossEntropyInputs<T> in;
  const Arithmetic<T>* origins;         // [rows]
  const Arithmetic<T>* factors;         // [rows]
  const Arithmetic<T>* target_factors;  // [rows]
  const Arithmetic<T>* unscale;         // on the device: factor of the sums over factor_n; null: 1
  const Arithmetic<T>* shift;           // [width]; null: 0
  void* grad_table;                     // [classes, width], T or Arithmetic<T>
  Arithmetic<T>* grad_bias;             // [classes]; null: not wanted
  bool grad_in_arithmetic;              // grad_table is Arithmetic<T>, whatever T is
  bool accumulate;                      // add to what grad_table holds
  void* workspace;                      // CUDA: linear_cross_entropy_workspace() bytes
};

// table_sums_v += sum_n {y_n != v} factor_n exp(s_nv - origin_n) x_n
//               + sum_n {y_n == v} target_factor_n x_n
// and bias_sums_v the same with 1 for x_n, from what a forward pass over the same rows kept. A row
// of factors 0 must have finite sums: 0 * NaN would be NaN.
template <class T>
struct LinearCrossEntropyTableSums {
  LinearCrossEntropyInputs<T> in;  // without rows_counted
  KeptExponentials<const Arithmetic<T>> kept;
  const Arithmetic<T>* origins;         // [rows]
  const Arithmetic<T>* factors;         // [rows]
  const Arithmetic<T>* target_factors;  // [rows]
  double* table_sums;                   // [classes, width]
  double* bias_sums;                    // [classes]; null: not wanted
};

// For float, double (CPU only), Float16 and BFloat16. On a target that is no class...
namespace cpu {
// How many rows or classes a tile of KeptExponentials holds.
struct KeptShape {
  int64_t lanes, stream_tile;
};
template <class T>
KeptShape kept_shape();
// ...throw std::out_of_range, and std::invalid_argument unless rows_counted is in [0, rows].
template <class T>
void linear_cross_entropy(const LinearCrossEntropyForward<T>& params, int num_threads);
template <class T>
void linear_cross_entropy_table_gradient(const LinearCrossEntropyTableGradient<T>& params,
                                         int num_threads);
template <class T>
void linear_cross_entropy_table_sums(const LinearCrossEntropyTableSums<T>& params, int num_threads);
}  // namespace cpu

namespace cuda {
// ...the loss of its row is NaN. rows_counted is clamped to [0, rows].
struct LinearCrossEntropyWorkspace {
  int64_t forward, table_gradient;  // bytes
};
LinearCrossEntropyWorkspace linear_cross_entropy_workspace(int64_t rows, int64_t classes,
                                                           int64_t width);
template <class T>
void linear_cross_entropy(const LinearCrossEntropyForward<T>& params, int device, void* stream);
template <class T>
void linear_cross_entropy_table_gradient(const LinearCrossEntropyTableGradient<T>& params,
                                         int device, void* stream);
}  // namespace cuda

}  // namespace atjt
