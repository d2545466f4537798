// One row kernel, compiled once per instruction set and chosen at run time.
//
// The sources named *_rows.cpp are those kernels. They see plain pointers and define no weak symbol
// (no std:: containers, no shared inline functions): the linker keeps one copy of a weak symbol,
// and the copy with AVX-512 in it would then serve every processor.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <type_traits>

namespace atjt::cpu {

// Levels of the x86-64 psABI; any other processor has the baseline only. From slow to fast.
enum class Isa { baseline, x86_64_v3, x86_64_v4 };
constexpr const char* kIsaNames[] = {"baseline", "x86_64_v3", "x86_64_v4"};

int num_compiled_isas();
Isa current_isa();

// For tests: the named level from now on, or "auto" for the best. False if it is not compiled in,
// or this processor lacks it.
bool use_isa(const char* name);

template <Isa isa>
using IsaConstant = std::integral_constant<Isa, isa>;

// f(IsaConstant<isa>{}) for the current level.
template <class F>
auto with_current_isa(const F& f) {
#if ATJT_X86_LEVELS
  if (current_isa() == Isa::x86_64_v4) return f(IsaConstant<Isa::x86_64_v4>{});
  if (current_isa() == Isa::x86_64_v3) return f(IsaConstant<Isa::x86_64_v3>{});
#endif
  return f(IsaConstant<Isa::baseline>{});
}

}  // namespace atjt::cpu
