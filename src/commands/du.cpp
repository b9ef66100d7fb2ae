#include <fmt/format.h>

#include <CLI/App.hpp>
#include <CLI/Config.hpp>
#include <CLI/Formatter.hpp>
#include <algorithm>
#include <array>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "src/commands/commands.h"
#include "src/commands/common_options.h"
#include "src/say/exit_status.h"
#include "src/say/human.h"
#include "src/say/output.h"
#include "src/store/named_models.h"
#include "src/store/store_arguments.h"
#include "store/base/text.h"
#include "store/catalog/catalog.h"
#include "store/upkeep/quarantine.h"
#include "store/upkeep/usage.h"

namespace ollamafs {
namespace {

// The models that are weighed: indexes into the catalog's.
using Indexes = std::vector<std::size_t>;

Indexes indexes_of(const Catalog& catalog, const std::vector<std::string>& names) {
  Indexes indexes;
  if (names.empty()) {
    for (std::size_t i = 0; i < catalog.models().size(); ++i) indexes.push_back(i);
  }
  for (const Model* const model : named_models(catalog, names)) {
    indexes.push_back(static_cast<std::size_t>(model - catalog.models().data()));
  }
  return indexes;
}

// ---- for people ----

using Columns = std::array<std::string, 5>;

std::string size_text(std::uint64_t bytes) {
  return human_size(static_cast<std::int64_t>(bytes));
}

Columns columns_of(const std::string& name, const ModelUsage& usage) {
  return {name, size_text(usage.all), size_text(usage.shared), size_text(usage.own),
          size_text(usage.frees)};
}

void print_columns(const std::vector<Columns>& rows) {
  std::size_t width = 0;
  for (const Columns& row : rows) width = std::max(width, row[0].size());
  for (const Columns& row : rows) {
    fmt::print("{:<{}}  {:>9}  {:>9}  {:>9}  {:>9}\n", row[0], width, row[1], row[2], row[3],
               row[4]);
  }
}

void print_rest(const char* what, const EntryUsage& usage) {
  if (usage.count > 0) fmt::print("{}: {} in {}\n", what, size_text(usage.bytes), usage.count);
}

void print_store(const StoreUsage& usage, const QuarantineUsage& quarantine) {
  fmt::print("\nblobs of models: {}\nmanifests: {}\n", size_text(usage.blobs),
             size_text(usage.manifests));
  print_rest("blobs that no manifest names", usage.orphans);
  print_rest("downloads that are not finished", usage.partials);
  print_rest("files that are not Ollama's", usage.foreign);
  print_rest("bad blobs that verify moved to blobs-quarantine",
             {quarantine.files, quarantine.bytes});
  for (const Problem& doubt : usage.doubts) {
    fmt::print("  {} {}: it may name some of these\n", printable(doubt.path), doubt.text);
  }
}

// ---- for machines ----

using Json = nlohmann::ordered_json;

Json json_of(const ModelUsage& usage) {
  return {{"all", usage.all},
          {"shared", usage.shared},
          {"own", usage.own},
          {"manifests", usage.manifests},
          {"frees", usage.frees}};
}

Json json_of(const EntryUsage& usage) {
  return {{"files", usage.count}, {"bytes", usage.bytes}};
}

Json json_of(const StoreDir& store, const Catalog& catalog, const Indexes& indexes,
             const UsageMeter& meter) {
  const StoreUsage usage = meter.all();
  const QuarantineUsage quarantine = weigh_quarantine(store);
  Json models = Json::array();
  for (const std::size_t i : indexes) {
    const Model& model = catalog.models()[i];
    Json json = {{"name", model.shown}, {"state", model.whole() ? "whole" : "broken"}};
    json.update(json_of(usage.models[i]));
    models.push_back(std::move(json));
  }
  Json doubts = Json::array();
  for (const Problem& doubt : usage.doubts) {
    doubts.push_back({{"path", doubt.path}, {"reason", doubt.text}});
  }
  return {{"store", store.path().string()},
          {"models", std::move(models)},
          {"together", json_of(meter.together(indexes))},
          {"blobs", usage.blobs},
          {"manifests", usage.manifests},
          {"orphans", json_of(usage.orphans)},
          {"partials", json_of(usage.partials)},
          {"foreign", json_of(usage.foreign)},
          {"quarantine", json_of(EntryUsage{quarantine.files, quarantine.bytes})},
          {"doubts", std::move(doubts)}};
}

// ---- the command ----

class Du final : public Command {
 public:
  Du() : Command{"du", "Say what room models take"} {}

  void add_options(CLI::App& app) override {
    app.add_option("MODEL", names_, "Weigh these alone")->type_name("");
    add_store_arguments(app, arguments_);
    add_json(app, json_);
  }

  ExitStatus run() override {
    const ChosenStore store = open_store(arguments_, {"du"});
    const auto catalog = Catalog::read(store.dir);
    const Indexes indexes = indexes_of(*catalog, names_);
    const UsageMeter meter{store.dir, *catalog};
    if (json_) {
      print_json(json_of(store.dir, *catalog, indexes, meter));
    } else {
      print(store.dir, *catalog, indexes, meter);
    }
    end_output();
    return ExitStatus::ok;
  }

 private:
  void print(const StoreDir& store, const Catalog& catalog, const Indexes& indexes,
             const UsageMeter& meter) const {
    const StoreUsage usage = meter.all();
    std::vector<Columns> rows{{"NAME", "ALL", "SHARED", "OWN", "FREES"}};
    for (const std::size_t i : indexes) {
      rows.push_back(columns_of(catalog.models()[i].shown, usage.models[i]));
    }
    if (indexes.size() > 1) rows.push_back(columns_of("together", meter.together(indexes)));
    print_columns(rows);
    if (names_.empty()) print_store(usage, weigh_quarantine(store));
  }

  StoreArguments arguments_;
  std::vector<std::string> names_;
  bool json_ = false;
};

}  // namespace

std::unique_ptr<Command> make_du() {
  return std::make_unique<Du>();
}

}  // namespace ollamafs
