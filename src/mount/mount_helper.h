#pragma once

#include <filesystem>

#include "src/mount/mount_command.h"
#include "src/say/exit_status.h"

namespace ollamafs {

// mount(8), fstab and autofs mount a file system that the kernel does not know by a program beside
// it, /sbin/mount.TYPE. This one is a link to `ollamafs`.

// Whether the program was called by the name of that link: mount.ollamafs, or mount.fuse.ollamafs.
[[nodiscard]] bool is_mount_helper(const std::filesystem::path& program);

// What mount(8) asks for: mount.ollamafs STORE DIR [-sfnv] [-N NAMESPACE] [-o OPTIONS] [-t TYPE];
// the STORE "auto" is found. `words` begin with the program's own name, as those of main(), and may
// be put into another order. Throws CommandError with ExitStatus::usage.
[[nodiscard]] MountArguments helper_arguments(int count, char** words);

// An exit status as mount(8) has it.
[[nodiscard]] int helper_status(ExitStatus status) noexcept;

}  // namespace ollamafs
