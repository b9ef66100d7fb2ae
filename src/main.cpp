#include <CLI/App.hpp>
#include <CLI/Config.hpp>
#include <CLI/Formatter.hpp>
#include <algorithm>
#include <cstdio>
#include <exception>
#include <iostream>
#include <string>
#include <string_view>

#include "src/commands/list_command.h"
#include "src/commands/version.h"
#include "src/mount/background.h"
#include "src/mount/mount_command.h"
#include "src/mount/umount_command.h"
#include "src/say/exit_status.h"
#include "store/base/text.h"
#include "store/find/server_process.h"

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

constexpr const char* kEmpty = "may not be empty";

std::string refuse_empty(const std::string& value) {
  return value.empty() ? kEmpty : "";
}

// As find_store understands it. A script's unset variable must not be taken for "find it yourself".
std::string refuse_empty_store(const std::string& value) {
  return trimmed_setting(value).empty() ? kEmpty : "";
}

void add_store(CLI::App& command, std::filesystem::path& store) {
  command.add_option("--store", store, kStoreHelp)->type_name("DIR")->check(refuse_empty_store);
}

void add_mount(CLI::App& app, MountArguments& arguments) {
  CLI::App* mount = app.add_subcommand("mount", "Show the models of a store at MOUNTPOINT");
  mount->add_option("MOUNTPOINT", arguments.mountpoint, "Made if it is missing")
      ->required()
      ->check(refuse_empty)
      ->type_name("");
  add_store(*mount, arguments.store);
  mount->add_flag("-f,--foreground", arguments.foreground, "Stay in the foreground");
  mount->add_flag("-d,--debug", arguments.debug, "Likewise, and log every request");
  mount
      ->add_option("-o", arguments.options,
                   "allow_other, uid=, gid=, follow=DIR, hold=S,\nnonempty, poll=S, verify")
      ->type_name("OPTION,...")
      ->expected(1)
      ->allow_extra_args(false)
      ->multi_option_policy(CLI::MultiOptionPolicy::TakeAll);
}

void add_umount(CLI::App& app, CommandLine& line) {
  CLI::App* umount = app.add_subcommand("umount", "End a mount");
  umount->add_option("MOUNTPOINT", line.umount_mountpoint, "Where it is")
      ->required()
      ->check(refuse_empty)
      ->type_name("");
  umount->add_flag("-l,--lazy", line.umount_lazy, "Even if it is busy: hide it now, end it later");
}

void add_list(CLI::App& app, ListArguments& arguments) {
  CLI::App* list = app.add_subcommand("list", "List the models, and what is wrong with them");
  add_store(*list, arguments.store);
  list->add_option("--follow", arguments.follow, "Where symlinks may lead out of the store")
      ->type_name("DIR")
      ->check(refuse_empty)
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

std::string command_names(CLI::App& app) {
  std::string names;
  for (const CLI::App* command : app.get_subcommands([](const CLI::App*) { return true; })) {
    names += (names.empty() ? "" : ", ") + command->get_name();
  }
  return names;
}

// What is wrong with the first word that is one too many. CLI11 only says that it was not expected;
// what was meant depends on where it stands.
std::string about_unexpected_word(CLI::App& app) {
  const bool in_command = app.remaining().empty() && !app.get_subcommands().empty();
  const CLI::App& place = in_command ? *app.get_subcommands().front() : app;
  const auto words = place.remaining();
  const std::string word = words.empty() ? "" : printable(words.front());
  if (word.starts_with('-')) return "unknown option: " + word;
  if (!in_command) return "there is no command " + word + "; there are: " + command_names(app);
  const bool takes_store = place.get_option_no_throw("--store") != nullptr;
  return "one argument too many for " + place.get_name() + ": " + word +
         (takes_store ? "; a store is given with --store DIR" : "");
}

// --help, --version
int print(const CLI::App& app, const CLI::ParseError& wanted) {
  const int status = app.exit(wanted);
  if (!std::cout.flush()) throw CommandError{"the output could not be written"};
  return status;
}

int parse_and_run(int argc, char** argv) {
  CLI::App app{"The models of an Ollama store, each as a directory and as a tar.", "ollamafs"};
  app.set_version_flag("--version", version_text,
                       "Print the versions of the program and its libraries");
  app.get_formatter()->column_width(28);
  app.require_subcommand(0, 1);  // the next word may be the name of a mount point
  CommandLine line;
  add_mount(app, line.mount);
  add_umount(app, line);
  add_list(app, line.list);
  try {
    app.parse(argc, argv);
  } catch (const CLI::ExtrasError&) {
    return complain(about_unexpected_word(app) + kSeeHelp, ExitStatus::usage);
  } catch (const CLI::ParseError& error) {
    if (error.get_exit_code() == 0) return print(app, error);
    return complain(printable(error.what()) + kSeeHelp, ExitStatus::usage);
  }
  // Asked last, so that a command that does not exist is complained of by name.
  if (app.get_subcommands().empty()) {
    return complain("a subcommand is required: " + command_names(app) + kSeeHelp,
                    ExitStatus::usage);
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
