#include <fmt/format.h>

#include <CLI/App.hpp>
#include <CLI/Config.hpp>
#include <CLI/Formatter.hpp>
#include <algorithm>
#include <ctime>
#include <nlohmann/json.hpp>
#include <string>
#include <system_error>
#include <vector>

#include "src/commands/commands.h"
#include "src/commands/common_options.h"
#include "src/say/exit_status.h"
#include "src/say/human.h"
#include "src/say/output.h"
#include "src/store/store_arguments.h"
#include "store/base/text.h"
#include "store/upkeep/garbage.h"
#include "store/upkeep/quarantine.h"

namespace ollamafs {
namespace {

const char* text_of(KeptBecause reason) noexcept {
  switch (reason) {
    case KeptBecause::young:
      return "changed within the last hour";
    case KeptBecause::downloading:
      return "may belong to the download that is under way";
    case KeptBecause::in_use:
      return "is open";
  }
  return "";
}

constexpr const char* kSpared = "may be needed by now, or is open";

std::string size_of(const BlobEntry& entry) {
  return human_size(static_cast<std::int64_t>(held_bytes(entry.st)));
}

// What was done with the files that are needless.
struct Outcome {
  std::vector<BlobEntry> deleted;
  std::vector<BlobEntry> spared;
  std::vector<Deletion> failed;
  std::vector<Problem> doubts;  // that came up meanwhile: what was left then is in `spared`
};

std::uint64_t total(const std::vector<BlobEntry>& entries) {
  std::uint64_t bytes = 0;
  for (const BlobEntry& entry : entries) bytes += held_bytes(entry.st);
  return bytes;
}

// ---- for people ----

void print_sum(const char* what, const std::vector<BlobEntry>& entries) {
  fmt::print("{} {} {}, {}\n", what, entries.size(), entries.size() == 1 ? "file" : "files",
             human_size(static_cast<std::int64_t>(total(entries))));
}

void print_untouched(const Garbage& garbage) {
  for (const KeptFile& kept : garbage.kept) {
    fmt::print("left: {} {}\n", printable(kept.entry.path()), text_of(kept.reason));
  }
  for (const BlobEntry& entry : garbage.others) {
    fmt::print("left: {} {}\n", printable(entry.path()),
               entry.kind == BlobEntryKind::folder ? "is a folder" : "is not Ollama's");
  }
}

// Whether they are wanted again only their owner knows.
void print_quarantine(const StoreDir& store) {
  const QuarantineUsage quarantine = weigh_quarantine(store);
  if (quarantine.files == 0) return;
  fmt::print("left: {} in {}, which `verify --quarantine` moved there; `rm -r {}` removes it\n",
             human_size(static_cast<std::int64_t>(quarantine.bytes)),
             printable(quarantine.path.native()), shell_word(quarantine.path.native()));
}

void print_listed(const Garbage& garbage) {
  for (const BlobEntry& entry : garbage.files) {
    fmt::print("{:>9}  {}\n", size_of(entry), printable(entry.path()));
  }
  print_untouched(garbage);
  print_sum("needless:", garbage.files);
  if (!garbage.files.empty()) fmt::print("`ollamafs prune --yes` deletes them\n");
}

void print_outcome(const Garbage& garbage, const Outcome& outcome) {
  for (const BlobEntry& entry : outcome.deleted) {
    fmt::print("deleted: {}\n", printable(entry.path()));
  }
  for (const BlobEntry& entry : outcome.spared) {
    fmt::print("left: {} {}\n", printable(entry.path()), kSpared);
  }
  print_untouched(garbage);
  print_sum("deleted:", outcome.deleted);
}

// ---- for machines ----

using Json = nlohmann::ordered_json;

Json json_of(const std::vector<BlobEntry>& entries) {
  Json array = Json::array();
  for (const BlobEntry& entry : entries) {
    array.push_back({{"path", entry.path()}, {"bytes", held_bytes(entry.st)}});
  }
  return array;
}

Json json_of(const QuarantineUsage& quarantine) {
  if (quarantine.files == 0) return nullptr;
  return {
      {"path", quarantine.path.string()}, {"files", quarantine.files}, {"bytes", quarantine.bytes}};
}

Json json_of(const StoreDir& store, const Garbage& garbage, const Outcome& outcome) {
  Json left = Json::array();
  for (const KeptFile& kept : garbage.kept) {
    left.push_back({{"path", kept.entry.path()}, {"reason", text_of(kept.reason)}});
  }
  for (const BlobEntry& entry : outcome.spared) {
    left.push_back({{"path", entry.path()}, {"reason", kSpared}});
  }
  Json failed = Json::array();
  for (const Deletion& deletion : outcome.failed) {
    failed.push_back({{"path", deletion.entry.path()}, {"reason", deletion.error.message()}});
  }
  Json doubts = Json::array();
  for (const auto* problems : {&garbage.doubts, &outcome.doubts}) {
    for (const Problem& doubt : *problems) {
      doubts.push_back({{"path", doubt.path}, {"reason", doubt.text}});
    }
  }
  return {{"store", store.path().string()},
          {"needless", json_of(garbage.files)},
          {"deleted", json_of(outcome.deleted)},
          {"failed", std::move(failed)},
          {"left", std::move(left)},
          {"others", json_of(garbage.others)},
          {"quarantine", json_of(weigh_quarantine(store))},
          {"doubts", std::move(doubts)}};
}

// ---- the command ----

std::string refusal(const char* what, const std::vector<Problem>& doubts) {
  constexpr std::size_t most = 10;
  std::string text = fmt::format("{}: these may name any blob", what);
  for (std::size_t i = 0; i < std::min(most, doubts.size()); ++i) {
    text += '\n';
    if (!doubts[i].path.empty()) text += printable(doubts[i].path) + ' ';
    text += doubts[i].text;
  }
  if (doubts.size() > most) text += fmt::format("\nand {} more", doubts.size() - most);
  return text + "\nmend them, or delete their models by `ollama rm`";
}

class Prune final : public Command {
 public:
  Prune() : Command{"prune", "List blobs that no model needs, and delete them"} {}

  void add_options(CLI::App& app) override {
    add_store_arguments(app, arguments_);
    app.add_flag("--yes", yes_, "Delete what is listed without it");
    add_json(app, json_);
  }

  ExitStatus run() override {
    std::vector<std::string> words{"prune"};
    if (yes_) words.emplace_back("--yes");
    const ChosenStore store = open_store(arguments_, words);
    const Garbage garbage = find(store.dir);
    Outcome outcome;
    if (!garbage.doubts.empty()) {
      if (json_) print(store.dir, garbage, outcome);
      throw CommandError{refusal("nothing is deleted", garbage.doubts), ExitStatus::refused};
    }
    if (yes_) outcome = remove(store.dir, garbage);
    print(store.dir, garbage, outcome);
    end_output();
    if (!outcome.doubts.empty()) {
      throw CommandError{refusal("no more is deleted", outcome.doubts), ExitStatus::refused};
    }
    if (!outcome.failed.empty()) throw CommandError{failure(outcome)};
    return ExitStatus::ok;
  }

 private:
  [[nodiscard]] static Garbage find(const StoreDir& store) try {
    return find_garbage(store, std::time(nullptr));
  } catch (const std::system_error& error) {
    throw CommandError{
        fmt::format("nothing is deleted: {} cannot be read", printable(error.what())),
        ExitStatus::refused};
  }

  [[nodiscard]] static Outcome remove(const StoreDir& store, const Garbage& garbage) {
    Outcome outcome;
    DeletionReport report = delete_garbage(store, garbage.files);
    outcome.doubts = std::move(report.doubts);
    for (Deletion& deletion : report.deletions) {
      if (deletion.is_gone) continue;
      if (deletion.error) {
        outcome.failed.push_back(std::move(deletion));
      } else {
        (deletion.is_spared ? outcome.spared : outcome.deleted)
            .push_back(std::move(deletion.entry));
      }
    }
    return outcome;
  }

  void print(const StoreDir& store, const Garbage& garbage, const Outcome& outcome) const {
    if (json_) {
      return print_json(json_of(store, garbage, outcome));
    }
    yes_ ? print_outcome(garbage, outcome) : print_listed(garbage);
    print_quarantine(store);
  }

  [[nodiscard]] static std::string failure(const Outcome& outcome) {
    const Deletion& first = outcome.failed.front();
    std::string text = fmt::format("{} cannot be deleted: {}", printable(first.entry.path()),
                                   first.error.message());
    if (outcome.failed.size() > 1) {
      text += fmt::format("\nnor can {} more", outcome.failed.size() - 1);
    }
    if (first.error == std::errc::permission_denied) {
      text += "\nrun it as the user whose store it is, or by sudo";
    }
    return text;
  }

  StoreArguments arguments_;
  bool yes_ = false;
  bool json_ = false;
};

}  // namespace

std::unique_ptr<Command> make_prune() {
  return std::make_unique<Prune>();
}

}  // namespace ollamafs
