#pragma once

#include <optional>
#include <string>
#include <utility>

#include "fs/tree/tree_builder.h"
#include "src/mount/mount_options.h"
#include "src/store/caller.h"
#include "store/catalog/catalog.h"
#include "store/folder/store_dir.h"

namespace ollamafs {

// Who may enter a mount, and what the daemon may follow on their behalf (docs/view.md §6).
class MountAccess {
 public:
  // For the process's own user, and who called sudo.
  explicit MountAccess(const MountOptions& options);

  // Whether the kernel may let others than the mounting user in at all.
  [[nodiscard]] bool allow_other() const noexcept {
    return options_.allow_other || options_.allow_root || sudo_;
  }

  // Whether it took sudo to make the mount, and so takes it to end it.
  [[nodiscard]] static bool by_sudo() { return sudo_caller().has_value(); }

  // Whether links out of the store are followed. Not by a daemon that is root or serves other
  // users: somebody's store could have a blob that is a link to a file which only the daemon may
  // read.
  [[nodiscard]] OutsideLinks outside_links() const noexcept;

  // The owner of the mount point, if it has to be made and is not for the process's own user.
  [[nodiscard]] std::optional<std::pair<uid_t, gid_t>> mountpoint_owner() const;

  // The nodes' owners, and the root directory as narrow as it must be: for who called sudo alone,
  // with -o allow_root for this user, or with -o allow_other for those who could read the store
  // itself; root enters whatever the mode, once the kernel lets it. `note` is a printable
  // sentence about who that is, where it is not everybody or the mounting user. `before` is the
  // root directory that is shown until now, if any.
  [[nodiscard]] TreeOptions tree_options(const StoreDir& store, const Catalog& catalog,
                                         const Node* before, std::string& note) const;

 private:
  const MountOptions& options_;
  std::optional<SudoCaller> sudo_;
  bool is_root_;
};

}  // namespace ollamafs
