#include "tests/mounted/sbin.h"

#include <sys/mount.h>

#include <cerrno>
#include <system_error>

namespace ollamafs::test {

namespace fs = std::filesystem;

Sbin::Sbin() {
  if (::mount(place_.c_str(), usual_.path().c_str(), nullptr, MS_BIND, nullptr) != 0 ||
      ::mount("tmpfs", place_.c_str(), "tmpfs", 0, "mode=0755") != 0) {
    throw std::system_error{errno, std::generic_category(), "/sbin"};
  }
  for (const auto& entry : fs::directory_iterator{usual_.path()}) {
    const fs::path name = entry.path().filename();
    if (name != "mount.ollamafs" && name != "mount.fuse.ollamafs")
      fs::create_symlink(entry.path(), place_ / name);
  }
  for (const char* const helper : {"mount.ollamafs", "mount.fuse.ollamafs"})
    fs::create_symlink(binary(), place_ / helper);
}

Sbin::~Sbin() {
  ::umount2(place_.c_str(), MNT_DETACH);
  ::umount2(usual_.path().c_str(), MNT_DETACH);
}

}  // namespace ollamafs::test
