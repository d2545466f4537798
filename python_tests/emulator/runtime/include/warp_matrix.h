// PTX instructions on matrices that a warp holds together, for the host. csrc/common/cuda/ptx.cuh
// defines each.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

#include "../emulator.h"

namespace emulator {

enum class Numbers { kBFloat16, kFloat16, kTf32 };

// d += a b of 16 x k by k x 8 numbers, k = 16 or (kTf32) 8, laid out over the warp as PTX has it.
// The products are summed exactly and the sum is cut off, not rounded, to 24 bits, as tensor cores
// do (Fasi et al., "Numerical behavior of NVIDIA tensor cores", 2021). TF32 operands lose their low
// 13 bits.
void mma(Numbers numbers, float (&d)[4], const uint32_t (&a)[4], const uint32_t (&b)[2],
         EMULATOR_SITE);

// Four matrices of 8 x 8 halves. Lane 8 i + j names row j of matrix i.
void ldmatrix_x4(uint32_t (&matrices)[4], const void* row, bool transposed, EMULATOR_SITE);

}  // namespace emulator
