// reweighted_cross_entropy on the GPU: one read of the logits, one write of their gradient.
//
// A group of threads, from a warp to a block of 1024, takes a row tile by tile; its registers hold
// one tile. A single pass gives maximum and sum. The gradient of the last tile is computed from
// registers. The other tiles, the smaller part of a row of 200 KB, are read again, the latest
// first, mostly from the second-level cache.
// SPDX-License-Identifier: Apache-2.0
#include "common/cuda/launch.cuh"
#include "common/cuda/row_vectors.cuh"
#include "reweighted_cross_entropy/online_softmax.h"
#include "reweighted_cross_entropy/reweighted_cross_entropy.h"

namespace atjt::cuda {
namespace {

// Vectors that a thread holds. Seven vectors take 28 registers of the 64 with which 1024 threads
// fit a multiprocessor. Several tiles and label smoothing need some of the others, the exponential
// of doubles many.
template <class T, int kThreads, bool kSmooth>
constexpr int kVectors = sizeof(T) == 8 ? (kThreads < 1024 ? 3
                                           : kSmooth       ? 1
                                                           : 2)
                                        : (kThreads < 1024 && !kSmooth ? 7 : 6);

// The group of kThreads threads that share a row; small groups share a block.
template <int kThreads>
struct Group {
  static constexpr int kBlock = kThreads < 256 ? 256 : kThreads;
  static constexpr int kPerBlock = kBlock / kThreads;
  static constexpr int kBlocksPerSm = 1024 / kBlock;

  __device__ static int lane() { return int(threadIdx.x) % kThreads; }
  __device__ static int number() { return int(threadIdx.x) / kThreads; }
};

template <class Real>
__device__ Real larger(Real a, Real b) {  // if one is NaN, the other
  if constexpr (sizeof(Real) == 8) return fmax(a, b);
  return fmaxf(a, b);
}

// exp(x) for x <= 0. The coarse one suffices for results of 8 or 11 bits.
template <class T, class Real>
__device__ __forceinline__ Real exponential(Real x) {
  if constexpr (sizeof(T) == 2) return exp_in_hardware_coarse(x);
  return exp_in_hardware(x);
}

template <class Real>
__device__ SoftmaxPart<Real> warp_combine(SoftmaxPart<Real> part) {
  for (int offset = kWarpSize / 2; offset > 0; offset /= 2)
    part = combine(part, {__shfl_xor_sync(kFullWarp, part.maximum, offset),
                          __shfl_xor_sync(kFullWarp, part.sum, offset)});
  return part;
}

// The state of a row: of one thread, then of its group.
template <class Real>
struct RowState {
  SoftmaxPart<Real> part = {-Real(INFINITY), 0};
  Real reference = 0;  // distances are reference - logit
  Real distance = 0;   // their sum, for label smoothing
};

template <class T, int kThreads, bool kSmooth>
struct RowKernel {
  using Real = Arithmetic<T>;
  static constexpr int kWidth = kPerVector<T>;
  static constexpr int kHeld = kVectors<T, kThreads, kSmooth>;
  static constexpr int kTile = kThreads * kHeld;  // in vectors
  // Smaller groups take rows of one tile. Rows of several tiles need the cache for themselves.
  static constexpr bool kManyTiles = kThreads == 1024;

  const CrossEntropyParams<T>& p;
  const int lane = Group<kThreads>::lane();

  // Vectors of the aligned part of a row that are held at once. The thread's vectors begin at `at`
  // and lie kThreads apart; `left` of the tile's vectors lie at or behind the thread's first one.
  struct Tile {
    const T* at;
    int left;
    __device__ bool has(int j) const { return j * kThreads < left; }
  };
  static constexpr int kStep = kThreads * kWidth;  // elements from one vector to the thread's next

  __device__ static void load(uint4 (&held)[kHeld], Tile tile) {
#pragma unroll
    for (int j = 0; j < kHeld; ++j)
      if (tile.has(j)) held[j] = load_vector(tile.at + j * kStep);
  }

  __device__ static void absorb(RowState<Real>& state, uint4 (&held)[kHeld], Tile tile) {
    Real values[kWidth], maximum = state.part.maximum;
#pragma unroll
    for (int j = 0; j < kHeld; ++j) {
      if (!tile.has(j)) continue;
      unpack<T>(held[j], values);
      forget(held[j]);
#pragma unroll
      for (int i = 0; i < kWidth; ++i) maximum = larger(maximum, values[i]);
    }
    raise_maximum(state.part, maximum);
    const Real origin = origin_of(state.part);
    Real sum = 0, distance = 0;  // of the tile alone: short sums lose little
#pragma unroll
    for (int j = 0; j < kHeld; ++j) {
      if (!tile.has(j)) continue;
      unpack<T>(held[j], values);
      forget(held[j]);
#pragma unroll
      for (int i = 0; i < kWidth; ++i) {
        sum += exponential<T>(values[i] - origin);
        if constexpr (kSmooth) distance += state.reference - values[i];
      }
    }
    state.part.sum += sum;
    state.distance += distance;
  }

  __device__ void absorb_edge(RowState<Real>& state, Real value) const {
    raise_maximum(state.part, larger(state.part.maximum, value));
    state.part.sum += exponential<T>(value - origin_of(state.part));
    if constexpr (kSmooth) state.distance += state.reference - value;
  }

  __device__ void combine_group(RowState<Real>& state) const {
    if constexpr (kThreads == kWarpSize) {
      state.part = warp_combine(state.part);
      if constexpr (kSmooth) state.distance = warp_sum(state.distance);
      __syncwarp();  // the gradient may overwrite the target's logit: all lanes have read it
    } else {
      __shared__ SoftmaxPart<Real> parts[kThreads / kWarpSize];
      state.part = block_reduce(state.part, {-Real(INFINITY), 0}, parts,
                                [](SoftmaxPart<Real> part) { return warp_combine(part); });
      if constexpr (kSmooth) {
        __shared__ Real distances[kThreads / kWarpSize];
        state.distance = block_reduce(state.distance, Real(0), distances,
                                      [](Real distance) { return warp_sum(distance); });
      }
    }
  }

  // gradient = exponential * factor - shift, minus `on_target` at the target
  struct Gradient {
    uintptr_t from_logits;  // bytes from a logit to its gradient
    const T* target;        // its logit
    Real maximum, factor, shift, on_target;

    __device__ T* place(const T* logit) const {
      return reinterpret_cast<T*>(reinterpret_cast<uintptr_t>(logit) + from_logits);
    }
    __device__ Real of(Real logit) const {
      const Real scaled = exponential<T>(logit - maximum) * factor;
      return kSmooth ? scaled - shift : scaled;
    }
  };

  __device__ static void write(const Gradient& g, const uint4 (&held)[kHeld], Tile tile) {
    const int64_t behind = g.target - tile.at;
    const int target = uint64_t(behind) < uint64_t(kTile) * kWidth ? int(behind) : -kTile;
#pragma unroll
    for (int j = 0; j < kHeld; ++j) {
      if (!tile.has(j)) continue;
      Real values[kWidth];
      unpack<T>(held[j], values);
#pragma unroll
      for (int i = 0; i < kWidth; ++i) values[i] = g.of(values[i]);
      if (unsigned(target - j * kStep) < unsigned(kWidth)) {
#pragma unroll
        for (int i = 0; i < kWidth; ++i)
          values[i] -= target == j * kStep + i ? g.on_target : Real(0);
      }
      T* const to = g.place(tile.at + j * kStep);
      if (g.from_logits % 16 == 0) {
        store_vector(to, pack<T>(values), kManyTiles);
      } else {  // aligned differently
#pragma unroll
        for (int i = 0; i < kWidth; ++i) narrow_in_hardware(values[i], to + i);
      }
    }
  }

  __device__ void fill(T* row, Real value) const {
    const RowLayout<T> layout(row, p.classes);
    if (layout.has_edge(lane)) narrow_in_hardware(value, row + layout.edge(lane));
    Real values[kWidth];
#pragma unroll
    for (int i = 0; i < kWidth; ++i) values[i] = value;
    for (int64_t index = lane; index < layout.vectors; index += kThreads)
      store_vector(row + layout.head + index * kWidth, pack<T>(values), kManyTiles);
  }

  __device__ void run(int64_t row) const {
    const T* const x = p.logits + row * p.classes;
    T* const grad = p.grad_logits != nullptr ? p.grad_logits + row * p.classes : nullptr;
    const int64_t target = p.targets[row];
    if (target == p.ignore_index || !target_in_range(p, target)) {
      const Real value = target == p.ignore_index ? Real(0) : Real(NAN);
      if (lane == 0) p.losses[row] = value;
      if (grad != nullptr) fill(grad, value);
      return;
    }

    const Real target_logit = widen_in_hardware(x[target]);
    RowState<Real> state;
    // Any finite number near the logits suffices; the target's logit keeps a large offset out of
    // the sum.
    if (target_logit - target_logit == 0) state.reference = target_logit;
    const RowLayout<T> layout(x, p.classes);
    const T* const edge_at = layout.has_edge(lane) ? x + layout.edge(lane) : nullptr;
    const Real edge = edge_at != nullptr ? widen_in_hardware(*edge_at) : Real(0);

    // All tiles but the first are full.
    const int tiles = kManyTiles ? int((layout.vectors + kTile - 1) / kTile) : 1;
    const int first_size = int(layout.vectors - int64_t{tiles - 1} * kTile);
    uint4 held[kHeld];
    Tile tile = {x + layout.head + lane * kWidth, first_size - lane};
    for (int i = 1;; ++i) {
      load(held, tile);
      absorb(state, held, tile);
      if (i == tiles) break;
      tile = {tile.at + (tile.left + lane) * kWidth, kTile - lane};
    }
    if (edge_at != nullptr) absorb_edge(state, edge);
    combine_group(state);

    const Real maximum = state.part.maximum, smoothing = Real(p.label_smoothing);
    if (lane == 0) {
      const Real log_sum = log(state.part.sum);
      if constexpr (kSmooth) {
        const Real mean_distance = (maximum - state.reference) + state.distance / Real(p.classes);
        p.losses[row] =
            smoothed_loss_of_row(maximum, log_sum, target_logit, smoothing, mean_distance);
      } else {
        p.losses[row] = loss_of_row(maximum, log_sum, target_logit);
      }
    }
    if (grad == nullptr) return;

    const Real scale = p.row_scale[row];
    const Gradient g = {reinterpret_cast<uintptr_t>(grad) - reinterpret_cast<uintptr_t>(x),
                        x + target,
                        maximum,
                        scale / state.part.sum,
                        scale * (smoothing / Real(p.classes)),
                        scale * (1 - smoothing)};
    if (edge_at != nullptr)
      narrow_in_hardware(g.of(edge) - (edge_at == g.target ? g.on_target : Real(0)),
                         g.place(edge_at));
    write(g, held, tile);
    for (int i = tiles - 1; i > 0; --i) {
      const int size = i == 1 ? first_size : kTile;
      tile = {tile.at - int64_t{size} * kWidth, size - lane};
      load(held, tile);
      write(g, held, tile);
    }
  }
};

template <class T, int kThreads, bool kSmooth>
__global__ void __launch_bounds__(Group<kThreads>::kBlock, Group<kThreads>::kBlocksPerSm)
    row_kernel(const CrossEntropyParams<T> p) {
  const int64_t row = int64_t(blockIdx.x) * Group<kThreads>::kPerBlock + Group<kThreads>::number();
  if (row < p.rows) RowKernel<T, kThreads, kSmooth>{p}.run(row);
}

template <class T, int kThreads, bool kSmooth>
bool launch_rows(const CrossEntropyParams<T>& p, int device, void* stream) {
  using Kernel = RowKernel<T, kThreads, kSmooth>;
  if (!Kernel::kManyTiles && p.classes > int64_t{Kernel::kTile} * Kernel::kWidth) return false;
  constexpr int kRows = Group<kThreads>::kPerBlock;
  // Fits gridDim.x, 2^31 - 1 blocks: more rows would not fit in memory.
  const Grid grid = {(p.rows + kRows - 1) / kRows, Group<kThreads>::kBlock};
  launch("reweighted_cross_entropy", row_kernel<T, kThreads, kSmooth>, grid, device, stream, p);
  return true;
}

template <class T, bool kSmooth>
void launch_smallest(const CrossEntropyParams<T>& p, int device, void* stream) {
  if (launch_rows<T, kWarpSize, kSmooth>(p, device, stream)) return;
  if (launch_rows<T, 256, kSmooth>(p, device, stream)) return;
  if (launch_rows<T, 512, kSmooth>(p, device, stream)) return;  // still two rows at once
  launch_rows<T, 1024, kSmooth>(p, device, stream);
}

}  // namespace

template <class T>
void reweighted_cross_entropy(const CrossEntropyParams<T>& p, int device, void* stream) {
  if (p.label_smoothing > 0) return launch_smallest<T, true>(p, device, stream);
  launch_smallest<T, false>(p, device, stream);
}

#define ATJT_INSTANTIATE(T) \
  template void reweighted_cross_entropy(const CrossEntropyParams<T>&, int, void*);
ATJT_FLOATING_TYPES(ATJT_INSTANTIATE)

}  // namespace atjt::cuda
