#include <fmt/format.h>

#include <CLI/App.hpp>
#include <CLI/Config.hpp>
#include <CLI/Formatter.hpp>
#include <algorithm>
#include <array>
#include <cstdio>
#include <ctime>
#include <iterator>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>

#include "src/commands/commands.h"
#include "src/commands/common_options.h"
#include "src/say/exit_status.h"
#include "src/say/human.h"
#include "src/say/output.h"
#include "src/store/store_arguments.h"
#include "store/base/text.h"
#include "store/blobs/present_blobs.h"
#include "store/catalog/catalog.h"
#include "store/catalog/model_config.h"
#include "store/catalog/nested_store.h"
#include "store/upkeep/blob_folder.h"

namespace ollamafs {
namespace {

// A model with what its config adds to a list.
struct Listed {
  const Model* model;
  std::string remote_model;  // of a cloud model
};

std::vector<Listed> newest_first(const StoreDir& store, const Catalog& catalog) {
  std::vector<Listed> listed;
  for (const Model& model : catalog.models()) {
    const auto config = read_config(store, model);
    listed.push_back({&model, config ? config->remote_model : std::string{}});
  }
  std::ranges::stable_sort(listed, std::ranges::greater{},
                           [](const Listed& entry) { return entry.model->mtime; });
  return listed;
}

// ---- for people ----

using Row = std::array<std::string, 5>;

Row row_of(const Listed& entry, std::int64_t now) {
  const Model& model = *entry.model;
  const bool sized = entry.remote_model.empty() && !model.manifest->bytes.empty();
  return {model.shown, model.manifest->digest.id(),
          sized ? human_size(model.manifest->listed_size) : "-",
          model.mtime == 0 ? "Never" : human_time(model.mtime, now), model.whole() ? "" : "broken"};
}

void print_table(const std::vector<Row>& rows) {
  constexpr std::size_t gap = 4;
  std::array<std::size_t, std::tuple_size_v<Row>> widths{};
  for (const Row& row : rows) {
    for (std::size_t i = 0; i < row.size(); ++i) widths[i] = std::max(widths[i], row[i].size());
  }
  for (const Row& row : rows) {
    std::string line;
    for (std::size_t i = 0; i < row.size(); ++i)
      line += fmt::format("{:<{}}", row[i], widths[i] + gap);
    line.erase(line.find_last_not_of(' ') + 1);
    fmt::print("{}\n", line);
  }
}

void print_faults(const Catalog& catalog) {
  constexpr std::size_t most = 3;
  std::string_view heading = "\nBroken models, which cannot be copied:\n";
  for (const Model& model : catalog.models()) {
    if (model.whole()) continue;
    fmt::print("{}", heading);
    heading = "";
    for (std::size_t i = 0; i < std::min(most, model.faults.size()); ++i) {
      fmt::print("  {}: {}\n", model.shown, model.faults[i].text);
    }
    if (model.faults.size() > most) {
      fmt::print("  {}: and {} more\n", model.shown, model.faults.size() - most);
    }
  }
}

// Entries of blobs/ that Ollama does not find or does not know.
std::vector<Problem> strays_in_blobs(const StoreDir& store, const Catalog& catalog) try {
  std::vector<Problem> strays;
  for (const BlobEntry& entry : list_blob_folder(store)) {
    std::string text;
    if (entry.name == "blobs") continue;  // a nested store
    const auto named = Digest::parse(entry.name);
    if (named && catalog.blob_index(*named)) continue;  // its models say what is wrong
    if (entry.kind == BlobEntryKind::foreign || entry.kind == BlobEntryKind::folder) {
      text = "is no blob: its name is not that of a digest";
    } else if (entry.kind == BlobEntryKind::blob && entry.path() != entry.digest->blob_path() &&
               entry.path() != entry.digest->old_blob_path()) {
      text = "has a wrong name for a blob: Ollama looks for " + entry.digest->blob_name();
    }
    if (!text.empty()) strays.push_back({ProblemKind::bad_name, entry.digest, entry.path(), text});
  }
  return strays;
} catch (
    const std::system_error&) {  // models can be had where blobs/ may be entered and not listed
  return {};
}

// What is found in the store beside its models.
std::vector<Problem> problems_of(const StoreDir& store, const Catalog& catalog) {
  std::vector<Problem> problems{catalog.problems().begin(), catalog.problems().end()};
  std::ranges::move(nested_stores(store), std::back_inserter(problems));
  std::ranges::move(strays_in_blobs(store, catalog), std::back_inserter(problems));
  std::ranges::stable_sort(problems, {}, &Problem::path);
  return problems;
}

void print_problems(const std::vector<Problem>& problems) {
  if (problems.empty()) return;
  fmt::print("\nFound in the store:\n");
  for (const Problem& problem : problems) {
    fmt::print("  {} {}\n", printable(problem.path), problem.text);
  }
}

void print_text(const std::vector<Listed>& listed, const Catalog& catalog,
                const std::vector<Problem>& problems) {
  const bool any_broken = !std::ranges::all_of(catalog.models(), &Model::whole);
  std::vector<Row> rows{{"NAME", "ID", "SIZE", "MODIFIED", any_broken ? "STATE" : ""}};
  const std::int64_t now = std::time(nullptr);
  for (const Listed& entry : listed) rows.push_back(row_of(entry, now));
  print_table(rows);
  print_faults(catalog);
  print_problems(problems);
}

// ---- for machines ----

std::vector<std::string> texts_of(const Faults& faults) {
  std::vector<std::string> texts;
  for (const Fault& fault : faults) texts.push_back(fault.text);
  return texts;
}

nlohmann::ordered_json json_of(const Listed& entry) {
  const Model& model = *entry.model;
  nlohmann::ordered_json json = {
      {"name", model.shown},
      {"id", model.manifest->digest.id()},
      {"digest", model.manifest->digest.to_string()},
      {"size", model.manifest->listed_size},
      {"modified", utc_time(model.mtime)},
      {"state", model.whole() ? "whole" : "broken"},
      {"faults", texts_of(model.faults)},
      {"view_name", model.view_name},
  };
  if (!entry.remote_model.empty()) json["remote_model"] = entry.remote_model;
  return json;
}

nlohmann::ordered_json json_of(const std::vector<Listed>& listed, const StoreDir& store,
                               const std::vector<Problem>& problems) {
  auto models = nlohmann::ordered_json::array();
  for (const Listed& entry : listed) models.push_back(json_of(entry));
  auto found = nlohmann::ordered_json::array();
  for (const Problem& problem : problems) {
    found.push_back({{"path", problem.path}, {"reason", problem.text}});
  }
  return {{"store", store.path().string()}, {"models", models}, {"problems", found}};
}

// ---- what the store has, for `export --have` ----

void print_blobs(const StoreDir& store) {
  std::error_code ec;
  const auto blobs = present_blobs(store, ec);
  if (ec) {
    throw CommandError{
        fmt::format("{}: {}", printable((store.path() / "blobs").native()), ec.message())};
  }
  for (const auto& [digest, size] : blobs) fmt::print("{}\n", digest.blob_name());
}

// ---- the command ----

class List final : public Command {
 public:
  List() : Command{"list", "List the models, and what is wrong with them"} {}

  void add_options(CLI::App& app) override {
    add_store_arguments(app, arguments_);
    add_json(app, json_);
    app.add_flag("--blobs", blobs_, "Print the digests of all blobs instead")->excludes("--json");
  }

  ExitStatus run() override {
    std::vector<std::string> words{"list"};
    if (json_) words.emplace_back("--json");
    if (blobs_) words.emplace_back("--blobs");
    const ChosenStore store = open_store(arguments_, words);
    if (blobs_) {
      print_blobs(store.dir);
      return flushed();
    }
    const auto catalog = Catalog::read(store.dir);
    if (catalog->is_gone()) {
      throw CommandError{fmt::format("the store {} is gone: a folder in it is a link that leads "
                                     "nowhere; is its disk mounted?",
                                     printable(store.dir.path().string())),
                         ExitStatus::no_store};
    }
    const std::vector<Listed> listed = newest_first(store.dir, *catalog);
    const std::vector<Problem> problems = problems_of(store.dir, *catalog);
    if (json_) {
      print_json(json_of(listed, store.dir, problems));
    } else {
      if (!store.choice.others.empty()) fmt::print(stderr, "ollamafs: {}\n", store.choice.reason);
      for (const std::string& note : store.choice.notes) fmt::print(stderr, "ollamafs: {}\n", note);
      if (catalog->models().empty())
        fmt::print(stderr, "ollamafs: {} has no models yet\n",
                   printable(store.dir.path().string()));
      print_text(listed, *catalog, problems);
    }
    return flushed();
  }

 private:
  static ExitStatus flushed() {
    end_output("the list could not be written");
    return ExitStatus::ok;
  }

  StoreArguments arguments_;
  bool json_ = false;
  bool blobs_ = false;
};

}  // namespace

std::unique_ptr<Command> make_list() {
  return std::make_unique<List>();
}

}  // namespace ollamafs
