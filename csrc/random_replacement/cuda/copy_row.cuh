// Rows copied and cleared by a warp, in the widest words that their addresses allow.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "common/cuda/launch.cuh"

namespace atjt::cuda {

__device__ __forceinline__ uint32_t lane_index() { return threadIdx.x % kWarpSize; }

// 16 bytes, which a lane loads and stores at once.
template <class T>
struct alignas(16) Pack {
  static constexpr int kSize = 16 / sizeof(T);
  T value[kSize];
};

// Loads a few values per lane before it stores the first, so that waits for memory overlap.
template <class T, class Visit>
__device__ __forceinline__ void copy_strided(const T* in, T* out, int count, const Visit& visit) {
  constexpr int kHeld = 4;
#pragma unroll 1
  for (int start = int(lane_index()); start < count; start += kHeld * kWarpSize) {
    T held[kHeld];
#pragma unroll
    for (int i = 0; i < kHeld; ++i)
      if (start + i * kWarpSize < count) held[i] = in[start + i * kWarpSize];
#pragma unroll
    for (int i = 0; i < kHeld; ++i) {
      if (start + i * kWarpSize >= count) continue;
      out[start + i * kWarpSize] = held[i];
      visit(start + i * kWarpSize, held[i]);
    }
  }
}

// Calls visit(position, value) for each value, in the lane that copies it.
template <class T, class Visit>
__device__ __forceinline__ void copy_row(const T* in, T* out, int length, const Visit& visit) {
  constexpr int kSize = Pack<T>::kSize;
  if ((reinterpret_cast<uintptr_t>(in) | reinterpret_cast<uintptr_t>(out)) % 16 != 0)
    return copy_strided(in, out, length, visit);
  const int packs = length / kSize;
  copy_strided(reinterpret_cast<const Pack<T>*>(in), reinterpret_cast<Pack<T>*>(out), packs,
               [&](int pack, const Pack<T>& held) {
#pragma unroll
                 for (int i = 0; i < kSize; ++i) visit(pack * kSize + i, held.value[i]);
               });
  const int copied = packs * kSize;
  copy_strided(in + copied, out + copied, length - copied,
               [&](int i, T value) { visit(copied + i, value); });
}

// Clears single bytes up to the first whole word and after the last one.
__device__ __forceinline__ void clear_row(bool* out, int length) {
  using Word = uint;
  int head = int(-reinterpret_cast<uintptr_t>(out) % sizeof(Word));
  if (head > length) head = length;
  const int words = (length - head) / int{sizeof(Word)}, lane = lane_index();
  const int tail = head + words * int{sizeof(Word)};
  if (lane < head) out[lane] = false;
  for (int i = lane; i < words; i += kWarpSize) reinterpret_cast<Word*>(out + head)[i] = 0;
  if (tail + lane < length) out[tail + lane] = false;
}

}  // namespace atjt::cuda
