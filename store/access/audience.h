#pragma once

// Room store/access: Who may read a store, and what keeps this user out of it.

#include <sys/types.h>

#include <string>

#include "store/catalog/catalog.h"
#include "store/folder/store_dir.h"

namespace ollamafs {

// Who can read a whole store by the modes of its files. Wider audiences are larger values.
enum class Audience {
  nobody,  // not even its owner: some file belongs to another
  owner,   // the owner of the store's folder
  group,   // and the group of the store's folder
  everyone,
};

struct StoreAudience {
  Audience audience = Audience::everyone;
  std::string narrowest;  // the file or directory that lets no more people in; empty for everyone
  uid_t uid = 0;          // owner of the store's folder
  gid_t gid = 0;
  // Some file that a model needs is not there any more, so its modes are not known: who holds it
  // open may show it to no more people than before.
  bool lacks_some = false;
};

// Looks at every directory from / down to the files, and at every manifest and blob that a model of
// `catalog` needs, where symlinks lead elsewhere too. A file with a POSIX access control list
// counts as its owner's alone, because its mode bits do not tell whom the list lets in.
[[nodiscard]] StoreAudience audience_of(const StoreDir& store, const Catalog& catalog);

}  // namespace ollamafs
