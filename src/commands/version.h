#pragma once

#include <string>

namespace ollamafs {

// What --version prints: the program's version, then those of the libraries that it runs with.
[[nodiscard]] std::string version_text();

}  // namespace ollamafs
