// Included before every binding: where the CUDA kernels find their data, as ATJT_CUDA_MEMORY.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <dlpack/dlpack.h>

namespace emulator {

DLDeviceType cuda_memory();  // kDLCPU while CPU tensors go to the CUDA kernels

}  // namespace emulator
