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
  std::string text;
  constexpr std::size_t most = 10;
  const std::vector<std::string> users = users_of_mount(path);
  for (std::size_t i = 0; i < std::min(most, users.size()); ++i)
    text += (text.empty() ? "" : ", ") + users[i];
  if (users.size() > most) text += fmt::format(" and {} more", users.size() - most);
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
  const bool is_roots = ("," + mount.options + ",").find(",user_id=0,") != std::string::npos;
  if (!is_roots || ::geteuid() == 0) return;
  throw CommandError{fmt::format("root has mounted {}: `sudo ollamafs umount {}`",
                                 printable(path.string()), shell_word(path.native()))};
}

class Umount final : public Command {
 public:
  Umount() : Command{"umount", "End a mount"} {}

  void add_options(CLI::App& app) override {
    add_mountpoint(app, mountpoint_, "Where it is");
    app.add_flag("-l,--lazy", lazy_, "Even if it is busy: hide it now, end it later");
  }

  ExitStatus run() override {
    const fs::path path = real_mountpoint(mountpoint_);
    const std::string shown = printable(path.string());
    const auto entry = mounted_at(path);
    if (!entry || entry->type != kMountType) {
      throw CommandError{
          fmt::format("{} is not a mount of ollamafs{}", shown,
                      entry ? fmt::format(", but of {}", printable(entry->type)) : "")};
    }
    refuse_roots(*entry, path);
    if (const auto obstacle = unmount(path, lazy_)) {
      throw CommandError{
          fmt::format("cannot unmount {}: {}{}", shown, *obstacle, advice(*obstacle, path))};
    }
    return ExitStatus::ok;
  }

 private:
  fs::path mountpoint_;
  bool lazy_ = false;
};

}  // namespace

std::unique_ptr<Command> make_umount() {
  return std::make_unique<Umount>();
}

}  // namespace ollamafs
