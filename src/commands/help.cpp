#include <fmt/format.h>

#include <CLI/App.hpp>
#include <CLI/Config.hpp>
#include <CLI/Formatter.hpp>
#include <string>

#include "src/commands/commands.h"
#include "src/say/output.h"
#include "store/base/text.h"

namespace ollamafs {
namespace {

class Help final : public Command {
 public:
  Help() : Command{"help", "Print the help of a command"} {}

  void add_options(CLI::App& app) override {
    program_ = app.get_parent();
    app.add_option("COMMAND", about_, "Which (default: the program)")->type_name("");
  }

  ExitStatus run() override {
    const CLI::App& wanted = about_.empty() ? *program_ : command();
    const std::string name = program_->get_name() + (about_.empty() ? "" : " " + about_);
    fmt::print("{}",
               program_->get_formatter()->make_help(&wanted, name, CLI::AppFormatMode::Normal));
    end_output();
    return ExitStatus::ok;
  }

 private:
  [[nodiscard]] const CLI::App& command() const {
    for (const CLI::App* app : program_->get_subcommands([](const CLI::App*) { return true; })) {
      if (app->get_name() == about_) return *app;
    }
    throw CommandError{
        fmt::format("there is no command {}; see `ollamafs --help`", printable(about_)),
        ExitStatus::usage};
  }

  const CLI::App* program_ = nullptr;
  std::string about_;
};

}  // namespace

std::unique_ptr<Command> make_help() {
  return std::make_unique<Help>();
}

}  // namespace ollamafs
