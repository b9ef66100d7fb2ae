#pragma once

// Room src/commands: What a person types: one file for each command, and the list of all. None
// needs `fs/`, but for the three below.

#include <string>
#include <utility>

#include "src/say/exit_status.h"

namespace CLI {
class App;
}

namespace ollamafs {

// What the first word behind "ollamafs" stands for: its options, and what it does. Holds the
// arguments that were given to it.
class Command {
 public:
  virtual ~Command() = default;
  Command(const Command&) = delete;
  Command& operator=(const Command&) = delete;

  [[nodiscard]] const std::string& name() const noexcept { return name_; }
  [[nodiscard]] const std::string& help() const noexcept { return help_; }  // one line

  // Adds its arguments and options to `app`, which stands for this command alone. `app` writes what
  // it parses into this object, which must live as long.
  virtual void add_options(CLI::App& app) = 0;

  // Does what the command line says, after it was parsed; called once. Throws CommandError.
  virtual ExitStatus run() = 0;

 protected:
  Command(std::string name, std::string help) : name_{std::move(name)}, help_{std::move(help)} {}

 private:
  std::string name_;
  std::string help_;
};

}  // namespace ollamafs
