#pragma once

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <string_view>

#include "store/base/text.h"

// Ends the program if `condition` does not hold, in every build: the fuzzer takes that for a crash
// and keeps the input.
#define OLLAMAFS_CHECK(condition) OLLAMAFS_CHECK_FOR(condition, std::string_view{})

// The same, and says what it was about.
#define OLLAMAFS_CHECK_FOR(condition, about) \
  ((condition) ? static_cast<void>(0)        \
               : ::ollamafs::test::check_failed(#condition, __FILE__, __LINE__, (about)))

namespace ollamafs::test {

[[noreturn]] inline void check_failed(const char* condition, const char* file, int line,
                                      std::string_view about) {
  std::fprintf(stderr, "%s:%d: does not hold: %s\n", file, line, condition);
  if (!about.empty()) std::fprintf(stderr, "  for %s\n", printable(about).c_str());
  std::abort();
}

// What the fuzzer gives, as text.
inline std::string_view as_text(const std::uint8_t* data, std::size_t size) noexcept {
  return {reinterpret_cast<const char*>(data), size};
}

// Whether `text` can be printed as it is, in one line. Not the same as printable(text) == text,
// which doubles backslashes.
inline bool is_one_printable_line(std::string_view text) {
  std::string without_backslashes{text};
  for (char& c : without_backslashes) {
    if (c == '\\') c = '/';
  }
  return printable(without_backslashes) == without_backslashes;
}

}  // namespace ollamafs::test

// What every target defines; libFuzzer or replay.cpp calls it.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size);
