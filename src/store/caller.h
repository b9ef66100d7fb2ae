#pragma once

// Room src/store: The store that a command is about, chosen and opened, with advice where that
// fails.

#include <sys/types.h>

#include <optional>
#include <string>

namespace ollamafs {

// The user who called sudo, when the command runs as root by it (sudo(8): SUDO_UID, SUDO_GID).
struct SudoCaller {
  uid_t uid;
  gid_t gid;
  std::string name;
};

// Nothing if the command was not run by sudo, or by root's own.
[[nodiscard]] std::optional<SudoCaller> sudo_caller();

// The name of the user who runs the command; its number if it has no name.
[[nodiscard]] std::string caller_name();

}  // namespace ollamafs
