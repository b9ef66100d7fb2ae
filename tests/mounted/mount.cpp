#include "tests/mounted/mount.h"

#include <dirent.h>
#include <gtest/gtest.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <stdexcept>

#include "src/mount/mounts.h"
#include "store/base/dir_stream.h"

namespace ollamafs::test {

namespace fs = std::filesystem;

std::string binary() {
  const char* const everybodys = std::getenv("OLLAMAFS_UNDER_TEST");
  return everybodys ? everybodys : OLLAMAFS_BINARY;
}

MountDir::MountDir(bool missing, const std::optional<User>& owner) {
  std::string name = (fs::temp_directory_path() / "ollamafs-mount-XXXXXX").string();
  if (!::mkdtemp(name.data())) throw std::runtime_error{"mkdtemp"};
  parent_ = fs::canonical(name);
  path_ = parent_ / "view";
  if (!missing) fs::create_directory(path_);
  for (const fs::path& path : {parent_, path_}) {
    ::chmod(path.c_str(), 0755);
    if (owner) (void)!::chown(path.c_str(), owner->uid, owner->gid);
  }
}

MountDir::~MountDir() {
  ::rmdir(path_.c_str());
  ::rmdir(parent_.c_str());
}

bool is_mounted(const fs::path& path) {
  return mounted_at(path).has_value();
}

Mount::Mount(const fs::path& store, const Options& options)
    : dir_{false, options.run.as}, expected_status_{options.expected_status} {
  std::vector<std::string> command = {options.program, "mount",        "-f",
                                      "--store",       store.string(), path().string()};
  command.insert(command.end(), options.arguments.begin(), options.arguments.end());
  daemon_ = std::make_unique<Background>(command, options.run);
  // The last that is said of the beginning is how blobs are read.
  const bool settled =
      eventually([&] { return daemon_->ended() || log().find("passthrough") != std::string::npos; },
                 std::chrono::seconds{60});
  if (!settled || daemon_->ended()) {
    throw std::runtime_error{"ollamafs did not mount: " + log()};
  }
}

void Mount::unmount() {
  if (std::exchange(unmounted_, true)) return;
  // A server that a tool has talked to ends a moment after the tool.
  const bool is_done =
      eventually([&] { return ::umount2(path().c_str(), UMOUNT_NOFOLLOW) == 0 || errno != EBUSY; });
  if (is_done && !is_mounted(path())) return;
  EXPECT_TRUE(errno == EINVAL || errno == ENOENT) << "unmounting: " << std::strerror(errno);
  ::umount2(path().c_str(), UMOUNT_NOFOLLOW | MNT_DETACH);
}

Mount::~Mount() {
  unmount();
  const auto status = daemon_->wait(std::chrono::seconds{30});
  EXPECT_TRUE(status) << "the daemon did not leave after the unmount";
  EXPECT_EQ(status.value_or(-1), expected_status_) << log();
}

}  // namespace ollamafs::test
