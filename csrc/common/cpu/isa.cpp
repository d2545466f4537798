// SPDX-License-Identifier: Apache-2.0
#include "common/cpu/isa.h"

#include <atomic>
#include <cstring>

namespace atjt::cpu {
namespace {

bool supported(Isa isa) {
#if ATJT_X86_LEVELS
  __builtin_cpu_init();
  // The psABI levels, spelled out: __builtin_cpu_supports("x86-64-v3") needs a newer compiler.
  const bool v3 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") &&
                  __builtin_cpu_supports("bmi") && __builtin_cpu_supports("bmi2") &&
                  __builtin_cpu_supports("popcnt") && __builtin_cpu_supports("f16c") &&
                  __builtin_cpu_supports("lzcnt");
  const bool v4 = v3 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
                  __builtin_cpu_supports("avx512cd") && __builtin_cpu_supports("avx512dq") &&
                  __builtin_cpu_supports("avx512vl");
  if (isa == Isa::x86_64_v4) return v4;
  if (isa == Isa::x86_64_v3) return v3;
#endif
  return isa == Isa::baseline;
}

Isa best_isa() {
  if (supported(Isa::x86_64_v4)) return Isa::x86_64_v4;
  return supported(Isa::x86_64_v3) ? Isa::x86_64_v3 : Isa::baseline;
}

std::atomic<Isa>& chosen() {
  static std::atomic<Isa> isa{best_isa()};
  return isa;
}

}  // namespace

int num_compiled_isas() { return ATJT_X86_LEVELS ? 3 : 1; }

Isa current_isa() { return chosen().load(std::memory_order_relaxed); }

bool use_isa(const char* name) {
  if (std::strcmp(name, "auto") == 0) {
    chosen() = best_isa();
    return true;
  }
  for (int i = 0; i < num_compiled_isas(); ++i) {
    if (std::strcmp(name, kIsaNames[i]) != 0 || !supported(Isa(i))) continue;
    chosen() = Isa(i);
    return true;
  }
  return false;
}

}  // namespace atjt::cpu
