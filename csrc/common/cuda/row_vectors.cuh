// Rows in memory, 16 bytes at a time: the aligned part of a row, its loads and stores.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <cstring>

#include "common/cuda/half.cuh"

namespace atjt::cuda {

template <class T>
constexpr int kPerVector = 16 / int(sizeof(T));

// A row is `head` elements, `vectors` aligned vectors and `tail` elements. Head and tail, the
// edges, have fewer than 2 * kPerVector elements together, so each element gets its own lane.
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

// A copy on the host, where the cast would break the rules of aliasing.
__device__ __forceinline__ uint4 load_vector(const void* aligned) {
#if defined(__CUDA_ARCH__)
  return *static_cast<const uint4*>(aligned);
#else
  uint4 vector;
  std::memcpy(&vector, aligned, sizeof vector);
  return vector;
#endif
}

// `streaming`: the vector is not read again soon and need not stay in the cache.
__device__ __forceinline__ void store_vector(void* aligned, uint4 vector, bool streaming) {
#if defined(__CUDA_ARCH__)
  if (streaming) return __stcs(static_cast<uint4*>(aligned), vector);
  *static_cast<uint4*>(aligned) = vector;
#else
  static_cast<void>(streaming);
  std::memcpy(aligned, &vector, sizeof vector);
#endif
}

// Hides a vector from the compiler, so that it unpacks the vector again at the next use. The
// unpacked numbers would take twice the registers.
__device__ __forceinline__ void forget(uint4& vector) {
#if defined(__CUDA_ARCH__)
  asm volatile("" : "+r"(vector.x), "+r"(vector.y), "+r"(vector.z), "+r"(vector.w));
#else
  static_cast<void>(vector);
#endif
}

// unpack and pack: a vector's numbers, widened and narrowed.
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
