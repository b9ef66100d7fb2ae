#pragma once

#include <filesystem>

namespace ollamafs {

// Whether the mount at `mountpoint` lists itself; opens `file` in it too, unless that is empty, and
// whatever comes of it. Waits for the answers.
//
// Asks from a process of its own that holds nothing of ours. A daemon that waited for its own mount
// could not be killed: its waiting thread would keep open the connection whose end it waits for.
[[nodiscard]] bool mount_answers(const std::filesystem::path& mountpoint,
                                 const std::filesystem::path& file);

}  // namespace ollamafs
