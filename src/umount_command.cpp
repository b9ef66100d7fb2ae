#include "src/umount_command.h"

#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <string>

#include "src/mount_point.h"
#include "src/mount_table.h"
#include "store/text.h"

namespace ollamafs {
namespace {

std::string advice(const std::string& obstacle, const std::string& mountpoint) {
  if (obstacle.find("busy") != std::string::npos) {
    return fmt::format(
        "\nclose what is open there, or let it be read to its end with "
        "`ollamafs umount --lazy {}`",
        mountpoint);
  }
  if (::geteuid() != 0) {
    return fmt::format("\nif another user has mounted it: `sudo ollamafs umount {}`", mountpoint);
  }
  return {};
}

}  // namespace

ExitStatus umount_command(const std::filesystem::path& mountpoint, bool lazy) {
  const std::filesystem::path path = real_mountpoint(mountpoint);
  const std::string shown = printable(path.string());
  const auto entry = mounted_at(path);
  if (!entry || entry->type != kMountType) {
    throw CommandError{
        fmt::format("{} is not a mount of ollamafs{}", shown,
                    entry ? fmt::format(", but of {}", printable(entry->type)) : "")};
  }
  if (const auto obstacle = unmount(path, lazy)) {
    throw CommandError{
        fmt::format("cannot unmount {}: {}{}", shown, *obstacle, advice(*obstacle, shown))};
  }
  return ExitStatus::ok;
}

}  // namespace ollamafs
