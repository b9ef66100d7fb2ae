// A daemon ends its own mount, and no other that stands in its place by then.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/mount.h>

#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>

#include "tests/mounted/life.h"

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

}  // namespace
}  // namespace ollamafs::test
