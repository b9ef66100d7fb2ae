#include "src/commands/completion.h"

#include <fmt/format.h>

#include <CLI/App.hpp>
#include <CLI/Config.hpp>
#include <CLI/Formatter.hpp>
#include <algorithm>
#include <cstdint>
#include <set>
#include <string_view>
#include <utility>

#include "src/commands/completed_values.h"
#include "src/say/output.h"
#include "src/store/store_arguments.h"

namespace ollamafs {
namespace {

using Words = std::vector<std::string>;

// ---- what the description says ----

bool is_shown(const CLI::App* command) {
  return !command->get_group().empty();
}

const CLI::App* find_command(const CLI::App& app, const std::string& name) {
  for (const CLI::App* command : app.get_subcommands([](const CLI::App*) { return true; })) {
    if (command->get_name() == name) return command;
  }
  return nullptr;
}

bool takes_value(const CLI::Option& option) {
  return option.get_items_expected_max() > 0;
}

bool may_be_repeated(const CLI::Option& option) {
  return option.get_multi_option_policy() == CLI::MultiOptionPolicy::TakeAll;
}

// As it is typed; the long name if there is one. Nothing for an argument that is no option.
std::string spelling_of(const CLI::Option& option) {
  if (!option.get_lnames().empty()) return "--" + option.get_lnames().front();
  if (!option.get_snames().empty()) return "-" + option.get_snames().front();
  return {};
}

// By "--name", "--name=value", "-n" or "-nvalue".
const CLI::Option* find_option(const CLI::App& command, std::string_view word) {
  const bool is_long = word.starts_with("--");
  const std::string name{is_long ? word.substr(2, word.find('=') - 2) : word.substr(1, 1)};
  for (const CLI::Option* option : command.get_options()) {
    const auto& names = is_long ? option->get_lnames() : option->get_snames();
    if (std::ranges::find(names, name) != names.end()) return option;
  }
  return nullptr;
}

// Where the value begins that an option has in its own word, as in "--name=value"; else npos.
std::size_t value_in(std::string_view word, const CLI::Option& option) {
  if (!takes_value(option)) return word.npos;
  if (!word.starts_with("--")) return word.size() > 2 ? 2 : word.npos;
  const auto equals = word.find('=');
  return equals == word.npos ? equals : equals + 1;
}

// ---- the words before the one that was begun ----

class CommandLine {
 public:
  CommandLine(const CLI::App& command, Words::const_iterator begin, Words::const_iterator end)
      : command_{&command} {
    for (auto word = begin; word != end; ++word) take(*word);
  }

  [[nodiscard]] const CLI::App& command() const { return *command_; }
  [[nodiscard]] bool takes_options() const { return takes_options_; }
  [[nodiscard]] const StoreArguments& store() const { return store_; }

  // The option whose value comes next, or null.
  [[nodiscard]] const CLI::Option* waiting() const { return waiting_; }

  // The argument that is no option and comes next, or null.
  [[nodiscard]] const CLI::Option* argument() const {
    std::int64_t left = arguments_;
    for (const CLI::Option* option : command_->get_options()) {
      if (!option->get_positional()) continue;
      left -= option->get_items_expected_max();
      if (left < 0) return option;
    }
    return nullptr;
  }

  [[nodiscard]] bool may_follow(const CLI::Option& option) const {
    return !spelling_of(option).empty() && !option.get_group().empty() &&
           (may_be_repeated(option) || !given_.contains(&option));
  }

 private:
  void take(const std::string& word) {
    if (waiting_ != nullptr) return take_value(*std::exchange(waiting_, nullptr), word);
    if (!takes_options_ || word.size() < 2 || word.front() != '-') {
      ++arguments_;
    } else if (word == "--") {
      takes_options_ = false;
    } else if (const CLI::Option* const option = find_option(*command_, word)) {
      given_.insert(option);
      const std::size_t value = value_in(word, *option);
      if (value != word.npos) return take_value(*option, word.substr(value));
      if (takes_value(*option)) waiting_ = option;
    }
  }

  void take_value(const CLI::Option& option, const std::string& value) {
    if (spelling_of(option) == "--store") store_.store = with_home(value);
    if (spelling_of(option) == "--follow") store_.follow.emplace_back(with_home(value));
  }

  const CLI::App* command_;
  const CLI::Option* waiting_ = nullptr;
  bool takes_options_ = true;
  std::int64_t arguments_ = 0;
  std::set<const CLI::Option*> given_;
  StoreArguments store_;
};

// ---- what may come next ----

std::string first_line(const std::string& text) {
  return text.substr(0, text.find('\n'));
}

void offer(Completion& completion, std::string_view typed, std::string text,
           std::string help = {}) {
  if (text.starts_with(typed)) completion.words.push_back({std::move(text), std::move(help)});
}

void offer_commands(Completion& completion, const CLI::App& app, std::string_view typed) {
  for (const CLI::App* command : app.get_subcommands(is_shown))
    offer(completion, typed, command->get_name(), command->get_description());
}

void offer_options(Completion& completion, const CommandLine& line, std::string_view typed) {
  for (const CLI::Option* option : line.command().get_options()) {
    if (!line.may_follow(*option)) continue;
    offer(completion, typed, spelling_of(*option), first_line(option->get_description()));
  }
}

// The value of an option, or an argument. `before` is what stands before it in the same word.
void offer_values(Completion& completion, const CLI::App& app, const CommandLine& line,
                  const CLI::Option& option, std::string_view before, std::string_view typed) {
  const std::string type = option.get_positional() ? option.get_name(true) : option.get_type_name();
  const std::string kind = type.substr(0, type.find_first_of(":|,"));
  const bool mounts = kind == "MOUNTPOINT" && line.command().get_name() != "mount";
  Words values;
  if (kind == "MODEL") {
    values = completed_models(line.store(), typed);
  } else if (mounts) {
    values = completed_mounts(typed);
  } else if (kind == "OPTION") {
    values = completed_list(option.get_description(), typed);
  } else if (kind == "COMMAND") {
    offer_commands(completion, app, typed);
  } else if (const auto set = type.find(":{"); set != type.npos) {
    values = completed_choice(type.substr(set + 2, type.find('}') - set - 2), typed);
  } else if (kind == "DIR" || kind == "MOUNTPOINT") {
    completion.paths =
        type.find("LIST") == type.npos ? Completion::Paths::directories : Completion::Paths::files;
  } else if (kind == "FILE" || kind == "SOURCE") {
    completion.paths = Completion::Paths::files;
  }
  for (const std::string& value : values) completion.words.push_back({std::string{before} + value});
  completion.before_path = before;
}

}  // namespace

Completion complete(const CLI::App& app, const Words& words) {
  Completion completion;
  if (words.empty()) return completion;
  const std::string& typed = words.back();
  const auto last = words.end() - 1;
  const auto name =
      std::find_if(words.begin(), last, [](const auto& word) { return !word.starts_with('-'); });
  const CLI::App* const command = name == last ? &app : find_command(app, *name);
  if (command == nullptr || (command != &app && !is_shown(command))) return completion;
  const CommandLine line{*command, name == last ? words.begin() : name + 1, last};

  if (const CLI::Option* const option = line.waiting()) {
    offer_values(completion, app, line, *option, "", typed);
  } else if (line.takes_options() && typed.starts_with('-')) {
    const CLI::Option* const begun = typed.size() > 2 ? find_option(*command, typed) : nullptr;
    const std::size_t value = begun == nullptr ? typed.npos : value_in(typed, *begun);
    if (value == typed.npos) {
      offer_options(completion, line, typed);
    } else {
      const std::string_view word = typed;
      offer_values(completion, app, line, *begun, word.substr(0, value), word.substr(value));
    }
  } else if (command == &app) {
    offer_commands(completion, app, typed);
  } else if (const CLI::Option* const argument = line.argument()) {
    offer_values(completion, app, line, *argument, "", typed);
  } else if (line.takes_options()) {
    offer_options(completion, line, typed);
  }
  return completion;
}

void print(const Completion& completion) {
  switch (completion.paths) {
    case Completion::Paths::none:
      fmt::print("words\n");
      break;
    case Completion::Paths::files:
      fmt::print("files {}\n", completion.before_path);
      break;
    case Completion::Paths::directories:
      fmt::print("directories {}\n", completion.before_path);
      break;
  }
  for (const auto& [text, help] : completion.words) {
    fmt::print("{}{}{}\n", text, help.empty() ? "" : "\t", help);
  }
  end_output();
}

}  // namespace ollamafs
