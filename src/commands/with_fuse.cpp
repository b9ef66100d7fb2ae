#include "fs/kernel/session.h"
#include "src/commands/commands.h"
#include "src/commands/mount_commands.h"

namespace ollamafs {

std::vector<std::unique_ptr<Command>> mount_commands() {
  std::vector<std::unique_ptr<Command>> commands;
  for (const auto& make : {make_mount, make_umount}) commands.push_back(make());
  return commands;
}

std::string libfuse_version() {
  return version_of_libfuse();
}

}  // namespace ollamafs
