#pragma once

#include <memory>
#include <string>
#include <vector>

#include "src/commands/command.h"

namespace ollamafs {

// What needs FUSE, in one of two files: with_fuse.cpp, or without_fuse.cpp in a build without it.

// The commands that need FUSE. Without it the same, hidden, and they say why they are not there.
[[nodiscard]] std::vector<std::unique_ptr<Command>> mount_commands();

// The version of libfuse, for version_text().
[[nodiscard]] std::string libfuse_version();

}  // namespace ollamafs
