#include <fmt/format.h>

#include <CLI/App.hpp>
#include <CLI/Config.hpp>
#include <CLI/Formatter.hpp>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <ctime>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "fs/serve/node_attributes.h"
#include "src/commands/commands.h"
#include "src/commands/common_options.h"
#include "src/mount/mount_answer.h"
#include "src/mount/mount_report.h"
#include "src/mount/mount_users.h"
#include "src/mount/mounts.h"
#include "src/say/human.h"
#include "src/say/output.h"
#include "store/base/text.h"

namespace ollamafs {
namespace {

using Json = nlohmann::ordered_json;

// How long a daemon may take to answer.
constexpr std::chrono::seconds kPatience{3};

// A mount, with what could be found out about it.
struct SeenMount {
  MountEntry entry;
  int error = 0;                      // errno of asking it
  std::optional<MountReport> report;  // nothing: it told none
  std::vector<MountUser> users;
};

SeenMount look_at(MountEntry entry) {
  const MountAnswer answer =
      ask_mount(entry.mountpoint, std::string{kStatusAttribute}.c_str(), kPatience);
  SeenMount mounted{std::move(entry), answer.error, to_mount_report(answer.text), {}};
  mounted.users = users_of_mount(mounted.entry.mountpoint);
  return mounted;
}

// One word for what can be found out.
const char* state_of(const SeenMount& mounted) {
  if (mounted.report) return mounted.report->is_gone ? "store-is-gone" : "mounted";
  switch (mounted.error) {
    case ENOTCONN:
      return "dead";
    case EACCES:
      return "closed";
    case ETIMEDOUT:
      return "silent";
    default:
      return "unknown";
  }
}

// ---- for people ----

void print_line(const char* what, const std::string& text) {
  fmt::print("    {:<8} {}\n", what, text);
}

std::string models_of(const MountReport& report) {
  std::string text = std::to_string(report.models);
  if (report.broken == 0) return text;
  text += fmt::format(", {} broken:", report.broken);
  for (const std::string& model : report.broken_models) text += " " + printable(model);
  if (report.broken > report.broken_models.size()) text += " …";
  return text;
}

void print_report(const MountReport& report) {
  if (report.is_gone) print_line("", "the store is gone: is its disk mounted?");
  print_line("models", models_of(report));
  print_line("since", human_time(report.since, std::time(nullptr)));
  print_line("read", human_size(static_cast<std::int64_t>(report.bytes_read)) +
                         (report.passthrough == true ? ", and what the kernel read itself" : ""));
  print_line("reading", printable(report.access));
}

std::string about_silence(const SeenMount& mounted) {
  switch (mounted.error) {
    case ENOTCONN:
      return fmt::format("it is dead: its daemon was killed; `ollamafs umount {}` takes it away",
                         shell_word(mounted.entry.mountpoint));
    case EACCES:
      return "it is another user's, and closed to this one";
    case ETIMEDOUT:
      return "its daemon does not answer";
    case 0:
    case ENODATA:
      return "it tells nothing about itself: another version of ollamafs made it";
    default:
      return std::strerror(mounted.error);
  }
}

void print_text(const std::vector<SeenMount>& mounts) {
  const char* gap = "";
  for (const SeenMount& mounted : mounts) {
    fmt::print("{}{}\n", gap, printable(mounted.entry.mountpoint));
    gap = "\n";
    print_line("store", printable(mounted.entry.source));
    if (mounted.report) {
      print_report(*mounted.report);
    } else {
      print_line("state", about_silence(mounted));
    }
    if (!mounted.users.empty()) print_line("in use", "by " + list_of(mounted.users));
  }
}

// ---- for machines ----

Json json_of(const SeenMount& mounted) {
  Json line = {{"mountpoint", mounted.entry.mountpoint},
               {"store", mounted.entry.source},
               {"state", state_of(mounted)}};
  if (const auto owner = owner_of(mounted.entry)) line["uid"] = *owner;
  if (mounted.report) {
    const MountReport& report = *mounted.report;
    line["models"] = report.models;
    line["broken"] = report.broken;
    line["broken_models"] = report.broken_models;
    line["passthrough"] = report.passthrough ? Json(*report.passthrough) : Json();
    line["since"] = utc_time(report.since);
    line["bytes_read"] = report.bytes_read;
    line["pid"] = report.pid;
    line["version"] = report.version;
  }
  line["users"] = Json::array();
  for (const MountUser& user : mounted.users)
    line["users"].push_back({{"pid", user.pid}, {"name", user.name}});
  return line;
}

// ---- the command ----

class Status final : public Command {
 public:
  Status() : Command{"status", "List the mounts of this machine"} {}

  void add_options(CLI::App& app) override { add_json(app, json_); }

  ExitStatus run() override {
    std::vector<SeenMount> mounts;
    auto entries = mounts_of_ollamafs();
    mounts.reserve(entries.size());
    for (MountEntry& entry : entries) mounts.push_back(look_at(std::move(entry)));
    if (json_) {
      Json list = Json::array();
      for (const SeenMount& mounted : mounts) list.push_back(json_of(mounted));
      print_json({{"mounts", std::move(list)}});
    } else {
      if (mounts.empty()) fmt::print(stderr, "ollamafs: there is no mount of ollamafs\n");
      print_text(mounts);
    }
    end_output();
    return ExitStatus::ok;
  }

 private:
  bool json_ = false;
};

}  // namespace

std::unique_ptr<Command> make_status() {
  return std::make_unique<Status>();
}

}  // namespace ollamafs
