#pragma once

#include <filesystem>

#include "tests/mounted/mount.h"

namespace ollamafs::test {

// An /sbin that has what it had, and the program under test as mount.ollamafs and
// mount.fuse.ollamafs, as packages install it: mount(8) looks nowhere else. Until the end of the
// scope.
class Sbin {
 public:
  Sbin();
  ~Sbin();
  Sbin(const Sbin&) = delete;
  Sbin& operator=(const Sbin&) = delete;

 private:
  const std::filesystem::path place_ = std::filesystem::canonical("/sbin");
  MountDir usual_;
};

}  // namespace ollamafs::test
