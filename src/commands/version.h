#pragma once

#include <string>

namespace ollamafs {

// What --version prints: the program's version, then those of the libraries that it runs with.
// `libfuse` is that of the library which only a mount needs.
[[nodiscard]] std::string version_text(const std::string& libfuse);

}  // namespace ollamafs
