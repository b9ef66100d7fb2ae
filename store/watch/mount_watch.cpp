#include "store/watch/mount_watch.h"

#include <fcntl.h>

#include <algorithm>
#include <iterator>
#include <system_error>
#include <utility>

#include "store/base/path_prefix.h"

namespace ollamafs {
// Opened before it is read: what changes between the two is told of too.
MountWatch::MountWatch() : table_{::open(kMountTable, O_RDONLY | O_CLOEXEC)} {
  try {
    if (table_) mounts_ = mounts_now();
  } catch (const std::system_error&) {
    table_ = UniqueFd{};
  }
}

std::vector<MountEntry> MountWatch::mounts_now() const {
  auto mounts = mount_table(table_.get());
  std::ranges::sort(mounts);
  return mounts;
}

bool MountWatch::Places::have(std::string_view mountpoint) const {
  return places.contains(mountpoint) ||
         any_on_the_way(mountpoint, [this](std::string_view at) { return trees.contains(at); });
}

bool MountWatch::has_changed() {
  auto now = mounts_now();
  std::vector<MountEntry> changed;
  std::ranges::set_symmetric_difference(mounts_, now, std::back_inserter(changed));
  mounts_ = std::move(now);
  return std::ranges::any_of(changed, [this](const MountEntry& mount) {
    return now_.have(mount.mountpoint) || next_.have(mount.mountpoint);
  });
}

}  // namespace ollamafs
