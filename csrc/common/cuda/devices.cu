// SPDX-License-Identifier: Apache-2.0
#include "common/cuda/devices.h"

namespace atjt::cuda {

int device_count() {
  int count = 0;
  if (cudaGetDeviceCount(&count) == cudaSuccess) return count;
  cudaGetLastError();  // "no driver" is an answer, not an error for the next launch to report
  return 0;
}

}  // namespace atjt::cuda
