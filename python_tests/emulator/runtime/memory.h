// Included before every binding: the memory that CUDA kernels read, as ATJT_CUDA_MEMORY.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <dlpack/dlpack.h>

namespace emulator {

DLDeviceType cuda_memory();  // kDLCPU while CPU tensors go to the CUDA kernels

}  // namespace emulator
