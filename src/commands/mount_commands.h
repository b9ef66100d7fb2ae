#pragma once

#include <memory>
#include <string>
#include <vector>

#include "src/commands/command.h"

namespace ollamafs {

// What needs FUSE, in one of two files: with_fuse.cpp, or without_fuse.cpp in a build without it.

// The commands that need FUSE. Without it the same, hidden, and they say why they are not there.
[[nodiscard]] std::vector<std::unique_ptr<Command>> mount_commands();

// mount(8) calls the program by a link of the name mount.ollamafs (src/mount/mount_helper.h):
// whether it did, which in a build without FUSE is never so; what it asks for; and an exit status
// as it has it.
[[nodiscard]] bool is_called_by_mount(const char* program);
[[nodiscard]] ExitStatus mount_as_asked(int argc, char** argv);
[[nodiscard]] int status_for_mount(ExitStatus status) noexcept;

// The version of libfuse, for version_text().
[[nodiscard]] std::string libfuse_version();

}  // namespace ollamafs
