#include "src/mount/own_mount.h"

#include <fmt/format.h>

#include "src/mount/mounts.h"
#include "store/base/text.h"

namespace ollamafs {

OwnMount::OwnMount(const std::filesystem::path& path) {
  const auto entry = mounted_at(path);
  if (entry && entry->type == kMountType) device_ = entry->device;
}

std::optional<std::string> OwnMount::detach(const std::function<bool()>& is_connected) const {
  if (!device_) return std::nullopt;
  for (const std::filesystem::path& path : places_of(*device_)) {
    const auto topmost = mounted_at(path);
    if (!topmost) continue;
    if (topmost->device != *device_) {
      return fmt::format("{}: something else is mounted over it", printable(path.string()));
    }
    // The kernel ends the connection before it gives the device's number to another file system. A
    // mount that has lost its connection otherwise is dead.
    if (!is_connected() && (topmost->type != kMountType || !is_dead(path))) continue;
    if (const auto obstacle = unmount(path, true)) {
      return fmt::format("{}: {}", printable(path.string()), *obstacle);
    }
  }
  return std::nullopt;
}

}  // namespace ollamafs
