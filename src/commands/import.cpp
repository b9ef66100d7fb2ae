#include <fmt/format.h>
#include <unistd.h>

#include <CLI/App.hpp>
#include <CLI/Config.hpp>
#include <CLI/Formatter.hpp>
#include <cerrno>
#include <cstdio>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <system_error>
#include <vector>

#include "src/commands/commands.h"
#include "src/commands/common_options.h"
#include "src/commands/transfer_status.h"
#include "src/say/exit_status.h"
#include "src/say/interrupt.h"
#include "src/say/output.h"
#include "src/say/progress.h"
#include "src/store/import_store.h"
#include "src/store/open_store.h"
#include "store/base/progress.h"
#include "store/base/text.h"
#include "store/transfer/importer.h"
#include "store/transfer/open_sources.h"
#include "store/transfer/transfer_error.h"

namespace ollamafs {
namespace {

namespace fs = std::filesystem;

std::string_view state_of(const ImportedModel& model) {
  switch (model.state) {
    case ImportedModel::State::added:
      return "added";
    case ImportedModel::State::replaced:
      return "replaced";
    case ImportedModel::State::there:
      return "there";
  }
  return "";
}

// ---- for people ----

void print_text(const ImportResult& result) {
  for (const ImportedModel& model : result.models) {
    fmt::print("{} {}\n", model.name.display(), model.digest.id());
  }
}

void print_notes(const ImportResult& result) {
  for (const ImportedModel& model : result.models) {
    if (model.state == ImportedModel::State::there) {
      fmt::print(stderr, "ollamafs: {} was there already\n", model.name.display());
    } else if (!model.note.empty()) {
      fmt::print(stderr, "ollamafs: {}: {}\n", model.name.display(), model.note);
    }
  }
}

void print_plan(const ImportResult& result, const fs::path& store) {
  fmt::print(stderr, "ollamafs: would write {} blobs of {} bytes to {}; {} are there\n",
             result.blobs_written, result.bytes_written, printable(store.string()),
             result.blobs_there);
}

// ---- for machines ----

nlohmann::ordered_json json_of(const ImportResult& result, const fs::path& store, bool dry_run) {
  auto models = nlohmann::ordered_json::array();
  for (const ImportedModel& model : result.models) {
    nlohmann::ordered_json json = {{"name", model.name.display()},
                                   {"id", model.digest.id()},
                                   {"digest", model.digest.to_string()},
                                   {"state", state_of(model)}};
    if (!model.note.empty()) json["note"] = model.note;
    models.push_back(std::move(json));
  }
  return {{"store", store.string()},
          {"dry_run", dry_run},
          {"blobs_written", result.blobs_written},
          {"bytes_written", result.bytes_written},
          {"blobs_there", result.blobs_there},
          {"models", models}};
}

// ---- the command ----

class Import final : public Command {
 public:
  Import() : Command{"import", "Take models from an archive or a folder into a store"} {}

  void add_options(CLI::App& app) override {
    app.add_option("SOURCE", sources_, "Archives, directories, parts of one; - for a pipe")
        ->required()
        ->type_name("");
    add_store(app, store_);
    app.add_option("--name", name_, "Call the model NAME")->type_name("NAME");
    app.add_flag("--replace", options_.replace, "Also where another model has the name");
    app.add_flag("--trust-existing", options_.trust_existing,
                 "Do not read blobs again that are there");
    app.add_flag("--dry-run", options_.dry_run, "Only say what would be done");
    add_json(app, json_);
    add_quiet(app, quiet_, "Print nothing but errors");
  }

  ExitStatus run() override {
    if (!name_.empty()) options_.name = typed_name();
    const StoreChoice store = choose_store_to_fill(store_, words());
    refuse_own_mount(sources_, store.taken.path);
    const ImportResult result = import(store.taken.path);
    if (json_) {
      print_json(json_of(result, store.taken.path, options_.dry_run));
    } else if (!quiet_) {
      if (!store.others.empty()) fmt::print(stderr, "ollamafs: {}\n", store.reason);
      if (options_.dry_run) print_plan(result, store.taken.path);
      print_notes(result);
      print_text(result);
    }
    end_output("the models could not be printed");
    return ExitStatus::ok;
  }

 private:
  // As the view writes it as well.
  [[nodiscard]] ModelName typed_name() const {
    std::string typed = name_;
    if (const auto plus = typed.rfind('+'); plus != typed.npos) typed[plus] = ':';
    const auto name = ModelName::parse(typed);
    if (!name) {
      throw CommandError{fmt::format("--name {} is no name of a model", printable(name_)),
                         ExitStatus::usage};
    }
    return *name;
  }

  [[nodiscard]] std::vector<std::string> words() const {
    std::vector<std::string> words{"import"};
    for (const fs::path& source : sources_) words.push_back(source.string());
    if (!name_.empty()) words.insert(words.end(), {"--name", name_});
    if (options_.replace) words.emplace_back("--replace");
    if (options_.trust_existing) words.emplace_back("--trust-existing");
    if (options_.dry_run) words.emplace_back("--dry-run");
    if (json_) words.emplace_back("--json");
    if (quiet_) words.emplace_back("--quiet");
    return words;
  }

  [[nodiscard]] ImportResult import(const fs::path& store) const try {
    const InterruptGuard guard;
    const auto progress = make_progress(quiet_ || json_);
    // As root, a link in somebody's folder must not make us read whatever it leads to.
    const OutsideLinks links = ::geteuid() == 0 ? OutsideLinks::refuse : OutsideLinks::follow;
    return import_models(open_sources(sources_, links, *progress), store, options_, *progress);
  } catch (const TransferError& error) {
    throw command_error(error);
  } catch (const Interrupted&) {
    throw CommandError{
        "interrupted; the store is as it was, or has some more blobs that are right: the same "
        "command goes on from there",
        ExitStatus::interrupted};
  } catch (const std::system_error& error) {
    throw CommandError{fmt::format("{}{}", error.what(), advice(error.code(), store))};
  }

  [[nodiscard]] std::string advice(const std::error_code& ec, const fs::path& store) const {
    if (ec != std::errc::permission_denied && ec != std::errc::operation_not_permitted) return {};
    if (::geteuid() == 0) return {};
    return fmt::format(
        "\nanother user owns it; as root, `{}` works, and what it writes belongs to "
        "the store's owner",
        as_root(words(), store));
  }

  std::vector<fs::path> sources_;
  fs::path store_;
  std::string name_;
  ImportOptions options_;
  bool json_ = false;
  bool quiet_ = false;
};

}  // namespace

std::unique_ptr<Command> make_import() {
  return std::make_unique<Import>();
}

}  // namespace ollamafs
