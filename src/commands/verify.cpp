#include <fmt/format.h>

#include <CLI/App.hpp>
#include <CLI/Config.hpp>
#include <CLI/Formatter.hpp>
#include <algorithm>
#include <map>
#include <nlohmann/json.hpp>
#include <set>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

#include "src/commands/commands.h"
#include "src/commands/common_options.h"
#include "src/say/exit_status.h"
#include "src/say/human.h"
#include "src/say/interrupt.h"
#include "src/say/output.h"
#include "src/say/progress.h"
#include "src/store/named_models.h"
#include "src/store/store_arguments.h"
#include "store/base/progress.h"
#include "store/base/text.h"
#include "store/catalog/catalog.h"
#include "store/upkeep/quarantine.h"
#include "store/upkeep/verification.h"

namespace ollamafs {
namespace {

// The models that were verified, and whether nothing of them is wrong.
std::vector<std::pair<const Model*, bool>> verdicts(const std::vector<const Model*>& models,
                                                    const Verification& verification) {
  std::set<std::string_view> concerned;
  for (const Finding& finding : verification.findings)
    concerned.insert(finding.models.begin(), finding.models.end());
  std::vector<std::pair<const Model*, bool>> verdicts;
  verdicts.reserve(models.size());
  for (const Model* const model : models)
    verdicts.emplace_back(model, !concerned.contains(model->shown));
  return verdicts;
}

// ---- for people ----

void print_models(const std::vector<const Model*>& models, const Verification& verification) {
  for (const auto& [model, right] : verdicts(models, verification)) {
    fmt::print("{} {} {}\n", model->shown, model->manifest->digest.id(),
               right ? "whole" : "broken");
  }
}

void print_findings(const Verification& verification) {
  for (const Finding& finding : verification.findings) {
    const std::string models =
        finding.models.empty() ? "" : fmt::format(" (of {})", fmt::join(finding.models, ", "));
    fmt::print("{} {}{}\n", printable(finding.path), finding.text, models);
  }
}

void print_moved(const std::vector<Quarantined>& moved) {
  for (const Quarantined& blob : moved) {
    if (blob.has_changed) {
      fmt::print("{} is left: it changed meanwhile; verify again\n", printable(blob.from));
    } else if (blob.error) {
      fmt::print("{} cannot be moved aside: {}\n", printable(blob.from), blob.error.message());
    } else {
      fmt::print("{} is now {}\n", printable(blob.from), printable(blob.to.string()));
    }
  }
}

void print_end(const Verification& verification, const std::vector<Quarantined>& moved) {
  fmt::print("{} in {} blobs: ", human_size(static_cast<std::int64_t>(verification.bytes)),
             verification.blobs);
  const std::size_t faults = verification.findings.size();
  if (faults == 0) {
    fmt::print("all right\n");
  } else {
    fmt::print("{} {}\n", faults, faults == 1 ? "fault" : "faults");
  }
  if (std::ranges::any_of(moved, &Quarantined::is_moved)) {
    fmt::print("`ollama pull` of these models fetches them again; to undo it, move them back\n");
  } else if (std::ranges::any_of(verification.findings, &Finding::is_bad_blob) && moved.empty()) {
    fmt::print("--quarantine moves bad blobs aside, so that `ollama pull` fetches them again\n");
  }
}

// ---- for machines ----

using Json = nlohmann::ordered_json;

Json json_of(const StoreDir& store, const std::vector<const Model*>& models,
             const Verification& verification, const std::vector<Quarantined>& moved) {
  Json verified = Json::array();
  for (const auto& [model, right] : verdicts(models, verification)) {
    verified.push_back({{"name", model->shown},
                        {"id", model->manifest->digest.id()},
                        {"state", right ? "whole" : "broken"}});
  }
  std::map<std::string_view, std::string> moved_to;
  for (const Quarantined& blob : moved) {
    if (blob.is_moved()) moved_to.emplace(blob.from, blob.to.string());
  }
  Json findings = Json::array();
  for (const Finding& finding : verification.findings) {
    Json json = {{"kind", to_string(finding.kind)},
                 {"path", finding.path},
                 {"reason", finding.text},
                 {"models", finding.models}};
    if (finding.digest) json["digest"] = finding.digest->to_string();
    const auto it = moved_to.find(finding.path);
    if (it != moved_to.end()) json["moved_to"] = it->second;
    findings.push_back(std::move(json));
  }
  return {{"store", store.path().string()},
          {"blobs", verification.blobs},
          {"bytes", verification.bytes},
          {"models", std::move(verified)},
          {"faults", std::move(findings)}};
}

// ---- the command ----

class VerifyCommand final : public Command {
 public:
  VerifyCommand() : Command{"verify", "Compute the SHA-256 of every blob"} {}

  void add_options(CLI::App& app) override {
    app.add_option("MODEL", names_, "Verify these alone")->type_name("");
    add_store_arguments(app, arguments_);
    app.add_flag("--quarantine", quarantine_, "Move bad blobs aside, into blobs-quarantine");
    add_quiet(app, quiet_, "Say what is wrong, and nothing else");
    add_json(app, json_);
  }

  ExitStatus run() override {
    const ChosenStore store = open_store(arguments_, {"verify"});
    const auto catalog = Catalog::read(store.dir);
    const std::vector<const Model*> models = models_of(*catalog);
    const Verification verification = verify(store.dir, *catalog, models);
    const std::vector<Quarantined> moved = move_aside(store.dir, verification);
    if (json_) {
      print_json(json_of(store.dir, models, verification, moved));
    } else {
      if (!quiet_) print_models(models, verification);
      print_findings(verification);
      print_moved(moved);
      if (!quiet_) print_end(verification, moved);
    }
    end_output();
    return verification.findings.empty() ? ExitStatus::ok : ExitStatus::broken;
  }

 private:
  [[nodiscard]] Verification verify(const StoreDir& store, const Catalog& catalog,
                                    const std::vector<const Model*>& models) const try {
    const InterruptGuard guard;
    const auto progress = make_progress(quiet_ || json_);
    return verify_store(store, catalog, indexes_of_named(catalog, models), *progress);
  } catch (const Interrupted&) {
    throw CommandError{"interrupted; nothing was changed, and what was verified is not known",
                       ExitStatus::interrupted};
  }

  // Those that were named, or all.
  [[nodiscard]] std::vector<const Model*> models_of(const Catalog& catalog) const {
    if (!names_.empty()) return named_models(catalog, names_);
    std::vector<const Model*> all;
    for (const Model& model : catalog.models()) all.push_back(&model);
    return all;
  }

  // For verify_store: none if no model was named.
  [[nodiscard]] std::vector<std::size_t> indexes_of_named(
      const Catalog& catalog, const std::vector<const Model*>& models) const {
    std::vector<std::size_t> indexes;
    if (names_.empty()) return indexes;
    for (const Model* const model : models) {
      indexes.push_back(static_cast<std::size_t>(model - catalog.models().data()));
    }
    return indexes;
  }

  [[nodiscard]] std::vector<Quarantined> move_aside(const StoreDir& store,
                                                    const Verification& verification) const try {
    std::vector<BadBlob> bad;
    for (const Finding& finding : verification.findings) {
      if (finding.is_bad_blob()) bad.push_back({finding.path, finding.identity});
    }
    return quarantine_ ? quarantine(store, bad) : std::vector<Quarantined>{};
  } catch (const std::system_error& error) {
    print_findings(verification);
    throw CommandError{fmt::format("bad blobs cannot be moved aside: {}", printable(error.what()))};
  }

  StoreArguments arguments_;
  std::vector<std::string> names_;
  bool quarantine_ = false;
  bool quiet_ = false;
  bool json_ = false;
};

}  // namespace

std::unique_ptr<Command> make_verify() {
  return std::make_unique<VerifyCommand>();
}

}  // namespace ollamafs
