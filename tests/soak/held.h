#pragma once

#include <sys/types.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>

#include "tests/mounted/mount.h"

namespace ollamafs::test {

// What a daemon holds.
struct Held {
  long memory = 0;  // KiB of its own
  long descriptors = 0;
};

inline Held held_by(pid_t process) {
  const std::filesystem::path proc = "/proc/" + std::to_string(process);
  Held held;
  std::ifstream status{proc / "status"};
  for (std::string line; std::getline(status, line);) {
    if (line.starts_with("RssAnon:")) held.memory = std::stol(line.substr(8));
  }
  held.descriptors = std::distance(std::filesystem::directory_iterator{proc / "fd"},
                                   std::filesystem::directory_iterator{});
  return held;
}

// A mount with that option, of a daemon that gives back what it is done with: AddressSanitizer
// keeps what was freed, so that its use is found out.
inline Mount::Options with_little_kept(const char* option) {
  const char* const before = std::getenv("ASAN_OPTIONS");
  const std::string options = std::string{before ? before : ""} + ":quarantine_size_mb=1";
  return {.arguments = {"-o", option}, .run = {.environment = {{"ASAN_OPTIONS", options}}}};
}

#ifdef OLLAMAFS_SANITIZED
constexpr long kGrowth = 64 << 10;  // KiB: what the sanitizers note about memory and threads
#else
constexpr long kGrowth = 8 << 10;  // a thread or two may begin late, with 1.5 MiB each
#endif

}  // namespace ollamafs::test
