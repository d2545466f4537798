// How an op enters the Python module: binding.cpp of its folder holds `const Op op([](auto& m)
// {...});` and nobody names it elsewhere. SPDX-License-Identifier: Apache-2.0
#pragma once

#include <pybind11/pybind11.h>

namespace atjt {

// A list of all ops that links its nodes before main, hence without memory of its own: the order in
// which sources are initialised is open.
class Op {
 public:
  using Bind = void (*)(pybind11::module_& module);

  explicit Op(Bind bind) : bind_(bind), next_(first_) { first_ = this; }
  Op(const Op&) = delete;
  Op& operator=(const Op&) = delete;

  static void bind_all(pybind11::module_& module) {
    for (const Op* op = first_; op != nullptr; op = op->next_) op->bind_(module);
  }

 private:
  Bind bind_;
  const Op* next_;
  inline static const Op* first_ = nullptr;
};

}  // namespace atjt
