#pragma once

#include <chrono>
#include <filesystem>
#include <string>

namespace ollamafs {

// What became of a question to a mount.
struct MountAnswer {
  int error = 0;  // errno: ENOTCONN of a dead mount, EACCES of another user's, ETIMEDOUT
  std::string text{};
};

// Asks what is mounted at `place` for an extended attribute, and waits so long at most. Asks from a
// process of its own: who waits for a daemon that hangs cannot be interrupted. For a process with
// one thread.
[[nodiscard]] MountAnswer ask_mount(const std::filesystem::path& place, const char* attribute,
                                    std::chrono::milliseconds patience);

}  // namespace ollamafs
