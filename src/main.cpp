#include <CLI/App.hpp>
#include <CLI/Config.hpp>
#include <CLI/Formatter.hpp>
#include <algorithm>
#include <cstdio>
#include <exception>
#include <iostream>
#include <string>
#include <string_view>

#include "src/commands/commands.h"
#include "src/commands/completion.h"
#include "src/commands/mount_commands.h"
#include "src/commands/version.h"
#include "src/say/exit_status.h"
#include "src/say/standard_files.h"
#include "store/base/progress.h"
#include "store/base/text.h"

namespace {

using namespace ollamafs;

constexpr const char* kSeeHelp = "\nsee `ollamafs --help`";

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
  for (const CLI::App* command :
       app.get_subcommands([](const CLI::App* one) { return !one->get_group().empty(); })) {
    names += (names.empty() ? "" : ", ") + command->get_name();
  }
  return names;
}

// What is wrong with the first word that is one too many. CLI11 only says that it was not expected.
// Here `ollamafs mont` hears which commands there are, and `ollamafs list DIR` that a store is
// given with --store.
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
  const auto commands = all_commands();
  CLI::App app{"The models of an Ollama store, each as a directory and as a tar.", "ollamafs"};
  app.set_version_flag(
      "-V,--version", [] { return version_text(libfuse_version()); },
      "Print the versions of the program and its libraries");
  app.get_formatter()->column_width(28);
  app.require_subcommand(0, 1);  // one at most: in `ollamafs umount list`, "list" is a directory
  for (const auto& command : commands) {
    command->add_options(*app.add_subcommand(command->name(), command->help()));
  }
  if (argc > 1 && std::string_view{argv[1]} == kComplete) {
    ollamafs::print(complete(app, {argv + 2, argv + argc}));
    return static_cast<int>(ExitStatus::ok);
  }
  try {
    app.parse(argc, argv);
  } catch (const CLI::ExtrasError&) {
    return complain(about_unexpected_word(app) + kSeeHelp, ExitStatus::usage);
  } catch (const CLI::ParseError& error) {
    if (error.get_exit_code() == 0) return print(app, error);
    return complain(printable(error.what()) + kSeeHelp, ExitStatus::usage);
  }
  for (const auto& command : commands) {
    if (app.got_subcommand(command->name())) return static_cast<int>(command->run());
  }
  // Not left to CLI11, which asks for a subcommand before it looks at the words: `ollamafs mont
  // DIR` would hear that one is required, not that there is no command "mont".
  return complain("a subcommand is required: " + command_names(app) + kSeeHelp, ExitStatus::usage);
}

// What `work` returns, or the exit status of what it throws, which is said.
template <class Work>
int with_complaints(Work&& work) {
  try {
    return static_cast<int>(work());
  } catch (const CommandError& error) {
    return complain(error.what(), error.status());
  } catch (const Interrupted&) {
    return complain("interrupted", ExitStatus::interrupted);
  } catch (const std::exception& error) {
    return complain(error.what(), ExitStatus::failed);
  }
}

}  // namespace

int main(int argc, char** argv) {
  open_standard_files();
  if (argc < 1 || !is_called_by_mount(argv[0]))
    return with_complaints([&] { return parse_and_run(argc, argv); });
  const int status = with_complaints([&] { return mount_as_asked(argc, argv); });
  return status_for_mount(static_cast<ExitStatus>(status));
}
