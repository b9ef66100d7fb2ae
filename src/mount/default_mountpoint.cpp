#include "src/mount/default_mountpoint.h"

#include <pwd.h>
#include <unistd.h>

#include <cstdlib>
#include <string>

#include "src/say/exit_status.h"
#include "src/store/caller.h"

namespace ollamafs {
namespace {

std::string home_of(uid_t uid) {
  const passwd* entry = ::getpwuid(uid);
  return entry && entry->pw_dir ? entry->pw_dir : "";
}

// By sudo $HOME is root's, or the caller's, as sudoers(5) has it.
std::string home() {
  if (const auto caller = sudo_caller()) return home_of(caller->uid);
  const char* home = std::getenv("HOME");
  return home && *home != '\0' ? home : home_of(::geteuid());
}

}  // namespace

std::filesystem::path default_mountpoint() {
  const std::filesystem::path folder = home();
  if (folder.is_absolute()) return folder / "ollama-view";
  throw CommandError{"this user has no home directory: name a mount point", ExitStatus::usage};
}

}  // namespace ollamafs
