#include "fs/kernel/session.h"
#include "src/commands/commands.h"
#include "src/commands/mount_commands.h"
#include "src/mount/mount_command.h"
#include "src/mount/mount_helper.h"

namespace ollamafs {

std::vector<std::unique_ptr<Command>> mount_commands() {
  std::vector<std::unique_ptr<Command>> commands;
  for (const auto& make : {make_mount, make_umount, make_status}) commands.push_back(make());
  return commands;
}

bool is_called_by_mount(const char* program) {
  return is_mount_helper(program);
}

ExitStatus mount_as_asked(int argc, char** argv) {
  return mount_command(helper_arguments(argc, argv));
}

int status_for_mount(ExitStatus status) noexcept {
  return helper_status(status);
}

std::string libfuse_version() {
  return version_of_libfuse();
}

}  // namespace ollamafs
