#include <CLI/App.hpp>
#include <CLI/Config.hpp>
#include <CLI/Formatter.hpp>

#include "src/commands/commands.h"
#include "src/commands/common_options.h"
#include "src/mount/mount_command.h"

namespace ollamafs {
namespace {

class Mount final : public Command {
 public:
  Mount() : Command{"mount", "Show the models of a store at MOUNTPOINT"} {}

  void add_options(CLI::App& app) override {
    add_mountpoint(app, arguments_.mountpoint, "Made if it is missing (default: ~/ollama-view)");
    add_store(app, arguments_.store);
    app.add_flag("-f,--foreground", arguments_.foreground, "Stay in the foreground");
    app.add_flag("-d,--debug", arguments_.debug, "Likewise, and log every request");
    app.add_option("--log-file", arguments_.log_file, "Write the log to FILE, not to syslog")
        ->type_name("FILE")
        ->check([](const std::string& file) {
          return std::string{file.empty() ? "may not be empty" : ""};
        });
    app.add_option("-o", arguments_.options,
                   "allow_other, allow_root, uid=, gid=, follow=DIR,\nhold=S, nonempty, poll=S, "
                   "split=SIZE, verify,\nviews=VIEW,...")
        ->type_name("OPTION,...")
        ->expected(1)
        ->allow_extra_args(false)
        ->multi_option_policy(CLI::MultiOptionPolicy::TakeAll);
  }

  ExitStatus run() override { return mount_command(arguments_); }

 private:
  MountArguments arguments_;
};

}  // namespace

std::unique_ptr<Command> make_mount() {
  return std::make_unique<Mount>();
}

}  // namespace ollamafs
