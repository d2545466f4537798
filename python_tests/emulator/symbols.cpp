// The name of a function that is not exported: from the symbol table in the module's file.
// SPDX-License-Identifier: Apache-2.0
#include "symbols.h"

#include <cxxabi.h>
#include <dlfcn.h>
#include <elf.h>
#include <link.h>

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <iterator>
#include <vector>

namespace emulator {

std::string symbol_at(const void* function) {
  char address[32];
  std::snprintf(address, sizeof address, "kernel at %p", function);
  Dl_info info = {};
  if (dladdr(function, &info) == 0) return address;
  std::ifstream file(info.dli_fname, std::ios::binary);
  if (!file) file.open("/proc/self/exe", std::ios::binary);
  const std::vector<char> bytes((std::istreambuf_iterator<char>(file)),
                                std::istreambuf_iterator<char>());
  if (bytes.size() < sizeof(ElfW(Ehdr))) return address;
  const auto* header = reinterpret_cast<const ElfW(Ehdr)*>(bytes.data());
  const auto* sections = reinterpret_cast<const ElfW(Shdr)*>(bytes.data() + header->e_shoff);
  const auto offset =
      reinterpret_cast<uintptr_t>(function) - reinterpret_cast<uintptr_t>(info.dli_fbase);
  for (int i = 0; i < header->e_shnum; ++i) {
    if (sections[i].sh_type != SHT_SYMTAB) continue;
    const auto* symbols = reinterpret_cast<const ElfW(Sym)*>(bytes.data() + sections[i].sh_offset);
    const char* const names = bytes.data() + sections[sections[i].sh_link].sh_offset;
    for (size_t s = 0; s < sections[i].sh_size / sizeof *symbols; ++s) {
      if (symbols[s].st_value != offset || (symbols[s].st_info & 0xF) != STT_FUNC) continue;
      const char* const mangled = names + symbols[s].st_name;
      char* const readable = abi::__cxa_demangle(mangled, nullptr, nullptr, nullptr);
      std::string name = readable != nullptr ? readable : mangled;
      std::free(readable);
      return name;
    }
  }
  return address;
}

}  // namespace emulator
