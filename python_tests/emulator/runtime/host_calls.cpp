// The functions that the host calls: CUDA's runtime API, and the controls of the tests.
// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <map>
#include <memory>
#include <string>
#include <utility>

#include "device.h"
#include "include/cuda_runtime.h"
#include "memory.h"

namespace emulator {

int multiprocessors() { return settings.multiprocessors; }

std::map<const void*, size_t>& allowed_shared_bytes() {
  static std::map<const void*, size_t> bytes;
  return bytes;
}

const char* refusal(const Launch& launch) {
  const dim3 grid = launch.grid, block = launch.block;
  if (grid.x == 0 || grid.y == 0 || grid.z == 0) return "an empty grid";
  if (grid.x > 0x7FFFFFFFu || grid.y > 65535 || grid.z > 65535)
    return "more blocks than a grid may have";
  if (block.x == 0 || block.y == 0 || block.z == 0) return "an empty block";
  if (block.x > 1024 || block.y > 1024 || block.z > 64 ||
      uint64_t{block.x} * block.y * block.z > 1024)
    return "more than 1024 threads in a block";
  const std::lock_guard<std::mutex> lock(mutex);
  const auto allowed = allowed_shared_bytes().find(launch.kernel);
  const size_t limit =
      allowed == allowed_shared_bytes().end() ? kPlainSharedBytes : allowed->second;
  if (launch.shared_bytes > std::max(limit, kPlainSharedBytes))
    return "more dynamic shared memory than 48 KiB, or than the kernel was allowed";
  return nullptr;
}

void run(const Launch& launch) {
  const std::lock_guard<std::mutex> lock(mutex);
  ++launches;
  launching = true;
  const auto end = [](void*) { launching = false; };
  const std::unique_ptr<void, decltype(end)> guard(&launching, end);
  device().run(launch);
}

DLDeviceType cuda_memory() { return settings.enabled ? kDLCPU : kDLCUDA; }

// --- the runtime API ---
namespace {
thread_local cudaError_t last_error = cudaSuccess;
thread_local const char* last_detail = nullptr;
}  // namespace

cudaError_t remember(cudaError_t error, const char* detail) {
  last_error = error;
  last_detail = detail;
  return error;
}

cudaError_t set_attribute(const void* kernel, cudaFuncAttribute attribute, int value) {
  if (attribute != cudaFuncAttributeMaxDynamicSharedMemorySize || value < 0 ||
      size_t(value) > kSharedBytes)
    return remember(cudaErrorInvalidValue);
  const std::lock_guard<std::mutex> lock(mutex);
  allowed_shared_bytes()[kernel] = size_t(value);
  return cudaSuccess;
}

}  // namespace emulator

const char* cudaGetErrorString(cudaError_t error) {
  thread_local std::string message;
  switch (error) {
    case cudaSuccess:
      return "no error";
    case cudaErrorInvalidValue:
      return "invalid argument";
    case cudaErrorInvalidConfiguration:
      message = "invalid configuration argument";
      if (emulator::last_detail != nullptr)
        message += std::string(" (") + emulator::last_detail + ")";
      return message.c_str();
    case cudaErrorInvalidDevice:
      return "invalid device ordinal";
  }
  return "unrecognized error code";
}
cudaError_t cudaPeekAtLastError() { return emulator::last_error; }
cudaError_t cudaGetLastError() { return std::exchange(emulator::last_error, cudaSuccess); }
cudaError_t cudaGetDeviceCount(int* count) {
  *count = 1;
  return cudaSuccess;
}
cudaError_t cudaGetDevice(int* device) {
  *device = 0;
  return cudaSuccess;
}
cudaError_t cudaSetDevice(int device) {
  return device == 0 ? cudaSuccess : emulator::remember(cudaErrorInvalidDevice);
}
cudaError_t cudaDeviceGetAttribute(int* value, cudaDeviceAttr attribute, int) {
  switch (attribute) {
    case cudaDevAttrMaxSharedMemoryPerBlock:
      *value = int(emulator::kPlainSharedBytes);
      return cudaSuccess;
    case cudaDevAttrMaxSharedMemoryPerBlockOptin:
      *value = int(emulator::kSharedBytes);
      return cudaSuccess;
    case cudaDevAttrMaxSharedMemoryPerMultiprocessor:
      *value = 228 << 10;
      return cudaSuccess;
    case cudaDevAttrMultiProcessorCount:
      *value = emulator::multiprocessors();
      return cudaSuccess;
    case cudaDevAttrMaxThreadsPerMultiProcessor:
      *value = 2048;
      return cudaSuccess;
    case cudaDevAttrL2CacheSize:
      *value = 50 << 20;
      return cudaSuccess;
    case cudaDevAttrComputeCapabilityMajor:
      *value = 9;
      return cudaSuccess;
    case cudaDevAttrComputeCapabilityMinor:
      *value = 0;
      return cudaSuccess;
  }
  return emulator::remember(cudaErrorInvalidValue);
}

// The controls, which Python calls through ctypes.
#define EMULATOR_EXPORT extern "C" __attribute__((visibility("default")))
EMULATOR_EXPORT void emulator_set_order(int order, uint64_t seed) {
  const std::lock_guard<std::mutex> lock(emulator::mutex);
  emulator::settings.order = order;
  emulator::settings.seed = seed;
  emulator::launches = 0;
}
EMULATOR_EXPORT void emulator_set_multiprocessors(int count) {
  emulator::settings.multiprocessors = count;
}
EMULATOR_EXPORT void emulator_enable(int on) { emulator::settings.enabled = on != 0; }
EMULATOR_EXPORT uint64_t emulator_launches() { return emulator::launches; }
