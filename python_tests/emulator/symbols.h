// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

namespace emulator {

std::string symbol_at(const void* function);  // readable, or an address

}  // namespace emulator
