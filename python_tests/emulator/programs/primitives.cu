// The wrapped instructions of csrc/common/cuda/ptx.cuh, and the products built on them, against
// plain loops.
//
//   primitives <case>   prints "right", or what differs
//
// SPDX-License-Identifier: Apache-2.0
#include <cstdio>
#include <exception>
#include <functional>
#include <map>
#include <string>
#include <vector>

#include "common/cuda/products.cuh"

namespace atjt::cuda {
namespace {

// Small integers: exact in every type.
float number(int row, int column) { return float((row * 7 + column * 3 + row * column) % 9 - 4); }

template <class T>
std::vector<T> matrix(int rows, int columns, int seed) {
  std::vector<T> values(size_t(rows) * size_t(columns));
  for (int r = 0; r < rows; ++r)
    for (int c = 0; c < columns; ++c)
      narrow(number(r + seed, c), &values[size_t(r) * size_t(columns) + size_t(c)]);
  return values;
}

int mistakes = 0;
void expect(float got, float wanted, const char* what, int row, int column) {
  if (got == wanted) return;
  if (++mistakes == 1)
    std::printf("%s [%d][%d]: %g, not %g\n", what, row, column, double(got), double(wanted));
}

// For a block of one tile: scores [kBlockRows, kTileRows] and sums [kBlockRows, kWidth].
template <class Products, class T>
__global__ void __launch_bounds__(Products::kThreads)
    products_kernel(Rows<T> held, Rows<T> tile, int rows, float* scores_out, float* sums_out) {
  extern __shared__ __align__(16) unsigned char shared[];
  unsigned char* const streamed = shared + Products::kBlockRows * Products::kRowBytes;
  load_rows<Products::kBlockRows, typename Products::Shape>(shared, held, 0, rows);
  load_rows<Products::kTileRows, typename Products::Shape>(streamed, tile, 0, Products::kTileRows);
  commit_copies();
  wait_for_copies<0>();
  __syncthreads();
  Products products(shared, held.width);
  products.begin();
  typename Products::Scores scores = {};
  typename Products::Sums sums = {};
  products.add_scores(scores, streamed);
  products.add_sums(sums, scores, streamed);
  const int lane = int(threadIdx.x) % kWarpSize, warp = int(threadIdx.x) / kWarpSize;
  for (int m = 0; m < Products::kRowFragments; ++m)
    for (int i = 0; i < 4; ++i) {
      const int row =
          warp * Products::kWarpRows + 16 * m + AccumulatorLayout::row(lane) + 8 * (i / 2);
      const int column = AccumulatorLayout::column(lane) + i % 2;
      for (int j = 0; j < Products::kTileFragments; ++j)
        scores_out[row * Products::kTileRows + 8 * j + column] = scores[m][j][i];
      for (int q = 0; q < Products::kColumnFragments; ++q)
        sums_out[row * Products::kWidth + 8 * q + column] = sums[m][q][i];
    }
}

template <class Products, class T>
void check_products(int width) {
  constexpr int kRows = Products::kBlockRows - 3;  // the last rows are zeros
  const auto held = matrix<T>(kRows, width, 1), tile = matrix<T>(Products::kTileRows, width, 5);
  std::vector<float> scores(Products::kBlockRows * Products::kTileRows, NAN);
  std::vector<float> sums(Products::kBlockRows * Products::kWidth, NAN);
  launch("products", products_kernel<Products, T>,
         {1, Products::kThreads, size_t(Products::kSharedBytes)}, 0, nullptr,
         Rows<T>(held.data(), width), Rows<T>(tile.data(), width), kRows, scores.data(),
         sums.data());
  for (int r = 0; r < Products::kBlockRows; ++r) {
    std::vector<float> wanted(Products::kTileRows);
    for (int v = 0; v < Products::kTileRows; ++v) {
      for (int d = 0; d < width && r < kRows; ++d)
        wanted[size_t(v)] += number(r + 1, d) * number(v + 5, d);
      expect(scores[size_t(r * Products::kTileRows + v)], wanted[size_t(v)], "score", r, v);
    }
    for (int d = 0; d < Products::kWidth; ++d) {
      float sum = 0;
      for (int v = 0; v < Products::kTileRows && d < width; ++v) {
        float score = wanted[size_t(v)];  // the factor in the product with the tile
        if constexpr (sizeof(T) == 2) {
          T rounded;
          narrow(score, &rounded);
          score = widen(rounded);
        }
        sum += score * number(v + 5, d);
      }
      expect(sums[size_t(r * Products::kWidth + d)], sum, "sum", r, d);
    }
  }
}

template <template <class, int> class Products, class T>
void check_widths() {
  check_products<Products<T, 64>, T>(64);
  check_products<Products<T, 64>, T>(33);  // rows that are not whole vectors
  check_products<Products<T, 256>, T>(200);
}

// Every row and chunk has its own place. Eight rows of one chunk share no bank, nor do the chunks
// that eight neighbours copy to.
template <int kRowBytes>
void check_swizzle() {
  using Layout = SwizzledRows<kRowBytes>;
  std::map<int, int> places, banks;
  for (int row = 0; row < 64; ++row)
    for (int chunk = 0; chunk < Layout::kChunks; ++chunk) {
      const int offset = Layout::offset(row, chunk);
      if (offset % 16 != 0 || offset < 0 || offset >= 64 * kRowBytes)
        expect(1, 0, "offset", row, chunk);
      ++places[offset];
      const int near = Layout::offset(row % 8, chunk % 2);
      expect(float(Layout::moved(near, row / 8 * 8, chunk / 2 * 2)), float(offset), "moved", row,
             chunk);
    }
  expect(float(places.size()), float(64 * Layout::kChunks), "places", kRowBytes, 0);
  for (int first = 0; first < 64; first += 8)
    for (int chunk = 0; chunk < Layout::kChunks; ++chunk) {
      banks.clear();
      for (int row = first; row < first + 8; ++row) ++banks[Layout::offset(row, chunk) % 128];
      expect(float(banks.size()), 8, "banks of eight rows", first, chunk);
    }
  for (int place = 0; place < 64 * Layout::kChunks; place += 8) {
    banks.clear();
    for (int i = place; i < place + 8; ++i)
      ++banks[Layout::offset(i / Layout::kChunks, i % Layout::kChunks) % 128];
    expect(float(banks.size()), 8, "banks of eight copies", place, 0);
  }
}

// The words that a warp reads for the second product in TF32: rows 2 t + i, columns lane / 4.
template <int kRowBytes>
void check_tf32_banks() {
  for (int i = 0; i < 2; ++i)
    for (int q = 0; q < kRowBytes / 32; ++q) {
      std::map<int, int> banks;
      for (int lane = 0; lane < 32; ++lane)
        ++banks[(SwizzledRows<kRowBytes>::offset(AccumulatorLayout::column(lane) + i,
                                                 2 * q + lane / 16) +
                 lane / 4 % 4 * 4) %
                128];
      expect(float(banks.size()), 32, "banks of words", i, q);
    }
}

void check_layouts() {
  check_swizzle<64>();
  check_swizzle<128>();
  check_swizzle<256>();
  check_swizzle<512>();
  check_swizzle<1024>();
  check_tf32_banks<128>();
  check_tf32_banks<256>();
  check_tf32_banks<512>();
  check_tf32_banks<1024>();
}

void check_rounding() {
  const float ulp = 0x1p-10f;
  expect(float_of_bits(round_to_tf32(1 + 0.49f * ulp)), 1, "below the middle", 0, 0);
  expect(float_of_bits(round_to_tf32(1 + 0.5f * ulp)), 1 + ulp, "the middle", 0, 0);
  expect(float_of_bits(round_to_tf32(-1 - 0.5f * ulp)), -1 - ulp, "the middle", 1, 0);
  expect(float_of_bits(round_to_tf32(INFINITY)), INFINITY, "infinity", 0, 0);
  const float nan = float_of_bits(round_to_tf32(float_of_bits(0x7FFFFFFFu)));
  expect(float(nan != nan), 1, "NaN", 0, 0);
}

// --- misuse of copies: found by their results or as a race ---

enum Protocol {
  kRight,
  kNoWait,
  kNoBarrier,
  kTooFewAwaited,
  kReusedEarly,
  kNeverAwaited,
  kMisaligned
};

template <int kProtocol>
__global__ void copy_kernel(const float* from, float* to) {
  __shared__ __align__(16) float tiles[2][128];
  const int i = int(threadIdx.x);
  copy_async<16>(&tiles[0][4 * i] + (kProtocol == kMisaligned), from + 4 * i, true);
  commit_copies();
  copy_async<4>(&tiles[1][i], from + i, i < 16);
  commit_copies();
  if (kProtocol == kNeverAwaited) return;
  if (kProtocol == kTooFewAwaited) {
    wait_for_copies<1>();
  } else if (kProtocol != kNoWait) {
    wait_for_copies<0>();
  }
  if (kProtocol != kNoBarrier) __syncthreads();
  const float a = tiles[0][127 - 4 * i], b = tiles[1][31 - i];
  if (kProtocol == kReusedEarly) {
    copy_async<16>(&tiles[0][4 * i], from, true);
    commit_copies();
  }
  wait_for_copies<0>();
  to[i] = a + b;
}

template <int kProtocol>
void check_copies() {
  std::vector<float> from(128), to(32);
  for (int i = 0; i < 128; ++i) from[size_t(i)] = float(i + 1);
  launch("copies", copy_kernel<kProtocol>, {1, 32}, 0, nullptr,
         static_cast<const float*>(from.data()), to.data());
  for (int i = 0; i < 32; ++i)
    expect(to[size_t(i)], float(128 - 4 * i) + (31 - i < 16 ? float(32 - i) : 0), "copied", i, 0);
}

const std::map<std::string, std::function<void()>> kCases = {
    {"layouts", check_layouts},
    {"rounding", check_rounding},
    {"bfloat16", check_widths<MatrixProducts, BFloat16>},
    {"float16", check_widths<MatrixProducts, Float16>},
    {"tf32", check_widths<MatrixProducts, float>},
    {"float32", check_widths<ExactProducts, float>},
    {"narrow",
     [] {
       check_products<MatrixProducts<BFloat16, 32>, BFloat16>(32);
       check_products<MatrixProducts<BFloat16, 128>, BFloat16>(97);
     }},
    {"copies", check_copies<kRight>},
    {"copies_without_wait", check_copies<kNoWait>},
    {"copies_without_barrier", check_copies<kNoBarrier>},
    {"copies_waited_for_in_part", check_copies<kTooFewAwaited>},
    {"copies_over_what_is_read", check_copies<kReusedEarly>},
    {"copies_never_waited_for", check_copies<kNeverAwaited>},
    {"copies_misaligned", check_copies<kMisaligned>},
};

}  // namespace
}  // namespace atjt::cuda

int main(int argc, char** argv) {
  try {
    if (argc != 2) throw std::runtime_error("usage: primitives CASE");
    atjt::cuda::kCases.at(argv[1])();
    if (atjt::cuda::mistakes == 0) std::puts("right");
    return atjt::cuda::mistakes != 0;
  } catch (const std::exception& error) {
    std::fprintf(stderr, "%s\n", error.what());
    return 1;
  }
}
