// keyed_dropout on the GPU: one thread per group of neighbours, which share a call of the
// generator. A row whose position is out of range becomes NaN. SPDX-License-Identifier: Apache-2.0
#include "common/cuda/launch.cuh"
#include "common/cuda/row_vectors.cuh"
#include "keyed_dropout/keyed_dropout.h"

namespace atjt::cuda {
namespace {

constexpr int kThreads = 256;
constexpr int64_t kMaxBlocks = 2048;  // fills a GPU; beyond, each thread takes several groups

// Half `i` of the words, the low half of x first.
__device__ __forceinline__ uint32_t half_of(const Philox4<uint64_t>& word, int i) {
  const uint64_t words[4] = {word.x, word.y, word.z, word.w};
  return uint32_t(words[i / 2]) >> (i % 2 * 16) & 0xFFFFu;
}

template <class T>
__device__ __forceinline__ Arithmetic<T> dropped_or_kept(const Dropout<T>& dropout,
                                                         Arithmetic<T> value, uint32_t bits) {
  return bits < dropout.threshold ? Arithmetic<T>(0) : value * dropout.scale;
}

// A whole group of 16-byte vectors.
template <class T>
__device__ __forceinline__ void drop_vectors(const Dropout<T>& dropout, const T* in, T* out,
                                             const Philox4<uint64_t>& word) {
#pragma unroll
  for (int first = 0; first < kGroup; first += kPerVector<T>) {
    Arithmetic<T> values[kPerVector<T>];
    unpack<T>(load_vector(in + first), values);
#pragma unroll
    for (int i = 0; i < kPerVector<T>; ++i)
      values[i] = dropped_or_kept(dropout, values[i], half_of(word, first + i));
    store_vector(out + first, pack<T>(values), false);
  }
}

// The first `size` numbers of a group, at any address.
template <class T>
__device__ __forceinline__ void drop_numbers(const Dropout<T>& dropout, const T* in, T* out,
                                             const Philox4<uint64_t>& word, int64_t size) {
#pragma unroll
  for (int i = 0; i < kGroup; ++i) {
    if (i >= size) continue;
    const Arithmetic<T> value = widen_in_hardware(in[i]);
    narrow_in_hardware(dropped_or_kept(dropout, value, half_of(word, i)), &out[i]);
  }
}

template <class T>
__global__ void __launch_bounds__(kThreads)
    keyed_dropout_kernel(const KeyedDropoutParams<T> p, const int64_t groups_per_row,
                         const bool aligned) {
  const Dropout<T> dropout = dropout_of(p);
  const int64_t end = p.rows * groups_per_row, stride = int64_t(gridDim.x) * kThreads;
  for (int64_t i = int64_t(blockIdx.x) * kThreads + threadIdx.x; i < end; i += stride) {
    const int64_t row = i / groups_per_row, group = i - row * groups_per_row;
    const int64_t position = p.positions[row], first = group * kGroup;
    Dropout<T> of_row = dropout;
    if (!is_position(position)) of_row.threshold = 0, of_row.scale = Arithmetic<T>(NAN);
    const Philox4<uint64_t> word =
        dropout_bits(dropout, uint64_t(p.row_keys[row]), position, uint64_t(group));
    const T* const in = p.values + row * p.width + first;
    T* const out = p.out + row * p.width + first;
    if (aligned)
      drop_vectors(of_row, in, out, word);
    else
      drop_numbers(of_row, in, out, word, p.width - first);
  }
}

bool is_aligned(const void* address) { return reinterpret_cast<uintptr_t>(address) % 16 == 0; }

}  // namespace

template <class T>
void keyed_dropout(const KeyedDropoutParams<T>& p, int device, void* stream) {
  const int64_t groups_per_row = groups_of(p.width);
  const int64_t blocks = (p.rows * groups_per_row + kThreads - 1) / kThreads;
  const bool aligned = p.width % kGroup == 0 && is_aligned(p.values) && is_aligned(p.out);
  launch("keyed_dropout", keyed_dropout_kernel<T>, {std::min(blocks, kMaxBlocks), kThreads}, device,
         stream, p, groups_per_row, aligned);
}

#define ATJT_INSTANTIATE(T) template void keyed_dropout(const KeyedDropoutParams<T>&, int, void*);
ATJT_FLOATING_TYPES(ATJT_INSTANTIATE)

}  // namespace atjt::cuda
