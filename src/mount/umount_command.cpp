#include "src/mount/umount_command.h"

#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <string>

#include "src/mount/mount_point.h"
#include "src/mount/mounts.h"
#include "src/store/caller.h"
#include "store/base/text.h"

namespace ollamafs {

namespace fs = std::filesystem;

namespace {

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

}  // namespace

ExitStatus umount_command(const fs::path& mountpoint, bool lazy) {
  const fs::path path = real_mountpoint(mountpoint);
  const std::string shown = printable(path.string());
  const auto entry = mounted_at(path);
  if (!entry || entry->type != kMountType) {
    throw CommandError{
        fmt::format("{} is not a mount of ollamafs{}", shown,
                    entry ? fmt::format(", but of {}", printable(entry->type)) : "")};
  }
  if (const auto obstacle = unmount(path, lazy)) {
    throw CommandError{
        fmt::format("cannot unmount {}: {}{}", shown, *obstacle, advice(*obstacle, path))};
  }
  return ExitStatus::ok;
}

}  // namespace ollamafs
