// AddressSanitizer's marks on memory; without it, nothing is marked.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>

#if EMULATOR_ASAN
#include <sanitizer/asan_interface.h>
#else
inline void __asan_poison_memory_region(const void*, size_t) {}
inline void __asan_unpoison_memory_region(const void*, size_t) {}
inline void* __asan_region_is_poisoned(void*, size_t) { return nullptr; }
#endif
