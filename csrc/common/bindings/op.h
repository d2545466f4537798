// How an op enters the Python module: its binding.cpp defines
//   const Op op([](py::module_& m) { m.def(...); });
// and no list names the op.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <pybind11/pybind11.h>

namespace atjt {

// A node of the list of all ops. Nodes link themselves while sources are initialised, in an order
// that C++ leaves open; so the list's head is a constant and needs no initialisation.
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
