// The part of CUDA that the kernels of this project use, on the host. See ../../README.md.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <math.h>

#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <tuple>
#include <type_traits>
#include <utility>

#include "../emulator.h"
#include "warp_matrix.h"

// --- the language; translate.py translates __shared__ ---
#define __global__
#define __device__
#define __host__
#define __constant__ const
#define __forceinline__ inline __attribute__((always_inline))
#define __launch_bounds__(...)
#define __grid_constant__
#define __align__(bytes) __attribute__((aligned(bytes)))

constexpr int warpSize = emulator::kWarpSize;

// --- vectors ---
#define EMULATOR_VECTORS(T, name)                                                 \
  struct name##1 { T x; };                                                        \
  struct __align__(2 * sizeof(T)) name##2 { T x, y; };                            \
  struct __align__(sizeof(T) < 4 ? 4 * sizeof(T) : 16) name##4 { T x, y, z, w; }; \
  inline name##2 make_##name##2(T x, T y) { return {x, y}; }                      \
  inline name##4 make_##name##4(T x, T y, T z, T w) { return {x, y, z, w}; }
EMULATOR_VECTORS(signed char, char)
EMULATOR_VECTORS(unsigned char, uchar)
EMULATOR_VECTORS(short, short)
EMULATOR_VECTORS(unsigned short, ushort)
EMULATOR_VECTORS(int, int)
EMULATOR_VECTORS(unsigned, uint)
EMULATOR_VECTORS(float, float)
EMULATOR_VECTORS(long long, longlong)
EMULATOR_VECTORS(unsigned long long, ulonglong)
EMULATOR_VECTORS(double, double)
#undef EMULATOR_VECTORS

// --- barriers, shuffles, votes ---
inline void __syncthreads(EMULATOR_SITE) { emulator::block_barrier({file, line}); }
inline void __syncwarp(unsigned mask = 0xFFFFFFFFu, EMULATOR_SITE) {
  emulator::warp_collective(emulator::Collective::kSyncWarp, mask, 0, 0, {file, line});
}
inline unsigned __ballot_sync(unsigned mask, int predicate, EMULATOR_SITE) {
  return unsigned(emulator::warp_collective(emulator::Collective::kBallot, mask, predicate != 0, 0,
                                            {file, line}));
}
inline int __any_sync(unsigned mask, int predicate, EMULATOR_SITE) {
  return int(
      emulator::warp_collective(emulator::Collective::kAny, mask, predicate != 0, 0, {file, line}));
}
inline int __all_sync(unsigned mask, int predicate, EMULATOR_SITE) {
  return int(
      emulator::warp_collective(emulator::Collective::kAll, mask, predicate != 0, 0, {file, line}));
}

namespace emulator {
template <class T>
T shuffle(unsigned mask, T value, int source, int width, Site site) {
  if (width < 1 || width > kWarpSize || (width & (width - 1)) != 0)
    fail("a shuffle of width " + std::to_string(width));
  // A lane that reads beyond its part of the warp reads itself.
  const int first = lane() / width * width;
  if (source < first || source >= first + width) source = lane();
  return from_bits<T>(warp_collective(Collective::kShuffle, mask, to_bits(value), source, site));
}
}  // namespace emulator

template <class T>
T __shfl_sync(unsigned mask, T value, int source, int width = 32, EMULATOR_SITE) {
  const int first = emulator::lane() / width * width;
  return emulator::shuffle(mask, value, first + (source & (width - 1)), width, {file, line});
}
template <class T>
T __shfl_xor_sync(unsigned mask, T value, int lane_mask, int width = 32, EMULATOR_SITE) {
  return emulator::shuffle(mask, value, emulator::lane() ^ lane_mask, width, {file, line});
}
template <class T>
T __shfl_up_sync(unsigned mask, T value, unsigned delta, int width = 32, EMULATOR_SITE) {
  return emulator::shuffle(mask, value, emulator::lane() - int(delta), width, {file, line});
}
template <class T>
T __shfl_down_sync(unsigned mask, T value, unsigned delta, int width = 32, EMULATOR_SITE) {
  return emulator::shuffle(mask, value, emulator::lane() + int(delta), width, {file, line});
}

inline void __threadfence() { emulator::thread_fence(); }
inline void __threadfence_block() {}
[[noreturn]] inline void __trap() { emulator::fail("__trap()"); }

// --- atomics: threads are interrupted between operations, never inside one ---
namespace emulator {
template <class T, class Change>
__attribute__((no_sanitize("thread"))) T atomic(T* address, const Change& change) {
  before_atomic(address, sizeof(T));
  const T before = *address;
  *address = change(before);
  return before;
}
}  // namespace emulator

template <class T>
T atomicAdd(T* address, std::common_type_t<T> value) {
  static_assert(std::is_same_v<T, int> || std::is_same_v<T, unsigned> ||
                std::is_same_v<T, unsigned long long> || std::is_floating_point_v<T>);
  if constexpr (std::is_same_v<T, int>)  // wraps around, as on the GPU
    return emulator::atomic(address, [=](T old) { return T(unsigned(old) + unsigned(value)); });
  else
    return emulator::atomic(address, [=](T old) { return T(old + value); });
}
template <class T>
T atomicMin(T* address, std::common_type_t<T> value) {
  return emulator::atomic(address, [=](T old) { return value < old ? value : old; });
}
template <class T>
T atomicMax(T* address, std::common_type_t<T> value) {
  return emulator::atomic(address, [=](T old) { return old < value ? value : old; });
}
template <class T>
T atomicOr(T* address, std::common_type_t<T> value) {
  return emulator::atomic(address, [=](T old) { return T(old | value); });
}
template <class T>
T atomicAnd(T* address, std::common_type_t<T> value) {
  return emulator::atomic(address, [=](T old) { return T(old & value); });
}
template <class T>
T atomicXor(T* address, std::common_type_t<T> value) {
  return emulator::atomic(address, [=](T old) { return T(old ^ value); });
}
template <class T>
T atomicExch(T* address, std::common_type_t<T> value) {
  return emulator::atomic(address, [=](T) { return value; });
}
template <class T>
T atomicCAS(T* address, std::common_type_t<T> compare, std::common_type_t<T> value) {
  return emulator::atomic(address, [=](T old) { return old == compare ? value : old; });
}
inline unsigned atomicInc(unsigned* address, unsigned limit) {
  return emulator::atomic(address, [=](unsigned old) { return old >= limit ? 0 : old + 1; });
}

// --- loads and stores with cache hints ---
template <class T>
T __ldg(const T* address) {
  return *address;
}
template <class T>
T __ldcs(const T* address) {
  return *address;
}
template <class T>
T __ldcg(const T* address) {
  return *address;
}
template <class T>
T __ldlu(const T* address) {
  return *address;
}
template <class T>
void __stcs(T* address, std::common_type_t<T> value) {
  *address = value;
}
template <class T>
void __stcg(T* address, std::common_type_t<T> value) {
  *address = value;
}

// --- arithmetic. Approximate instructions are exact: rounding is not tested ---
inline int __popc(unsigned x) { return __builtin_popcount(x); }
inline int __popcll(unsigned long long x) { return __builtin_popcountll(x); }
inline int __ffs(int x) { return __builtin_ffs(x); }
inline int __ffsll(long long x) { return __builtin_ffsll(x); }
inline int __clz(int x) { return x == 0 ? 32 : __builtin_clz(unsigned(x)); }
inline int __clzll(long long x) { return x == 0 ? 64 : __builtin_clzll((unsigned long long)x); }
inline unsigned __brev(unsigned x) {
  unsigned y = 0;
  for (int i = 0; i < 32; ++i) y |= (x >> i & 1u) << (31 - i);
  return y;
}
inline unsigned __umulhi(unsigned a, unsigned b) { return unsigned(uint64_t{a} * b >> 32); }
inline unsigned long long __umul64hi(unsigned long long a, unsigned long long b) {
  return (unsigned long long)((unsigned __int128)(a)*b >> 64);
}
inline int __float_as_int(float x) { return emulator::from_bits<int>(emulator::to_bits(x)); }
inline unsigned __float_as_uint(float x) {
  return emulator::from_bits<unsigned>(emulator::to_bits(x));
}
inline float __int_as_float(int x) { return emulator::from_bits<float>(emulator::to_bits(x)); }
inline float __uint_as_float(unsigned x) {
  return emulator::from_bits<float>(emulator::to_bits(x));
}
inline long long __double_as_longlong(double x) {
  return emulator::from_bits<long long>(emulator::to_bits(x));
}
inline double __longlong_as_double(long long x) {
  return emulator::from_bits<double>(emulator::to_bits(x));
}
inline float __fadd_rn(float a, float b) { return a + b; }
inline float __fsub_rn(float a, float b) { return a - b; }
inline float __fmul_rn(float a, float b) { return a * b; }
inline float __fdiv_rn(float a, float b) { return a / b; }
inline float __fmaf_rn(float a, float b, float c) { return fmaf(a, b, c); }
inline double __dadd_rn(double a, double b) { return a + b; }
inline double __dsub_rn(double a, double b) { return a - b; }
inline double __dmul_rn(double a, double b) { return a * b; }
inline double __ddiv_rn(double a, double b) { return a / b; }
inline double __fma_rn(double a, double b, double c) { return fma(a, b, c); }
inline float __fdividef(float a, float b) { return a / b; }
inline float __frcp_rn(float x) { return 1.0f / x; }
inline float __expf(float x) { return expf(x); }
inline float __logf(float x) { return logf(x); }
inline float __log2f(float x) { return log2f(x); }
inline float rsqrtf(float x) { return 1.0f / sqrtf(x); }
inline float __saturatef(float x) { return x > 0.0f ? (x < 1.0f ? x : 1.0f) : 0.0f; }

template <class A, class B>
std::common_type_t<A, B> min(A a, B b) {
  using T = std::common_type_t<A, B>;
  if constexpr (std::is_floating_point_v<T>) return fmin(T(a), T(b));
  return T(b) < T(a) ? T(b) : T(a);
}
template <class A, class B>
std::common_type_t<A, B> max(A a, B b) {
  using T = std::common_type_t<A, B>;
  if constexpr (std::is_floating_point_v<T>) return fmax(T(a), T(b));
  return T(a) < T(b) ? T(b) : T(a);
}

// --- the runtime API ---
enum cudaError_t {
  cudaSuccess = 0,
  cudaErrorInvalidValue = 1,
  cudaErrorInvalidConfiguration = 9,
  cudaErrorInvalidDevice = 101,
};
using cudaStream_t = struct CUstream_st*;
enum cudaDeviceAttr {
  cudaDevAttrMaxSharedMemoryPerBlock = 8,
  cudaDevAttrMultiProcessorCount = 16,
  cudaDevAttrMaxThreadsPerMultiProcessor = 39,
  cudaDevAttrL2CacheSize = 38,
  cudaDevAttrComputeCapabilityMajor = 75,
  cudaDevAttrComputeCapabilityMinor = 76,
  cudaDevAttrMaxSharedMemoryPerMultiprocessor = 81,
  cudaDevAttrMaxSharedMemoryPerBlockOptin = 97,
};
enum cudaFuncAttribute { cudaFuncAttributeMaxDynamicSharedMemorySize = 8 };
struct cudaLaunchAttribute {
  int id, val;
};
struct cudaLaunchConfig_t {
  dim3 gridDim, blockDim;
  size_t dynamicSmemBytes;
  cudaStream_t stream;
  cudaLaunchAttribute* attrs;
  unsigned numAttrs;
};

const char* cudaGetErrorString(cudaError_t error);
cudaError_t cudaGetLastError();  // and clears it
cudaError_t cudaPeekAtLastError();
cudaError_t cudaGetDeviceCount(int* count);
cudaError_t cudaGetDevice(int* device);
cudaError_t cudaSetDevice(int device);
cudaError_t cudaDeviceGetAttribute(int* value, cudaDeviceAttr attribute, int device);
inline cudaError_t cudaStreamSynchronize(cudaStream_t) { return cudaSuccess; }
inline cudaError_t cudaDeviceSynchronize() { return cudaSuccess; }
inline cudaError_t cudaMemsetAsync(void* to, int value, size_t bytes, cudaStream_t = nullptr) {
  std::memset(to, value, bytes);
  return cudaSuccess;
}

namespace emulator {
cudaError_t remember(cudaError_t error, const char* detail = nullptr);
cudaError_t set_attribute(const void* kernel, cudaFuncAttribute attribute, int value);
}  // namespace emulator

template <class... Params>
cudaError_t cudaFuncSetAttribute(void (*kernel)(Params...), cudaFuncAttribute attribute,
                                 int value) {
  return emulator::set_attribute(reinterpret_cast<const void*>(kernel), attribute, value);
}

template <class... Params>
cudaError_t cudaOccupancyMaxActiveBlocksPerMultiprocessor(int* blocks, void (*)(Params...), int,
                                                          size_t) {
  *blocks = 2;
  return cudaSuccess;
}

template <class... Params, class... Args>
cudaError_t cudaLaunchKernelEx(const cudaLaunchConfig_t* config, void (*kernel)(Params...),
                               Args&&... args) {
  struct Arguments {
    void (*kernel)(Params...);
    std::tuple<Params...> values;
  } arguments = {kernel, std::tuple<Params...>(std::forward<Args>(args)...)};
  const emulator::Launch launch = {
      reinterpret_cast<const void*>(kernel),
      config->gridDim,
      config->blockDim,
      config->dynamicSmemBytes,
      [](void* p) {
        const auto& a = *static_cast<const Arguments*>(p);
        std::apply(a.kernel, a.values);
      },
      &arguments,
  };
  if (const char* why = emulator::refusal(launch))
    return emulator::remember(cudaErrorInvalidConfiguration, why);
  emulator::run(launch);
  return cudaSuccess;
}
