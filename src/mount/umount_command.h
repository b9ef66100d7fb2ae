#pragma once

#include <filesystem>

#include "src/say/exit_status.h"

namespace ollamafs {

// `ollamafs umount`. With `lazy` the mount goes out of sight at once, what is open can be read to
// its end. Throws CommandError: it is no mount of ollamafs, is busy, or belongs to another user.
ExitStatus umount_command(const std::filesystem::path& mountpoint, bool lazy);

}  // namespace ollamafs
