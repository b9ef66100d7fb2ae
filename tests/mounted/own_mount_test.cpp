// A daemon ends its own mount, and no other that stands in its place by then.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/mount.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>

#include "tests/mounted/life.h"
#include "tests/mounted/walk.h"

namespace ollamafs::test {
namespace {

namespace fs = std::filesystem;
using ::testing::SizeIs;

// A mount that is busy, so that its daemon outlives the unmount.
class BusyMount : public Life {
 protected:
  BusyMount() {
    if (mount(place_).status != 0) throw std::runtime_error{"no mount"};
    old_daemon_ = place_.daemon();
    open_.open(weights_in(place_.path()), std::ios::binary);
  }

  [[nodiscard]] bool is_gone(pid_t pid) const {
    const auto daemons = place_.daemons();
    return std::ranges::find(daemons, pid) == daemons.end();
  }

  // The first signal hides it, the second ends what is open.
  void end_old_daemon() {
    ::kill(old_daemon_, SIGTERM);
    ::kill(old_daemon_, SIGINT);
    EXPECT_TRUE(eventually([&] { return is_gone(old_daemon_); }));
  }

  Place place_;
  pid_t old_daemon_ = 0;
  std::ifstream open_;
};

TEST_F(BusyMount, WhenItEndsLeavesANewMountInItsPlaceAlone) {
  ASSERT_EQ(umount({"--lazy", place_.path().string()}).status, 0);
  ASSERT_EQ(mount(place_).status, 0);
  end_old_daemon();
  EXPECT_EQ(must({"ls", (place_.path() / "models").string()}), "llama3.2+3b\n");
  EXPECT_THAT(place_.daemons(), SizeIs(1));
}

TEST_F(BusyMount, WhenItEndsLeavesAnotherFileSystemInItsPlaceAlone) {
  ASSERT_EQ(umount({"--lazy", place_.path().string()}).status, 0);
  ASSERT_EQ(::mount("theirs", place_.path().c_str(), "tmpfs", 0, nullptr), 0);
  write_file(place_.path() / "mine", "mine");
  end_old_daemon();
  EXPECT_EQ(read_file(place_.path() / "mine"), "mine");
}

TEST_F(BusyMount, WhenItEndsLeavesWhatIsMountedOverItAlone) {
  ASSERT_EQ(::mount("theirs", place_.path().c_str(), "tmpfs", 0, nullptr), 0);
  write_file(place_.path() / "mine", "mine");
  end_old_daemon();
  EXPECT_EQ(read_file(place_.path() / "mine"), "mine");
}

TEST_F(BusyMount, IsEndedWhereItWasMovedTo) {
  const fs::path parent = place_.path().parent_path(), moved = parent.string() + "-moved";
  fs::rename(parent, moved);
  ::kill(old_daemon_, SIGTERM);
  EXPECT_TRUE(eventually([&] { return !is_mounted(moved / "view"); }));
  EXPECT_TRUE(fs::is_empty(moved / "view"));
  fs::rename(moved, parent);
  const std::string bytes{std::istreambuf_iterator<char>{open_}, {}};
  EXPECT_TRUE(bytes == read_file(store_.blob_path(weights())));
  open_.close();
}

// The kernel gives the device number of a mount that has ended to the next one, while the daemon of
// the first has not noticed yet.
class MountThatEnded : public Life {
 protected:
  MountThatEnded() {
    if (mount(place_).status != 0) throw std::runtime_error{"no mount"};
    daemon_ = place_.daemon();
    device_ = stat_of(place_.path()).st_dev;
    ::kill(daemon_, SIGSTOP);
    if (::umount2(place_.path().c_str(), UMOUNT_NOFOLLOW) != 0) throw std::runtime_error{"umount"};
  }
  ~MountThatEnded() override {
    if (lives()) ::kill(daemon_, SIGCONT);
  }

  [[nodiscard]] bool lives() const {
    const auto daemons = place_.daemons();
    return std::ranges::find(daemons, daemon_) != daemons.end();
  }

  // Mounts something at the place until it has the number that the daemon's own mount had: the
  // kernel gives the lowest free one, also to whoever else mounts at this moment, as another test,
  // which may keep it until it ends.
  template <class MountThere>
  void take_number(MountThere&& mount_there) {
    const auto has_number = [&] { return stat_of(place_.path()).st_dev == device_; };
    const auto deadline = std::chrono::steady_clock::now() + std::chrono::minutes{4};
    mount_there();
    while (!has_number() && std::chrono::steady_clock::now() < deadline) {
      ASSERT_EQ(::umount2(place_.path().c_str(), UMOUNT_NOFOLLOW | MNT_DETACH), 0);
      ::usleep(20'000);
      mount_there();
    }
    ASSERT_TRUE(has_number()) << "this kernel does it otherwise";
  }

  void let_daemon_end() {
    ::kill(daemon_, SIGCONT);
    EXPECT_TRUE(eventually([&] { return !lives(); }));
  }

  Place place_;
  pid_t daemon_ = 0;
  dev_t device_ = 0;
};

TEST_F(MountThatEnded, LeavesANewMountAlone) {
  take_number([&] { ASSERT_EQ(mount(place_).status, 0); });
  let_daemon_end();
  EXPECT_EQ(must({"ls", (place_.path() / "models").string()}), "llama3.2+3b\n");
}

TEST_F(MountThatEnded, LeavesAnotherFileSystemAlone) {
  take_number([&] { ASSERT_EQ(::mount("theirs", place_.path().c_str(), "tmpfs", 0, nullptr), 0); });
  write_file(place_.path() / "mine", "mine");
  let_daemon_end();
  EXPECT_EQ(read_file(place_.path() / "mine"), "mine");
}

// As `umount -f` does it, or an administrator in /sys/fs/fuse/connections.
TEST_F(Life, AMountWhoseConnectionIsAbortedIsClearedAway) {
  const Place place;
  ASSERT_EQ(mount(place).status, 0);
  const std::ifstream open{weights_in(place.path()), std::ios::binary};
  EXPECT_EQ(::umount2(place.path().c_str(), MNT_FORCE), -1);  // busy: only ends the connection
  EXPECT_TRUE(eventually([&] { return place.daemons().empty(); }));
  EXPECT_FALSE(is_mounted(place.path()));
}

}  // namespace
}  // namespace ollamafs::test
