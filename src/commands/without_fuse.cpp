#include <CLI/App.hpp>
#include <CLI/Config.hpp>
#include <CLI/Formatter.hpp>

#include "src/commands/mount_commands.h"

namespace ollamafs {
namespace {

// In the place of a command that this build lacks, whatever its arguments are.
class Missing final : public Command {
 public:
  explicit Missing(const char* name) : Command{name, "Not in this build"} {}

  void add_options(CLI::App& app) override {
    app.group("");
    app.allow_extras();
    app.set_help_flag();
  }

  ExitStatus run() override {
    throw CommandError{"there is no command " + name() +
                           ": this ollamafs was built without FUSE (-DOLLAMAFS_FUSE=OFF)\n"
                           "export, import and the other commands need no mount",
                       ExitStatus::usage};
  }
};

}  // namespace

std::vector<std::unique_ptr<Command>> mount_commands() {
  std::vector<std::unique_ptr<Command>> commands;
  for (const char* name : {"mount", "umount", "status"})
    commands.push_back(std::make_unique<Missing>(name));
  return commands;
}

bool is_called_by_mount(const char*) {
  return false;
}

ExitStatus mount_as_asked(int, char**) {
  return ExitStatus::usage;
}

int status_for_mount(ExitStatus status) noexcept {
  return static_cast<int>(status);
}

std::string libfuse_version() {
  return "none";
}

}  // namespace ollamafs
