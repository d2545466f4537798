// One function per op adds its part to the module.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <pybind11/pybind11.h>

namespace atjt {

void bind_candidate_scores(pybind11::module_& module);
void bind_catalogue_scores(pybind11::module_& module);
void bind_elementary(pybind11::module_& module);
void bind_keyed_draws(pybind11::module_& module);
void bind_linear_cross_entropy(pybind11::module_& module);
void bind_random_replacement(pybind11::module_& module);
void bind_reweighted_binary_cross_entropy(pybind11::module_& module);
void bind_reweighted_cross_entropy(pybind11::module_& module);
void bind_reweighted_gradient(pybind11::module_& module);

}  // namespace atjt
