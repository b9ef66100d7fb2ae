#include "store/mount_watch.h"

#include <fcntl.h>

#include <algorithm>
#include <iterator>
#include <tuple>
#include <utility>

#include "store/path_prefix.h"

namespace ollamafs {
namespace {

// The table from which others do not differ that have the same mounts at the same places.
std::vector<MountEntry> mounts_now() {
  auto mounts = mount_table();
  std::ranges::sort(mounts, {}, &MountEntry::id);
  return mounts;
}

auto which(const MountEntry& mount) {
  return std::tie(mount.id, mount.mountpoint, mount.device);
}

}  // namespace

// Opened before it is read: what changes between the two is told of too.
MountWatch::MountWatch() : table_{::open("/proc/self/mountinfo", O_RDONLY | O_CLOEXEC)} {
  if (table_) mounts_ = mounts_now();
}

bool MountWatch::Places::have(std::string_view mountpoint) const {
  return places.contains(mountpoint) ||
         any_on_the_way(mountpoint, [this](std::string_view at) { return trees.contains(at); });
}

bool MountWatch::has_changed() {
  auto now = mounts_now();
  std::vector<MountEntry> changed;
  std::ranges::set_symmetric_difference(
      mounts_, now, std::back_inserter(changed),
      [](const MountEntry& a, const MountEntry& b) { return which(a) < which(b); });
  mounts_ = std::move(now);
  return std::ranges::any_of(changed, [this](const MountEntry& mount) {
    return now_.have(mount.mountpoint) || next_.have(mount.mountpoint);
  });
}

}  // namespace ollamafs
