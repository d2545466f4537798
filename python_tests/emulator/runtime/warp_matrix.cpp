// SPDX-License-Identifier: Apache-2.0
#include "include/warp_matrix.h"

#include "include/cuda_bf16.h"
#include "include/cuda_fp16.h"

namespace emulator {
namespace {

struct Product {
  float* d;
  const uint32_t *a, *b;
};

float value(Numbers numbers, uint32_t word, int half) {
  if (numbers == Numbers::kTf32) return __uint_as_float(word & 0xFFFFE000u);
  const auto bits = uint16_t(word >> 16 * half);
  return numbers == Numbers::kFloat16 ? half_value(bits) : __uint_as_float(uint32_t{bits} << 16);
}

float toward_zero(double x) {
  const auto rounded = float(x);
  return std::fabs(double(rounded)) > std::fabs(x) ? nextafterf(rounded, 0.0f) : rounded;
}

// "Matrix Fragments for mma.m16n8k16" of the PTX manual: of lane 4 g + t, word i of a is row
// g + 8 (i % 2) and columns from 2 t + 8 (i / 2), word i of b rows from 2 t + 8 i of column g, and
// element i of d row g + 8 (i / 2) and column 2 t + i % 2. TF32 has one number in each word.
template <Numbers kNumbers>
void multiply(void* const* lanes) {
  constexpr int kPerWord = kNumbers == Numbers::kTf32 ? 1 : 2, kDepth = 8 * kPerWord;
  double a[16][kDepth], b[kDepth][8];
  for (int lane = 0; lane < kWarpSize; ++lane) {
    const auto* const mine = static_cast<const Product*>(lanes[lane]);
    const int g = lane / 4, t = lane % 4;
    for (int half = 0; half < kPerWord; ++half) {
      for (int i = 0; i < 4; ++i)
        a[g + 8 * (i % 2)][kPerWord * (t + 4 * (i / 2)) + half] = value(kNumbers, mine->a[i], half);
      for (int i = 0; i < 2; ++i)
        b[kPerWord * (t + 4 * i) + half][g] = value(kNumbers, mine->b[i], half);
    }
  }
  for (int lane = 0; lane < kWarpSize; ++lane) {
    float* const d = static_cast<const Product*>(lanes[lane])->d;
    for (int i = 0; i < 4; ++i) {
      double sum = d[i];
      for (int k = 0; k < kDepth; ++k)
        sum += a[lane / 4 + 8 * (i / 2)][k] * b[k][lane % 4 * 2 + i % 2];
      d[i] = toward_zero(sum);
    }
  }
}

struct Rows {
  uint32_t* matrices;
  const void* row;
};

template <bool kTransposed>
void distribute(void* const* lanes) {
  for (int lane = 0; lane < kWarpSize; ++lane) {
    for (int matrix = 0; matrix < 4; ++matrix) {
      uint16_t halves[2];
      for (int half = 0; half < 2; ++half) {
        const int row = lane / 4, column = lane % 4 * 2 + half;
        const auto* const from =
            static_cast<const Rows*>(lanes[8 * matrix + (kTransposed ? column : row)]);
        std::memcpy(&halves[half],
                    static_cast<const uint16_t*>(from->row) + (kTransposed ? row : column), 2);
      }
      static_cast<const Rows*>(lanes[lane])->matrices[matrix] =
          uint32_t{halves[1]} << 16 | halves[0];
    }
  }
}

}  // namespace

void mma(Numbers numbers, float (&d)[4], const uint32_t (&a)[4], const uint32_t (&b)[2],
         const char* file, int line) {
  Product mine = {d, a, b};
  const auto act = numbers == Numbers::kTf32      ? &multiply<Numbers::kTf32>
                   : numbers == Numbers::kFloat16 ? &multiply<Numbers::kFloat16>
                                                  : &multiply<Numbers::kBFloat16>;
  warp_together("mma", &mine, act, {file, line});
}

void ldmatrix_x4(uint32_t (&matrices)[4], const void* row, bool transposed, const char* file,
                 int line) {
  if (reinterpret_cast<uintptr_t>(row) % 16 != 0) fail("ldmatrix of a row not aligned to 16 bytes");
  read_memory(row, 16);
  Rows mine = {matrices, row};
  warp_together("ldmatrix", &mine, transposed ? &distribute<true> : &distribute<false>,
                {file, line});
}

}  // namespace emulator
