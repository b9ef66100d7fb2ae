#include "src/mount/mount_access.h"

#include <fmt/format.h>
#include <unistd.h>

#include "store/access/audience.h"
#include "store/base/text.h"

namespace ollamafs {
namespace {

TreeOptions::Root root_for(const StoreAudience& store) {
  switch (store.audience) {
    case Audience::everyone:
      return {0755, store.uid, store.gid};
    case Audience::group:
      return {0750, store.uid, store.gid};
    case Audience::owner:
      return {0700, store.uid, store.gid};
    case Audience::nobody:
      break;
  }
  return {0700, 0, 0};
}

std::string note_for(const StoreAudience& store) {
  if (store.audience == Audience::everyone) return {};
  const char* who = store.audience == Audience::group   ? "the store's owner and group"
                    : store.audience == Audience::owner ? "the store's owner"
                                                        : "root";
  return fmt::format("open to {} only: {} lets no more people read", who,
                     printable(store.narrowest));
}

}  // namespace

MountAccess::MountAccess(const MountOptions& options)
    : options_{options},
      sudo_{options.allow_other ? std::nullopt : sudo_caller()},
      is_root_{::geteuid() == 0} {}

OutsideLinks MountAccess::outside_links() const noexcept {
  return is_root_ || options_.allow_other ? OutsideLinks::refuse : OutsideLinks::follow;
}

std::optional<std::pair<uid_t, gid_t>> MountAccess::mountpoint_owner() const {
  if (const auto caller = sudo_caller()) return std::pair{caller->uid, caller->gid};
  return std::nullopt;
}

TreeOptions MountAccess::tree_options(const StoreDir& store, const Catalog& catalog,
                                      const Node* before, std::string& note) const {
  TreeOptions tree;
  tree.uid = options_.uid;
  tree.gid = options_.gid;
  struct stat st {};
  if (::fstat(store.folder()->get(), &st) == 0) {
    tree.store_uid = st.st_uid;
    tree.store_gid = st.st_gid;
  }
  if (sudo_) {
    tree.root = TreeOptions::Root{0700, sudo_->uid, sudo_->gid};
    note = fmt::format("open to {} only, who called sudo", printable(sudo_->name));
  } else if (options_.allow_root) {
    tree.root = TreeOptions::Root{0700, ::geteuid(), ::getegid()};
  } else if (options_.allow_other) {
    const StoreAudience audience = audience_of(store, catalog);
    tree.root = root_for(audience);
    note = note_for(audience);
    if (audience.lacks_some && before && before->permissions < tree.root->permissions) {
      tree.root = TreeOptions::Root{before->permissions, before->uid, before->gid};
      note.clear();  // it was said
    }
  }
  return tree;
}

}  // namespace ollamafs
