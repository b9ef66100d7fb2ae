#include "tests/mounted/environment.h"

#include <mntent.h>
#include <sys/mount.h>

#include <cstdio>
#include <memory>

namespace ollamafs::test {
namespace {

struct Mounted {
  std::string source;
  std::string place;
};

// The mounts that this process sees, decoded by the C library.
std::vector<Mounted> mounts() {
  const std::unique_ptr<FILE, int (*)(FILE*)> table{::setmntent("/proc/self/mounts", "r"),
                                                    ::endmntent};
  std::vector<Mounted> all;
  while (const mntent* entry = ::getmntent(table.get())) {
    all.push_back({entry->mnt_fsname, entry->mnt_dir});
  }
  return all;
}

}  // namespace

Words operator+(Words left, const Words& right) {
  left.insert(left.end(), right.begin(), right.end());
  return left;
}

Words within(const std::string& setup, const Words& command, const Words& namespaces) {
  return Words{"unshare"} + namespaces + Words{"sh", "-ec", setup + "\nexec \"$@\"", "sh"} +
         command;
}

std::string source_of(const std::filesystem::path& path) {
  std::string source;
  for (const Mounted& mount : mounts()) {
    if (path == mount.place) source = mount.source;
  }
  return source;
}

// A mount that should not have been made must go before the directory that it is in.
Environment::~Environment() {
  for (const Mounted& mount : mounts()) {
    if (mount.source.starts_with(dir_.path().string())) {
      ::umount2(mount.place.c_str(), UMOUNT_NOFOLLOW | MNT_DETACH);
    }
  }
}

void Environment::write_model(const StoreBuilder& store) {
  store.v1("llama3.2:3b", store.text_model(1, 1000));
}

}  // namespace ollamafs::test
