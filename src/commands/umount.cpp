#include <fmt/format.h>
#include <unistd.h>

#include <CLI/App.hpp>
#include <CLI/Config.hpp>
#include <CLI/Formatter.hpp>
#include <algorithm>
#include <filesystem>
#include <string>
#include <vector>

#include "src/commands/commands.h"
#include "src/commands/common_options.h"
#include "src/mount/mount_point.h"
#include "src/mount/mount_users.h"
#include "src/mount/mounts.h"
#include "src/store/caller.h"
#include "store/base/text.h"

namespace ollamafs {
namespace {

namespace fs = std::filesystem;

// Who is in the way, and how to be done all the same.
std::string about_busy(const fs::path& path) {
  std::string text = list_of(users_of_mount(path));
  if (!text.empty()) text = "\nit is in use by " + text;
  return text + fmt::format(
                    "\nclose what is open there, or let it be read to its end with "
                    "`{}ollamafs umount --lazy {}`",
                    sudo_caller() ? "sudo " : "", shell_word(path.native()));
}

std::string advice(const std::string& obstacle, const fs::path& path) {
  if (obstacle.find("busy") != std::string::npos) return about_busy(path);
  if (::geteuid() == 0) return {};
  return fmt::format("\nif another user has mounted it: `sudo ollamafs umount {}`",
                     shell_word(path.native()));
}

// What root has mounted only root can unmount: said before fusermount3 has its say.
void refuse_roots(const MountEntry& mount, const fs::path& path) {
  if (owner_of(mount) != uid_t{0} || ::geteuid() == 0) return;
  throw CommandError{fmt::format("root has mounted {}: `sudo ollamafs umount {}`",
                                 printable(path.string()), shell_word(path.native()))};
}

void end_mount(const fs::path& given, bool lazy) {
  const fs::path path = real_mountpoint(given);
  const std::string shown = printable(path.string());
  const auto entry = mounted_at(path);
  if (!entry || entry->type != kMountType) {
    throw CommandError{
        fmt::format("{} is not a mount of ollamafs{}", shown,
                    entry ? fmt::format(", but of {}", printable(entry->type)) : "")};
  }
  refuse_roots(*entry, path);
  if (const auto obstacle = unmount(path, lazy)) {
    throw CommandError{
        fmt::format("cannot unmount {}: {}{}", shown, *obstacle, advice(*obstacle, path))};
  }
}

// The one mount of this user's, for who does not say which.
fs::path only_mount() {
  std::string mine, others;
  std::vector<fs::path> places;
  for (const MountEntry& mount : mounts_of_ollamafs()) {
    const bool is_mine = owner_of(mount) == ::geteuid();
    if (is_mine) places.emplace_back(mount.mountpoint);
    (is_mine ? mine : others) += "\n  " + shell_word(mount.mountpoint);
  }
  if (places.size() == 1) return places.front();
  if (places.size() > 1)
    throw CommandError{"there are several mounts: name those that are to end, of" + mine,
                       ExitStatus::usage};
  throw CommandError{others.empty() ? "there is no mount of ollamafs"
                                    : "this user has no mount of ollamafs, others have" + others};
}

class Umount final : public Command {
 public:
  Umount() : Command{"umount", "End mounts"} {}

  void add_options(CLI::App& app) override {
    add_mountpoints(app, mountpoints_, "Where they are (default: the only one of yours)");
    app.add_flag("-l,--lazy", lazy_, "Even if it is busy: hide it now, end it later");
  }

  // All that can be ended are, whatever becomes of the others.
  ExitStatus run() override {
    if (mountpoints_.empty()) mountpoints_ = {only_mount()};
    std::string complaints;
    for (const fs::path& mountpoint : mountpoints_) {
      try {
        end_mount(mountpoint, lazy_);
      } catch (const CommandError& error) {
        complaints += (complaints.empty() ? "" : "\n") + std::string{error.what()};
      }
    }
    if (!complaints.empty()) throw CommandError{complaints};
    return ExitStatus::ok;
  }

 private:
  std::vector<fs::path> mountpoints_;
  bool lazy_ = false;
};

}  // namespace

std::unique_ptr<Command> make_umount() {
  return std::make_unique<Umount>();
}

}  // namespace ollamafs
