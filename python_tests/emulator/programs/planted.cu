// Kernels with one mistake each, which the emulator must find, and right kernels, which it must
// accept.
//
//   planted <case> <order>   prints "right" or "wrong", or fails with a message
//
// SPDX-License-Identifier: Apache-2.0
#include <cuda_bf16.h>
#include <cuda_fp16.h>

#include <cstdio>
#include <exception>
#include <functional>
#include <map>
#include <stdexcept>
#include <string>
#include <vector>

extern "C" void emulator_set_order(int order, uint64_t seed);

namespace {

constexpr int kThreads = 128, kWarps = kThreads / 32;
constexpr unsigned kAll = 0xFFFFFFFFu;

template <class... Params, class... Args>
void launch(void (*kernel)(Params...), dim3 grid, dim3 block, size_t shared_bytes, Args... args) {
  cudaLaunchConfig_t config = {};
  config.gridDim = grid;
  config.blockDim = block;
  config.dynamicSmemBytes = shared_bytes;
  const cudaError_t error = cudaLaunchKernelEx(&config, kernel, args...);
  if (error != cudaSuccess) throw std::runtime_error(cudaGetErrorString(error));
}

using Ints = std::vector<int>;

// out[i] for two blocks of kThreads threads.
Ints run(void (*kernel)(int*), int threads = kThreads) {
  Ints out(2 * kThreads, -1);
  launch(kernel, 2, threads, kThreads * sizeof(int), out.data());
  return out;
}

bool all_equal(const Ints& got, const std::function<int(int)>& wanted) {
  for (int i = 0; i < int(got.size()); ++i)
    if (got[i] != wanted(i)) return false;
  return true;
}

// --- a value goes to the neighbour through shared memory ---

__global__ void __launch_bounds__(kThreads) exchange(int* out) {
  __shared__ int values[kThreads];
  const int i = threadIdx.x;
  values[i] = i;
  __syncthreads();
  out[blockIdx.x * kThreads + i] = values[(i + 1) % kThreads];
}

__global__ void exchange_without_barrier(int* out) {
  __shared__ int values[kThreads];
  const int i = threadIdx.x;
  values[i] = i;
  out[blockIdx.x * kThreads + i] = values[(i + 1) % kThreads];
}

__global__ void exchange_without_second_barrier(int* out) {
  __shared__ int values[kThreads];
  const int i = threadIdx.x;
  int sum = 0;
  for (int round = 0; round < 3; ++round) {
    values[i] = round;
    __syncthreads();
    sum += values[(i + 1) % kThreads];
  }
  out[blockIdx.x * kThreads + i] = sum;
}

// The shuffles order no memory, but hide the mistake in every order of threads.
__global__ void exchange_after_shuffle(int* out) {
  __shared__ int values[kThreads];
  const int i = threadIdx.x;
  values[i] = __shfl_xor_sync(kAll, i, 1);
  __shfl_xor_sync(kAll, i, 2);
  out[blockIdx.x * kThreads + i] = values[i ^ 1];
}

__global__ void exchange_in_warp(int* out) {
  __shared__ int values[kThreads];
  const int i = threadIdx.x;
  values[i] = i;
  __syncwarp();
  out[blockIdx.x * kThreads + i] = values[i ^ 1];
}

__global__ void exchange_in_half_warps(int* out) {
  __shared__ int values[kThreads];
  const int i = threadIdx.x;
  values[i] = i;
  if (i % 32 < 16)
    __syncwarp(0x0000FFFFu);
  else
    __syncwarp(0xFFFF0000u);
  out[blockIdx.x * kThreads + i] = values[i ^ 1];
}

__global__ void exchange_across_half_warps(int* out) {
  __shared__ int values[kThreads];
  const int i = threadIdx.x;
  values[i] = i;
  __syncwarp(i % 32 < 16 ? 0x0000FFFFu : 0xFFFF0000u);
  out[blockIdx.x * kThreads + i] = values[i ^ 16];
}

__global__ void exchange_through_dynamic(int* out) {
  extern __shared__ int dynamic[];
  const int i = threadIdx.x;
  dynamic[i] = i;
  __syncthreads();
  out[blockIdx.x * kThreads + i] = dynamic[(i + 1) % kThreads];
}

__global__ void exchange_through_dynamic_without_barrier(int* out) {
  extern __shared__ int dynamic[];
  const int i = threadIdx.x;
  dynamic[i] = i;
  out[blockIdx.x * kThreads + i] = dynamic[(i + 1) % kThreads];
}

__global__ void two_blocks_write_the_same(int* out) { out[threadIdx.x] = 1; }

__global__ void add_without_atomic(int* out) { ++out[blockIdx.x]; }

// The last block to add reads the other blocks' writes.
__global__ void last_block_reads(int* out) {
  const int i = threadIdx.x;
  __shared__ bool last;
  if (blockIdx.x == 0 && i == 0) out[1] = 5;
  __threadfence();
  if (i == 0) last = atomicAdd(&out[0], 1) == 0;
  __syncthreads();
  if (last && i == 0) out[2] = out[1];
}

// --- barriers that some threads miss ---

__global__ void barrier_in_two_places(int* out) {
  out[threadIdx.x] = 0;
  if (threadIdx.x < 32)
    __syncthreads();
  else
    __syncthreads();
}

__global__ void barrier_after_return(int*) {
  if (threadIdx.x == 5) return;
  __syncthreads();
}

__global__ void barrier_beside_shuffle(int*) {
  if (threadIdx.x < 5)
    __syncthreads();
  else
    __syncwarp();
}

__global__ void shuffle_after_return(int*) {
  if (threadIdx.x == 5) return;
  __shfl_xor_sync(kAll, 1, 1);
}

__global__ void shuffle_without_caller(int*) { __shfl_sync(0x7FFFFFFFu, 1, 0); }

__global__ void shuffle_from_outside_the_mask(int*) {
  if (threadIdx.x % 32 < 16) __shfl_xor_sync(0x0000FFFFu, 1, 16);
}

__global__ void ballot_with_two_masks(int*) { __ballot_sync(kAll >> threadIdx.x % 2, 1); }

__global__ void ballot(int* out) {
  out[blockIdx.x * blockDim.x + threadIdx.x] = __ballot_sync(kAll, 1);
}

// --- memory ---

__global__ void store_beyond_static(int* out) {
  __shared__ int values[kThreads];
  int* const at = values;
  at[threadIdx.x + 1] = 7;
  out[threadIdx.x] = 0;
}

__global__ void store_beyond_dynamic(int* out) {
  extern __shared__ __align__(16) int dynamic[];
  dynamic[threadIdx.x + 1] = 7;
  out[threadIdx.x] = 0;
}

__global__ void store_beyond_global(int* out) {
  out[blockIdx.x * kThreads + threadIdx.x + 1] = threadIdx.x;
}

__global__ void misaligned_vector(int* out) {
  __shared__ int values[4];
  *reinterpret_cast<int4*>(values) = {1, 2, 3, 4};
  out[0] = values[3];
}

__global__ void overflow(int* out) {
  out[blockIdx.x * kThreads + threadIdx.x] = 0x7FFFFF00 + 4 * int(threadIdx.x);
}

// Sees what the previous block left in shared memory.
__global__ void read_uninitialized(int* out) {
  __shared__ int values[kThreads];
  out[blockIdx.x * kThreads + threadIdx.x] = values[threadIdx.x];
  values[threadIdx.x] = 0;
}

template <int kValue>
__device__ int& shared_of_template() {
  __shared__ int value;
  if (threadIdx.x == 0) value = kValue;
  return value;
}

__global__ void shared_in_templates(int* out) {
  int &one = shared_of_template<1>(), &two = shared_of_template<2>();
  __syncthreads();
  out[blockIdx.x * kThreads + threadIdx.x] = 10 * one + two;
}

__global__ void too_much_static(int* out) {
  __shared__ char values[(48 << 10) + 1];
  values[threadIdx.x] = 1;
  out[0] = values[0];
}

__global__ void nothing(int*) {}

// --- results of the instructions ---

__global__ void instructions(int* out) {
  const int i = threadIdx.x, lane = i % 32, warp = i / 32, first = 32 * warp;
  bool right = __shfl_xor_sync(kAll, i, 5) == (i ^ 5);
  right &= __shfl_sync(kAll, i, 3) == first + 3;
  right &= __shfl_sync(kAll, i, 35) == first + 3;  // the source counts modulo the width
  right &= __shfl_sync(kAll, double(i), 3, 8) == i / 8 * 8 + 3;
  right &= __shfl_up_sync(kAll, i, 2) == (lane < 2 ? i : i - 2);
  right &= __shfl_down_sync(kAll, i, 2) == (lane > 29 ? i : i + 2);
  right &= __shfl_down_sync(kAll, i, 2, 16) == (lane % 16 > 13 ? i : i + 2);
  right &= __shfl_xor_sync(kAll, int64_t(i) << 40, 1) == int64_t(i ^ 1) << 40;
  right &= __ballot_sync(kAll, lane % 3 == 0) == 0x49249249u;
  right &= __any_sync(kAll, i == 70) == (warp == 2);
  right &= __all_sync(kAll, i != 70) == (warp != 2);
  __shared__ int count, largest, smallest;
  __shared__ unsigned long long wide;
  if (i == 0) count = 0, largest = -5, smallest = 5, wide = 1;
  __syncthreads();
  atomicAdd(&count, 2);
  atomicMax(&largest, i);
  atomicMin(&smallest, -i);
  atomicAdd(&wide, 1ull << 40);
  __syncthreads();
  right &= count == 2 * kThreads && largest == kThreads - 1 && smallest == 1 - kThreads &&
           wide == (uint64_t{kThreads} << 40) + 1;
  right &=
      __popc(0xF0F0u) == 8 && __ffs(8) == 4 && __ffs(0) == 0 && __clz(1) == 31 && __clz(0) == 32;
  right &= __umulhi(1u << 31, 6) == 3 && __umul64hi(uint64_t{1} << 63, 6) == 3;
  out[blockIdx.x * kThreads + i] = right;
}

std::string conversions() {
  std::string text;  // lines of bits for the test to compare with torch's
  char line[64];
  const auto add = [&](float x) {
    std::snprintf(line, sizeof line, "%08x %04x %04x\n", __float_as_uint(x),
                  __half_as_ushort(__float2half_rn(x)),
                  __bfloat16_as_ushort(__float2bfloat16_rn(x)));
    text += line;
  };
  for (unsigned bits = 0; bits < 0x10000; ++bits) {
    const float half = __half2float(__ushort_as_half(uint16_t(bits)));
    const float brain = __bfloat162float(__ushort_as_bfloat16(uint16_t(bits)));
    std::snprintf(line, sizeof line, "%04x %08x %08x\n", bits, __float_as_uint(half),
                  __float_as_uint(brain));
    text += line;
  }
  // Every half, its neighbours as floats, and the ties between halves with their neighbours.
  for (uint32_t top = 0; top < 0x10000; top += 7)
    for (const uint32_t low : {0x0u, 0x1u, 0xFFFu, 0x1000u, 0x1001u, 0x3000u, 0x7FFFu, 0x8000u})
      add(__uint_as_float(top << 16 | low));
  return text;
}

int next(int i) { return (i % kThreads + 1) % kThreads; }

const std::map<std::string, std::function<bool()>> cases = {
    {"exchange", [] { return all_equal(run(exchange), next); }},
    {"exchange_without_barrier", [] { return all_equal(run(exchange_without_barrier), next); }},
    {"exchange_without_second_barrier",
     [] { return all_equal(run(exchange_without_second_barrier), [](int) { return 3; }); }},
    {"exchange_after_shuffle",
     [] { return all_equal(run(exchange_after_shuffle), [](int i) { return i % kThreads; }); }},
    {"exchange_in_warp",
     [] { return all_equal(run(exchange_in_warp), [](int i) { return (i ^ 1) % kThreads; }); }},
    {"exchange_in_half_warps",
     [] {
       return all_equal(run(exchange_in_half_warps), [](int i) { return (i ^ 1) % kThreads; });
     }},
    {"exchange_across_half_warps",
     [] {
       return all_equal(run(exchange_across_half_warps), [](int i) { return (i ^ 16) % kThreads; });
     }},
    {"exchange_through_dynamic", [] { return all_equal(run(exchange_through_dynamic), next); }},
    {"exchange_through_dynamic_without_barrier",
     [] { return all_equal(run(exchange_through_dynamic_without_barrier), next); }},
    {"two_blocks_write_the_same", [] { return run(two_blocks_write_the_same)[0] == 1; }},
    {"add_without_atomic", [] { return run(add_without_atomic)[0] == kThreads - 1; }},
    {"last_block_reads", [] { return run(last_block_reads)[2] == 5; }},
    {"barrier_in_two_places", [] { return run(barrier_in_two_places)[0] == 0; }},
    {"barrier_after_return", [] { return run(barrier_after_return)[0] == -1; }},
    {"barrier_beside_shuffle", [] { return run(barrier_beside_shuffle)[0] == -1; }},
    {"shuffle_after_return", [] { return run(shuffle_after_return)[0] == -1; }},
    {"shuffle_without_caller", [] { return run(shuffle_without_caller)[0] == -1; }},
    {"shuffle_from_outside_the_mask", [] { return run(shuffle_from_outside_the_mask)[0] == -1; }},
    {"ballot_with_two_masks", [] { return run(ballot_with_two_masks)[0] == -1; }},
    {"ballot", [] { return run(ballot)[0] == -1; }},
    {"ballot_in_part_of_a_warp", [] { return run(ballot, 40)[0] == -1; }},
    {"store_beyond_static", [] { return run(store_beyond_static)[0] == 0; }},
    {"store_beyond_dynamic", [] { return run(store_beyond_dynamic)[0] == 0; }},
    {"store_beyond_global", [] { return run(store_beyond_global)[1] == 0; }},
    {"misaligned_vector", [] { return run(misaligned_vector, 1)[0] == 4; }},
    {"overflow", [] { return run(overflow)[0] == 0x7FFFFF00; }},
    {"read_uninitialized",
     [] { return all_equal(run(read_uninitialized), [](int) { return int(0xCDCDCDCD); }); }},
    {"shared_in_templates",
     [] { return all_equal(run(shared_in_templates), [](int) { return 12; }); }},
    {"too_much_static", [] { return run(too_much_static, 1)[0] == 1; }},
    {"beyond_launch_bounds", [] { return run(exchange, 2 * kThreads)[0] == 1; }},
    {"instructions", [] { return all_equal(run(instructions), [](int) { return 1; }); }},
    {"no_threads", [] { return run(nothing, 0)[0] == -1; }},
    {"too_many_threads", [] { return run(nothing, 1025)[0] == -1; }},
    {"no_blocks", [] { return launch(nothing, 0, 32, 0, nullptr), true; }},
    {"too_many_blocks", [] { return launch(nothing, 1u << 31, 32, 0, nullptr), true; }},
    {"shared_not_allowed", [] { return launch(nothing, 1, 32, (48 << 10) + 1, nullptr), true; }},
    {"shared_allowed",
     [] {
       cudaFuncSetAttribute(nothing, cudaFuncAttributeMaxDynamicSharedMemorySize, 227 << 10);
       return launch(nothing, 1, 32, 227 << 10, nullptr), true;
     }},
    {"shared_that_no_gpu_has",
     [] {
       return cudaFuncSetAttribute(nothing, cudaFuncAttributeMaxDynamicSharedMemorySize,
                                   (227 << 10) + 1) == cudaErrorInvalidValue &&
              cudaGetLastError() == cudaErrorInvalidValue && cudaGetLastError() == cudaSuccess;
     }},
};

}  // namespace

int main(int, char** arguments) {
  const std::string name = arguments[1];
  if (name == "conversions") {
    std::fputs(conversions().c_str(), stdout);
    return 0;
  }
  emulator_set_order(std::atoi(arguments[2]), 1);
  try {
    std::puts(cases.at(name)() ? "right" : "wrong");
  } catch (const std::exception& error) {
    std::fprintf(stderr, "%s\n", error.what());
    return 1;
  }
}
