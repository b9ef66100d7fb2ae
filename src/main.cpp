#include <CLI/App.hpp>
#include <CLI/Config.hpp>
#include <CLI/Formatter.hpp>
#include <cstdio>
#include <exception>
#include <string>

#include "src/background.h"
#include "src/exit_status.h"
#include "src/list_command.h"
#include "src/mount_command.h"
#include "src/umount_command.h"
#include "src/version.h"

namespace {

using namespace ollamafs;

// What the command line asks for. One of the subcommands was parsed.
struct CommandLine {
  MountArguments mount;
  std::filesystem::path umount_mountpoint;
  bool umount_lazy = false;
  ListArguments list;
};

constexpr const char* kSeeHelp = "\nsee `ollamafs --help`";
constexpr const char* kStoreHelp = "The models folder (default: found)";

void add_mount(CLI::App& app, MountArguments& arguments) {
  CLI::App* mount = app.add_subcommand("mount", "Show the models of a store at MOUNTPOINT");
  mount->add_option("MOUNTPOINT", arguments.mountpoint, "Made if it is missing")
      ->required()
      ->type_name("");
  mount->add_option("--store", arguments.store, kStoreHelp)->type_name("DIR");
  mount->add_flag("-f,--foreground", arguments.foreground, "Stay in the foreground");
  mount->add_flag("-d,--debug", arguments.debug, "Likewise, and log every request");
  mount->add_option("-o", arguments.options, "allow_other, uid=, gid=, follow=DIR, nonempty")
      ->type_name("OPTION,...")
      ->expected(1)
      ->allow_extra_args(false)
      ->multi_option_policy(CLI::MultiOptionPolicy::TakeAll);
}

void add_umount(CLI::App& app, CommandLine& line) {
  CLI::App* umount = app.add_subcommand("umount", "End a mount");
  umount->add_option("MOUNTPOINT", line.umount_mountpoint, "Where it is")
      ->required()
      ->type_name("");
  umount->add_flag("-l,--lazy", line.umount_lazy, "Even if it is busy: hide it now, end it later");
}

void add_list(CLI::App& app, ListArguments& arguments) {
  CLI::App* list = app.add_subcommand("list", "List the models, and what is wrong with them");
  list->add_option("--store", arguments.store, kStoreHelp)->type_name("DIR");
  list->add_option("--follow", arguments.follow, "Where symlinks may lead out of the store")
      ->type_name("DIR")
      ->expected(1)
      ->allow_extra_args(false)
      ->multi_option_policy(CLI::MultiOptionPolicy::TakeAll);
  list->add_flag("--json", arguments.json, "For machines");
}

ExitStatus run(const CLI::App& app, const CommandLine& line) {
  if (app.got_subcommand("mount")) return mount_command(line.mount);
  if (app.got_subcommand("umount")) return umount_command(line.umount_mountpoint, line.umount_lazy);
  return list_command(line.list);
}

// Every line of a message says who speaks.
int complain(const std::string& message, ExitStatus status) {
  std::string prefix = "ollamafs: error: ";
  for (std::size_t at = 0; at <= message.size();) {
    const std::size_t end = std::min(message.find('\n', at), message.size());
    std::fprintf(stderr, "%s%s\n", prefix.c_str(), message.substr(at, end - at).c_str());
    prefix = "ollamafs: ";
    at = end + 1;
  }
  return static_cast<int>(status);
}

int parse_and_run(int argc, char** argv) {
  CLI::App app{"The models of an Ollama store, each as a directory and as a tar.", "ollamafs"};
  app.set_version_flag("--version", version_text,
                       "Print the versions of the program and its libraries");
  app.get_formatter()->column_width(28);
  CommandLine line;
  add_mount(app, line.mount);
  add_umount(app, line);
  add_list(app, line.list);
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    if (error.get_exit_code() == 0) return app.exit(error);  // --help, --version
    return complain(std::string{error.what()} + kSeeHelp, ExitStatus::usage);
  }
  // Asked last, so that a command that does not exist is complained of by name.
  if (app.get_subcommands().empty()) {
    return complain(std::string{"a subcommand is required"} + kSeeHelp, ExitStatus::usage);
  }
  return static_cast<int>(run(app, line));
}

}  // namespace

int main(int argc, char** argv) {
  try {
    open_standard_files();
    return parse_and_run(argc, argv);
  } catch (const CommandError& error) {
    return complain(error.what(), error.status());
  } catch (const std::exception& error) {
    return complain(error.what(), ExitStatus::failed);
  }
}
