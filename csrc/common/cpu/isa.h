// One row kernel, compiled once per instruction set and chosen at run time.
//
// Sources named *_rows.cpp are such kernels. They take plain pointers and define no weak symbol
// that two instruction sets share (no std:: containers, no shared inline functions): the linker
// would keep one copy, and the copy with AVX-512 would then serve every processor.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <type_traits>

namespace atjt::cpu {

// Levels of the x86-64 psABI, from slow to fast. Other processors have the baseline only.
enum class Isa { baseline, x86_64_v3, x86_64_v4 };
constexpr const char* kIsaNames[] = {"baseline", "x86_64_v3", "x86_64_v4"};

int num_compiled_isas();
Isa current_isa();

// For tests: use the named level from now on, or the best one for "auto". False if the level is not
// compiled or the processor lacks it.
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
