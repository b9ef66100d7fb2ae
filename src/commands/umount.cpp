#include <fmt/format.h>
#include <unistd.h>

#include <CLI/App.hpp>
#include <CLI/Config.hpp>
#include <CLI/Formatter.hpp>
#include <filesystem>
#include <string>

#include "src/commands/commands.h"
#include "src/commands/common_options.h"
#include "src/mount/mount_point.h"
#include "src/mount/mounts.h"
#include "src/store/caller.h"
#include "store/base/text.h"

namespace ollamafs {
namespace {

namespace fs = std::filesystem;

std::string advice(const std::string& obstacle, const fs::path& path) {
  const std::string mountpoint = shell_word(path.native());
  if (obstacle.find("busy") != std::string::npos) {
    return fmt::format(
        "\nclose what is open there, or let it be read to its end with "
        "`{}ollamafs umount --lazy {}`",
        sudo_caller() ? "sudo " : "", mountpoint);
  }
  if (::geteuid() != 0) {
    return fmt::format("\nif another user has mounted it: `sudo ollamafs umount {}`", mountpoint);
  }
  return {};
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
