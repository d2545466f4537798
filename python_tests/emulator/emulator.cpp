// SPDX-License-Identifier: Apache-2.0
#include "emulator.h"

#include <algorithm>
#include <array>
#include <deque>
#include <map>
#include <memory>
#include <mutex>
#include <numeric>
#include <random>
#include <stdexcept>
#include <vector>

#include "fiber.h"
#include "include/cuda_runtime.h"
#include "memory.h"
#include "races.h"

#if EMULATOR_ASAN
#include <sanitizer/asan_interface.h>
#else
static void __asan_poison_memory_region(const void*, size_t) {}
static void __asan_unpoison_memory_region(const void*, size_t) {}
static void* __asan_region_is_poisoned(void*, size_t) { return nullptr; }
#endif

namespace emulator {
// What the header declares constant under these names.
uint3 thread_index asm("threadIdx"), block_index asm("blockIdx");
dim3 block_dim asm("blockDim"), grid_dim asm("gridDim");

namespace {

constexpr size_t kPlainSharedBytes = 48 << 10;  // without asking for more
constexpr size_t kSharedBytes = 227 << 10;

// Who is resumed next. A missing barrier shows under some orders only, so there are several:
//   ascending   warp after warp, each as far as it gets alone; in it lane after lane
//   descending  the same from the last to the first
//   lockstep    every thread up to its next barrier or shuffle, then all of them on
//   random      warps and lanes in any order, interrupted at atomics
enum class Order { kAscending, kDescending, kLockstep, kRandom };
constexpr int kNumOrders = 4;
constexpr int kEachInTurn = -1;  // another order for each block of each launch

struct Settings {
  int order = kEachInTurn;
  uint64_t seed = 0;
  int multiprocessors = 4;
  bool enabled = true;
} settings;
uint64_t launches = 0;

std::string text(const uint3& at) {
  return "(" + std::to_string(at.x) + ", " + std::to_string(at.y) + ", " + std::to_string(at.z) +
         ")";
}
std::string text(const Site& site) {
  return std::string(site.file) + ":" + std::to_string(site.line);
}
const char* name_of(Collective kind) {
  constexpr const char* kNames[] = {"__syncwarp", "a shuffle",  "__ballot_sync",
                                    "__any_sync", "__all_sync", "an instruction of the warp"};
  return kNames[int(kind)];
}

bool same(const Site& a, const Site& b) {
  return a.line == b.line && std::strcmp(a.file, b.file) == 0;
}

struct Copy {
  void* to;
  const void* from;
  size_t bytes, from_bytes;  // the rest is zero
};

struct Thread {
  enum State { kReady, kAtBlockBarrier, kAtCollective, kFinished };

  Fiber fiber;
  uint3 index;
  State state;
  Site site;
  // The collective it waits for, and what that gave.
  Collective kind;
  unsigned mask;
  uint64_t value;
  int source;
  // Of kTogether: what it is called and what it does.
  const char* name;
  void (*act)(void* const*);
  std::vector<Copy> begun;                  // copies in no group yet
  std::deque<std::vector<Copy>> in_flight;  // groups, the oldest first

  bool copies_are_left() const {
    return !begun.empty() || std::any_of(in_flight.begin(), in_flight.end(),
                                         [](const auto& group) { return !group.empty(); });
  }

  std::string whereabouts() const {
    if (state == kFinished) return "thread " + text(index) + " has finished";
    if (state == kReady) return "thread " + text(index) + " is running";
    return "thread " + text(index) + " waits at " +
           (state == kAtBlockBarrier        ? "__syncthreads"
            : kind == Collective::kTogether ? name
                                            : name_of(kind)) +
           " in " + text(site);
  }
};

// Shared memory of one block at a time. Around every variable lies a guard that nobody may write.
class SharedMemory {
 public:
  void reset(size_t dynamic_bytes) {
    __asan_unpoison_memory_region(bytes_.get(), kBytes);
    std::memset(bytes_.get(), kFill, used_);  // the rest still is
    __asan_poison_memory_region(bytes_.get(), kBytes);
    variables_.clear();
    used_ = kGuard;
    static_bytes_ = 0;
    dynamic_bytes_ = dynamic_bytes;
    dynamic_ = allocate(dynamic_bytes, 16);  // no more than a GPU promises
  }

  void* dynamic() const { return dynamic_; }
  const char* begin() const { return bytes_.get(); }
  size_t size() const { return kBytes; }

  void* variable(const void* tag, size_t bytes, size_t alignment) {
    for (const Variable& variable : variables_)
      if (variable.tag == tag) return variable.address;
    static_bytes_ += bytes;
    if (static_bytes_ > kPlainSharedBytes) fail("more than 48 KiB of static shared memory");
    if (static_bytes_ + dynamic_bytes_ > kSharedBytes) fail("more than 227 KiB of shared memory");
    variables_.push_back({tag, allocate(bytes, alignment), bytes});
    return variables_.back().address;
  }

  // AddressSanitizer reports a stray write when it happens; without it, it is found afterwards.
  void check() const {
#if !EMULATOR_ASAN
    const char* at = bytes_.get();
    const auto skip_to = [&](const char* end) {
      for (; at < end; ++at)
        if (*at != kFill) fail("a write outside of every variable in shared memory");
    };
    skip_to(static_cast<const char*>(dynamic_));
    at += dynamic_bytes_;
    for (const Variable& variable : variables_) {
      skip_to(static_cast<const char*>(variable.address));
      at += variable.bytes;
    }
    skip_to(bytes_.get() + used_);
#endif
  }

 private:
  struct Variable {
    const void* tag;
    void* address;
    size_t bytes;
  };
  static constexpr size_t kGuard = 64, kBytes = kSharedBytes + (64 << 10);
  static constexpr char kFill = char(0xCD);

  // Aligned as asked and no better, so that a wider access shows.
  void* allocate(size_t bytes, size_t alignment) {
    const auto base = reinterpret_cast<uintptr_t>(bytes_.get());
    uintptr_t address = (base + used_ + 2 * alignment - 1) / (2 * alignment) * (2 * alignment);
    address += alignment;
    used_ = address - base + bytes + kGuard;
    if (used_ > kBytes) fail("too many variables in shared memory");
    __asan_unpoison_memory_region(reinterpret_cast<void*>(address), bytes);
    return reinterpret_cast<void*>(address);
  }

  std::unique_ptr<char[]> bytes_ = std::make_unique<char[]>(kBytes);
  std::vector<Variable> variables_;
  size_t used_ = kBytes, static_bytes_ = 0, dynamic_bytes_ = 0;
  void* dynamic_ = nullptr;
};

class Device {
 public:
  void run(const Launch& launch);

  Thread& current() { return *threads_[current_]; }
  int lane() const { return current_ % kWarpSize; }
  int thread() const { return current_; }
  bool interrupts() { return order_ == Order::kRandom && random_() % 4 == 0; }
  void wait(Thread::State state) {
    current().state = state;
    current().fiber.leave();
  }
  [[noreturn]] void fail(const std::string& what);

  SharedMemory shared;
  Races races;
  const char* kernel_name = "a kernel that has not begun";

 private:
  void start_block(uint64_t number);
  void run_block();
  void resume(int thread);
  bool run_warp(int warp);
  bool complete_collectives(int warp);
  bool complete_barrier();
  void report_deadlock();
  std::string prefix() const;

  static void thread_main();

  const Launch* launch_ = nullptr;
  std::vector<std::unique_ptr<Thread>> threads_;  // kept for later launches
  int num_threads_ = 0, current_ = -1;            // -1: no thread, the scheduler
  Order order_ = Order::kAscending;
  std::mt19937_64 random_;
  std::vector<int> warps_;
  std::array<int, kWarpSize> lanes_;
  std::string failure_;
};

Device& device() {
  static Device device;
  return device;
}
std::mutex mutex;                     // one launch at a time
thread_local bool launching = false;  // in this thread of the host

void Device::run(const Launch& launch) {
  launch_ = &launch;
  grid_dim = launch.grid;
  block_dim = launch.block;
  num_threads_ = int(launch.block.x * launch.block.y * launch.block.z);
  while (int(threads_.size()) < num_threads_) threads_.push_back(std::make_unique<Thread>());
  warps_.resize((num_threads_ + kWarpSize - 1) / kWarpSize);
  races.start_launch();
  uint64_t block = 0;
  for (unsigned z = 0; z < grid_dim.z; ++z)
    for (unsigned y = 0; y < grid_dim.y; ++y)
      for (unsigned x = 0; x < grid_dim.x; ++x) {
        block_index = {x, y, z};
        start_block(block++);
        run_block();
        shared.check();
      }
}

void Device::start_block(uint64_t number) {
  order_ = settings.order == kEachInTurn ? Order((launches + number) % kNumOrders)
                                         : Order(settings.order);
  random_.seed(settings.seed + 1000003 * launches + number);
  std::iota(warps_.begin(), warps_.end(), 0);
  std::iota(lanes_.begin(), lanes_.end(), 0);
  if (order_ == Order::kDescending) {
    std::reverse(warps_.begin(), warps_.end());
    std::reverse(lanes_.begin(), lanes_.end());
  }
  shared.reset(launch_->shared_bytes);
  races.start_block(number, num_threads_, shared.begin(), shared.size());
  for (int i = 0; i < num_threads_; ++i) {
    Thread& thread = *threads_[i];
    const unsigned in_plane = unsigned(i) / block_dim.x;
    thread.index = {unsigned(i) % block_dim.x, in_plane % block_dim.y, in_plane / block_dim.y};
    thread.state = Thread::kReady;
    thread.begun.clear();
    thread.in_flight.clear();
    thread.fiber.start(&thread_main);
  }
}

void Device::thread_main() {
  Device& self = device();
  self.launch_->run(self.launch_->arguments);
  if (self.current().copies_are_left()) self.fail("ends before its copies by cp.async have");
  self.current().state = Thread::kFinished;
  self.current().fiber.leave(true);
}

void Device::resume(int thread) {
  current_ = thread;
  thread_index = threads_[thread]->index;
  threads_[thread]->fiber.resume();
  current_ = -1;
  if (!failure_.empty()) throw std::runtime_error(std::exchange(failure_, {}));
}

void Device::run_block() {
  for (;;) {
    if (order_ == Order::kRandom) std::shuffle(warps_.begin(), warps_.end(), random_);
    bool progress = false;
    for (const int warp : warps_) {
      while (run_warp(warp)) {
        progress = true;
        if (order_ == Order::kLockstep || (order_ == Order::kRandom && random_() % 2 == 0)) break;
      }
    }
    if (progress || complete_barrier()) continue;
    const auto finished = [](const auto& thread) { return thread->state == Thread::kFinished; };
    if (std::all_of(threads_.begin(), threads_.begin() + num_threads_, finished)) return;
    report_deadlock();
  }
}

// Once over the lanes of a warp. False if there was nothing to do.
bool Device::run_warp(int warp) {
  if (order_ == Order::kRandom) std::shuffle(lanes_.begin(), lanes_.end(), random_);
  bool progress = false;
  for (const int lane : lanes_) {
    const int thread = warp * kWarpSize + lane;
    if (thread >= num_threads_ || threads_[thread]->state != Thread::kReady) continue;
    resume(thread);
    progress = true;
    // A part of a warp that has met runs ahead of the rest.
    const bool in_part =
        threads_[thread]->state == Thread::kAtCollective && ~threads_[thread]->mask;
    if (in_part && order_ != Order::kLockstep && complete_collectives(warp)) return true;
  }
  return complete_collectives(warp) || progress;
}

// Frees the lanes whose partners have all come.
bool Device::complete_collectives(int warp) {
  const int first = warp * kWarpSize, count = std::min(num_threads_ - first, kWarpSize);
  bool any = false;
  for (int lane = 0; lane < count; ++lane) {
    const Thread& one = *threads_[first + lane];
    if (one.state != Thread::kAtCollective) continue;
    const unsigned mask = one.mask;
    const auto in_mask = [mask](int other) { return (mask >> other & 1) != 0; };
    std::array<uint64_t, kWarpSize> values = {};
    unsigned ballot = 0;
    bool complete = true;
    for (int other = 0; other < kWarpSize; ++other) {
      if (!in_mask(other)) continue;
      if (other >= count || threads_[first + other]->state == Thread::kFinished)
        throw std::runtime_error(prefix() + one.whereabouts() + " for lane " +
                                 std::to_string(other) + ", which " +
                                 (other >= count ? "the block does not have" : "has finished"));
      const Thread& partner = *threads_[first + other];
      complete = complete && partner.state == Thread::kAtCollective && partner.mask == mask &&
                 partner.kind == one.kind && same(partner.site, one.site);
      values[other] = partner.value;
      ballot |= unsigned(partner.value != 0) << other;
    }
    if (!complete) continue;
    any = true;
    const Collective kind = one.kind;
    if (kind == Collective::kSyncWarp) races.warp_barrier(warp, mask);
    if (kind == Collective::kTogether) {
      std::array<void*, kWarpSize> lanes;
      for (int other = 0; other < kWarpSize; ++other)
        lanes[other] = reinterpret_cast<void*>(values[other]);
      one.act(lanes.data());
    }
    for (int other = 0; other < count; ++other) {
      if (!in_mask(other)) continue;
      Thread& partner = *threads_[first + other];
      partner.state = Thread::kReady;
      switch (kind) {
        case Collective::kSyncWarp:
        case Collective::kTogether:
          break;
        case Collective::kShuffle:
          if (!in_mask(partner.source))
            throw std::runtime_error(prefix() + "thread " + text(partner.index) + " reads lane " +
                                     std::to_string(partner.source) +
                                     ", which its mask does not name, by a shuffle in " +
                                     text(partner.site));
          partner.value = values[partner.source];
          break;
        case Collective::kBallot:
          partner.value = ballot;
          break;
        case Collective::kAny:
          partner.value = ballot != 0;
          break;
        case Collective::kAll:
          partner.value = ballot == mask;
          break;
      }
    }
  }
  return any;
}

bool Device::complete_barrier() {
  const Site site = threads_[0]->site;
  for (int i = 0; i < num_threads_; ++i)
    if (threads_[i]->state != Thread::kAtBlockBarrier || !same(threads_[i]->site, site))
      return false;
  for (int i = 0; i < num_threads_; ++i) threads_[i]->state = Thread::kReady;
  races.block_barrier();
  return true;
}

// Nobody can go on: names the first that waits, and the first that does something else.
void Device::report_deadlock() {
  const Thread* waiting = nullptr;
  for (int i = 0; i < num_threads_ && waiting == nullptr; ++i)
    if (threads_[i]->state != Thread::kFinished) waiting = threads_[i].get();
  std::string message = prefix() + waiting->whereabouts();
  for (int i = 0; i < num_threads_; ++i) {
    const Thread& other = *threads_[i];
    if (other.state == waiting->state && same(other.site, waiting->site) &&
        (other.state == Thread::kAtBlockBarrier || other.mask == waiting->mask))
      continue;
    message += ", but " + other.whereabouts();
    break;
  }
  throw std::runtime_error(message);
}

std::string Device::prefix() const {
  constexpr const char* kOrders[] = {"ascending", "descending", "lockstep", "random"};
  return std::string("CUDA emulator, ") + kernel_name + ", block " + text(block_index) + ", " +
         kOrders[int(order_)] + " order: ";
}

void Device::fail(const std::string& what) {
  if (current_ < 0) throw std::runtime_error(prefix() + what);
  failure_ = prefix() + "thread " + text(current().index) + ": " + what;
  current().fiber.leave();
  __builtin_unreachable();
}

}  // namespace

int lane() { return device().lane(); }

void block_barrier(Site site) {
  device().current().site = site;
  device().wait(Thread::kAtBlockBarrier);
}

uint64_t warp_collective(Collective kind, unsigned mask, uint64_t value, int source, Site site) {
  Thread& thread = device().current();
  thread.kind = kind;
  thread.mask = mask;
  thread.value = value;
  thread.source = source;
  thread.site = site;
  if ((mask >> lane() & 1) == 0)
    fail(std::string(name_of(kind)) + " with a mask that leaves out the caller, in " + text(site));
  device().wait(Thread::kAtCollective);
  return thread.value;
}

void warp_together(const char* name, void* mine, void (*act)(void* const*), Site site) {
  Thread& thread = device().current();
  thread.name = name;
  thread.act = act;
  warp_collective(Collective::kTogether, 0xFFFFFFFFu, reinterpret_cast<uint64_t>(mine), 0, site);
}

void record(const void* address, size_t bytes, Races::Kind kind, const void* code) {
  if (!launching) return;  // host code beside a launch of another thread
  const int thread = device().thread();
  if (thread < 0 || device().current().fiber.holds(address)) return;
  const std::string race = device().races.access(thread, address, bytes, kind, code);
  if (!race.empty()) fail(race);
}

void before_atomic(const void* address, size_t bytes) {
  record(address, bytes, Races::kAtomic, __builtin_return_address(0));
  if (launching && device().interrupts()) device().wait(Thread::kReady);
}

void thread_fence() { device().races.fence(); }

namespace {
void touch(const void* address, size_t bytes, Races::Kind kind) {
  if (bytes > 0 && __asan_region_is_poisoned(const_cast<void*>(address), bytes) != nullptr)
    fail(std::string(kind == Races::kRead ? "reads" : "writes") +
         " memory that is nobody's, by an instruction of the warp or cp.async");
  record(address, bytes, kind, __builtin_return_address(0));
}
}  // namespace

void read_memory(const void* address, size_t bytes) { touch(address, bytes, Races::kRead); }
void write_memory(const void* address, size_t bytes) { touch(address, bytes, Races::kWrite); }

// Both ends of the time in which it may happen are told to the search for races.
void begin_copy(void* to, const void* from, int bytes, int from_bytes) {
  const auto at = reinterpret_cast<uintptr_t>(to), source = reinterpret_cast<uintptr_t>(from);
  if (at % unsigned(bytes) != 0 || source % unsigned(bytes) != 0)
    fail("cp.async of " + std::to_string(bytes) + " bytes between addresses not so aligned");
  read_memory(from, size_t(from_bytes));
  write_memory(to, size_t(bytes));
  device().current().begun.push_back({to, from, size_t(bytes), size_t(from_bytes)});
}

void commit_copies() {
  Thread& thread = device().current();
  thread.in_flight.push_back(std::move(thread.begun));
  thread.begun.clear();
}

void wait_for_copies(int most_left) {
  std::deque<std::vector<Copy>>& groups = device().current().in_flight;
  for (; int(groups.size()) > most_left; groups.pop_front())
    for (const Copy& copy : groups.front()) {
      write_memory(copy.to, copy.bytes);
      std::memset(copy.to, 0, copy.bytes);
      std::memcpy(copy.to, copy.from, copy.from_bytes);
    }
}

void enter_kernel(const char* name, int most_threads, int, int) {
  device().kernel_name = name;
  const int threads = int(block_dim.x * block_dim.y * block_dim.z);
  if (threads > most_threads)
    fail(std::to_string(threads) + " threads, and __launch_bounds__ of " +
         std::to_string(most_threads));
}

void fail(const std::string& what) { device().fail(what); }

void* shared_variable(const void* tag, size_t bytes, size_t alignment) {
  return device().shared.variable(tag, bytes, alignment);
}
void* dynamic_shared() { return device().shared.dynamic(); }

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

// What -fsanitize=thread makes kernels call.
extern "C" {
#define EMULATOR_ACCESS(name, bytes, kind)                                                \
  void __tsan_##name(const void* address) {                                               \
    emulator::record(address, bytes, emulator::Races::kind, __builtin_return_address(0)); \
  }
#define EMULATOR_ACCESSES(bytes)                       \
  EMULATOR_ACCESS(read##bytes, bytes, kRead)           \
  EMULATOR_ACCESS(write##bytes, bytes, kWrite)         \
  EMULATOR_ACCESS(unaligned_read##bytes, bytes, kRead) \
  EMULATOR_ACCESS(unaligned_write##bytes, bytes, kWrite)
EMULATOR_ACCESSES(1)
EMULATOR_ACCESSES(2)
EMULATOR_ACCESSES(4)
EMULATOR_ACCESSES(8)
EMULATOR_ACCESSES(16)
void __tsan_read_range(const void* address, size_t bytes) {
  emulator::record(address, bytes, emulator::Races::kRead, __builtin_return_address(0));
}
void __tsan_write_range(const void* address, size_t bytes) {
  emulator::record(address, bytes, emulator::Races::kWrite, __builtin_return_address(0));
}
void __tsan_init() {}
}

// What Python sets and asks, through ctypes.
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
