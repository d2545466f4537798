// Rows in memory, 16 bytes at a time: where the aligned part of a row is, and its loads and stores.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <cstring>

#include "common/cuda/half.cuh"

namespace atjt::cuda {

template <class T>
constexpr int kPerVector = 16 / int(sizeof(T));

// A row is `head` elements, `vectors` aligned vectors and `tail` elements. head and tail, the
// edges, are less than 2 * kPerVector together, so each gets a lane of its own.
template <class T>
struct RowLayout {
  int head, tail;
  int64_t vectors;

  __device__ RowLayout(const T* row, int64_t size) {
    const int past = int(reinterpret_cast<uintptr_t>(row) % 16 / sizeof(T));
    const int64_t to_boundary = past == 0 ? 0 : kPerVector<T> - past;
    head = int(to_boundary < size ? to_boundary : size);
    vectors = (size - head) / kPerVector<T>;
    tail = int((size - head) % kPerVector<T>);
  }
  __device__ bool has_edge(int lane) const { return lane < head + tail; }
  __device__ int64_t edge(int lane) const {
    return lane < head ? lane : vectors * kPerVector<T> + lane;
  }
};

// On the host, where casts of pointers are held to the types behind them, a copy.
__device__ __forceinline__ uint4 load_vector(const void* aligned) {
#if defined(__CUDA_ARCH__)
  return *static_cast<const uint4*>(aligned);
#else
  uint4 vector;
  std::memcpy(&vector, aligned, sizeof vector);
  return vector;
#endif
}

// `streaming`: not to be read again soon, so that the cache keeps what is.
__device__ __forceinline__ void store_vector(void* aligned, uint4 vector, bool streaming) {
#if defined(__CUDA_ARCH__)
  if (streaming) return __stcs(static_cast<uint4*>(aligned), vector);
  *static_cast<uint4*>(aligned) = vector;
#else
  static_cast<void>(streaming);
  std::memcpy(aligned, &vector, sizeof vector);
#endif
}

// Makes the compiler forget what it knows about a vector, so that it unpacks it again where it is
// used instead of keeping the numbers, which take twice the registers.
__device__ __forceinline__ void forget(uint4& vector) {
#if defined(__CUDA_ARCH__)
  asm volatile("" : "+r"(vector.x), "+r"(vector.y), "+r"(vector.z), "+r"(vector.w));
#else
  static_cast<void>(vector);
#endif
}

// unpack and pack: the numbers in a vector, widened and narrowed.
template <class T>
__device__ __forceinline__ void unpack(uint4 vector, float (&values)[8]) {
  const uint32_t words[4] = {vector.x, vector.y, vector.z, vector.w};
#pragma unroll
  for (int i = 0; i < 4; ++i) {
    values[2 * i] = widen_in_hardware(T{uint16_t(words[i])});
    values[2 * i + 1] = widen_in_hardware(T{uint16_t(words[i] >> 16)});
  }
}

template <class T>
__device__ __forceinline__ void unpack(uint4 vector, float (&values)[4]) {
  std::memcpy(values, &vector, sizeof vector);
}

template <class T>
__device__ __forceinline__ void unpack(uint4 vector, double (&values)[2]) {
  std::memcpy(values, &vector, sizeof vector);
}

template <class T>
__device__ __forceinline__ uint4 pack(const float (&values)[8]) {
  return {narrow_pair<T>(values[0], values[1]), narrow_pair<T>(values[2], values[3]),
          narrow_pair<T>(values[4], values[5]), narrow_pair<T>(values[6], values[7])};
}

template <class T>
__device__ __forceinline__ uint4 pack(const float (&values)[4]) {
  uint4 vector;
  std::memcpy(&vector, values, sizeof vector);
  return vector;
}

template <class T>
__device__ __forceinline__ uint4 pack(const double (&values)[2]) {
  uint4 vector;
  std::memcpy(&vector, values, sizeof vector);
  return vector;
}

}  // namespace atjt::cuda
