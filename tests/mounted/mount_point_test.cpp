// Where a mount is to be made: the mount point and the machine. A mount that cannot be made says
// why and leaves nothing behind.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/stat.h>

#include <cerrno>
#include <chrono>
#include <cstring>
#include <filesystem>
#include <string>

#include "tests/mounted/environment.h"
#include "tests/mounted/life.h"
#include "tests/mounted/mount.h"
#include "tests/support/process.h"
#include "tests/support/store_builder.h"

namespace ollamafs::test {
namespace {

namespace fs = std::filesystem;
using ::testing::AllOf;
using ::testing::HasSubstr;

// Everything about a place that a failed mount must not change.
std::string state_of(const fs::path& place) {
  std::string state = source_of(place) + " ";
  struct stat st {};
  if (::lstat(place.c_str(), &st) != 0) return state + std::strerror(errno);
  state += std::to_string(st.st_ino) + " " + std::to_string(st.st_mode) + " " +
           std::to_string(st.st_uid);
  if (!S_ISDIR(st.st_mode)) return state;
  for (const auto& entry : fs::directory_iterator{place}) state += " " + entry.path().string();
  return state;
}

// The mount of the store at a place.
class MountAt : public Environment {
 protected:
  [[nodiscard]] Words mount_at(const fs::path& place) const {
    return {binary(), "mount", "--store", store_.root().string(), place.string()};
  }

  // The command fails with this status and says all these words, from the background as from the
  // foreground. Afterwards everything at `place` is as before, and no process is left.
  void expect_refused(const Words& command, const fs::path& place, const Words& told,
                      int status = 1, const RunOptions& options = {}) const {
    const std::string before = state_of(place);
    const auto processes = processes_with(store_.root());
    for (const Words& flag : {Words{}, Words{"-f"}}) {
      const Result result = run(command + flag, options);
      EXPECT_EQ(result.status, status) << result.err;
      EXPECT_EQ(result.out, "");
      EXPECT_THAT(result.err, HasSubstr("ollamafs: error: "));
      for (const std::string& word : told) EXPECT_THAT(result.err, HasSubstr(word));
      EXPECT_EQ(state_of(place), before);
      EXPECT_EQ(processes_with(store_.root()), processes);
    }
  }
};

using MountPoint = MountAt;
using Machine = MountAt;

// ---- the mount point ----

TEST_F(MountPoint, ThatIsAFileIsRefused) {
  const MountDir dir{true};
  const fs::path file = dir_ / "file";
  write_file(file, "mine");
  expect_refused(mount_at(file), file, {file.string(), "not a directory"});
  EXPECT_EQ(read_file(file), "mine");
}

TEST_F(MountPoint, WithoutAParentIsRefused) {
  const fs::path place = dir_ / "no/view";
  expect_refused(mount_at(place), place.parent_path(),
                 {place.string(), "No such file or directory"});
}

TEST_F(MountPoint, BelowAFileIsRefused) {
  write_file(dir_ / "file", "mine");
  const fs::path place = dir_ / "file/view";
  expect_refused(mount_at(place), place, {place.string(), "Not a directory"});
}

TEST_F(MountPoint, WithFilesInItIsRefused) {
  const MountDir dir;
  write_file(dir.path() / "mine", "mine");
  expect_refused(mount_at(dir.path()), dir.path(),
                 {dir.path().string(), "not empty", "-o nonempty"});
  fs::remove(dir.path() / "mine");
}

TEST_F(MountPoint, WithFilesInItHidesThemIfToldTo) {
  const fs::path place = dir_ / "view";
  write_file(place / "mine", "mine");
  must(mount_at(place) + Words{"-o", "nonempty"});
  EXPECT_FALSE(fs::exists(place / "mine"));
  EXPECT_TRUE(fs::exists(place / "README.txt"));
  must({binary(), "umount", place.string()});
  EXPECT_EQ(read_file(place / "mine"), "mine");
}

TEST_F(MountPoint, WhereAStoreIsShownAlreadyIsNamed) {
  const Mount mount{store_.root()};
  expect_refused(mount_at(mount.path()), mount.path(),
                 {mount.path().string(), "in use", store_.root().string(), "ollamafs umount"});
}

// Which root may not look into.
TEST_F(MountPoint, WhereAnotherUserIsShownAStoreIsNamed) {
  const Mount mount{store_.root(), {.run = as_games_}};
  expect_refused(mount_at(mount.path()), mount.path(),
                 {mount.path().string(), "in use", "ollamafs umount"});
}

TEST_F(MountPoint, OfAnotherFileSystemIsNamed) {
  const MountDir dir;
  ASSERT_EQ(::mount("theirs", dir.path().c_str(), "tmpfs", 0, nullptr), 0);
  expect_refused(mount_at(dir.path()), dir.path(),
                 {dir.path().string(), "in use", "theirs", "tmpfs"});
  EXPECT_EQ(::umount2(dir.path().c_str(), 0), 0);
}

// However the one or the other is spelled.
TEST_F(MountPoint, InTheStoreIsRefused) {
  fs::create_directory_symlink(store_.root(), dir_ / "link");
  fs::create_directory_symlink(store_.root() / "blobs", dir_ / "blobs");
  fs::create_directory(store_.root() / "view");
  for (const fs::path& place : {store_.root(), store_.root() / "new", store_.root() / "view",
                                dir_ / "link", dir_ / "link/new", dir_ / "link/view/",
                                store_.root() / "../models/new", dir_ / "blobs/../new"}) {
    SCOPED_TRACE(place);
    expect_refused(mount_at(place), place, {"lies in", store_.root().string()});
  }
  expect_refused(
      {binary(), "mount", "--store", (dir_ / "link").string(), (store_.root() / "new").string()},
      store_.root() / "new", {"lies in", store_.root().string()});
}

TEST_F(MountPoint, AroundTheStoreIsRefused) {
  fs::create_directory_symlink(dir_.path(), dir_ / "link");
  for (const fs::path& place : {dir_.path(), dir_ / "link", dir_ / "models/.."}) {
    SCOPED_TRACE(place);
    expect_refused(mount_at(place) + Words{"-o", "nonempty"}, dir_.path(),
                   {"lies in", store_.root().string()});
  }
}

// ".." behind a symlink is above the place where that leads, as for every other program.
TEST_F(MountPoint, MeansWhatTheKernelMeans) {
  fs::create_directories(dir_ / "there/below");
  fs::create_directory_symlink(dir_ / "there/below", dir_ / "link");
  must(mount_at(dir_ / "link/../view"));
  EXPECT_TRUE(is_mounted(dir_ / "there/view"));
  EXPECT_FALSE(is_mounted(dir_ / "view"));
  must({binary(), "umount", (dir_ / "link/../view").string()});
}

// ---- the machine ----

Words as_games(const Words& command) {
  const User games = User::named("games");
  return Words{"setpriv",
               "--reuid",
               std::to_string(games.uid),
               "--regid",
               std::to_string(games.gid),
               "--clear-groups",
               "--"} +
         command;
}

TEST_F(Machine, WithoutFuseIsTold) {
  const std::string bare = "mount -t tmpfs none /dev; mknod -m 666 /dev/null c 1 3";
  const MountDir root_place{true}, user_place{true, as_games_.as};
  expect_refused(within(bare, mount_at(root_place.path())), root_place.path(),
                 {"there is no /dev/fuse", "modprobe fuse", "--device /dev/fuse"});
  expect_refused(within(bare, as_games(mount_at(user_place.path()))), user_place.path(),
                 {"there is no /dev/fuse", "modprobe fuse"});
  // As the message promises.
  EXPECT_THAT(must(within(bare, {binary(), "list", "--store", store_.root().string()})),
              HasSubstr("llama3.2:3b"));
}

TEST_F(Machine, WithAClosedFuseIsToldToOrdinaryUsers) {
  const std::string closed =
      "mount -t tmpfs none /mnt; mknod -m 600 /mnt/fuse c 10 229; mount --bind /mnt/fuse /dev/fuse";
  const MountDir place{true, as_games_.as};
  expect_refused(within(closed, as_games(mount_at(place.path()))), place.path(),
                 {"/dev/fuse", "Permission denied", "chmod 0666 /dev/fuse", "sudo ollamafs mount"});
}

// `command` as games where there is no fusermount3; `tools` is an empty directory.
Words without_fusermount(const fs::path& tools, const Words& command) {
  Words line = as_games(command);
  line[0] = (tools / line[0]).string();
  return within("mount --bind /usr/bin " + tools.string() + "; PATH=" + tools.string() +
                    "; mount -t tmpfs none /usr/bin; PATH=/nowhere",
                line);
}

TEST_F(Machine, WithoutFusermountIsToldToOrdinaryUsers) {
  const MountDir tools, place{true, as_games_.as};
  expect_refused(without_fusermount(tools.path(), mount_at(place.path())), place.path(),
                 {"fusermount3", "missing", "package fuse3", "sudo ollamafs mount"});

  const Mount mount{store_.root(), {.run = as_games_}};
  const Result result =
      run(without_fusermount(tools.path(), {binary(), "umount", mount.path().string()}));
  EXPECT_EQ(result.status, 1);
  EXPECT_THAT(result.err, AllOf(HasSubstr("ollamafs: error: "), HasSubstr(mount.path().string()),
                                HasSubstr("fusermount3")));
  EXPECT_TRUE(is_mounted(mount.path()));
}

// A service's PATH may lack it; libfuse knows where it is.
TEST_F(Machine, WithoutFusermountInThePathStillMountsAndUnmounts) {
  Mount mount{store_.root(), {.run = {.as = as_games_.as, .environment = {{"PATH", "/nowhere"}}}}};
  EXPECT_EQ(must({"ls", (mount / "models").string()}, as_games_), "llama3.2+3b\n");
  mount.daemon().signal(SIGTERM);
  EXPECT_EQ(mount.daemon().wait(std::chrono::seconds{30}), 0) << mount.log();
  EXPECT_FALSE(is_mounted(mount.path()));
}

TEST_F(Machine, WhereTheMountPointCannotBeMadeIsTold) {
  const MountDir of_root{true};
  expect_refused(mount_at(of_root.path()), of_root.path(),
                 {of_root.path().string(), "Permission denied"}, 1, as_games_);
  const MountDir on_read_only;
  const fs::path place = on_read_only.path() / "view";
  expect_refused(
      within("mount -t tmpfs -o ro none " + on_read_only.path().string(), mount_at(place)), place,
      {place.string(), "Read-only file system"});
}

// fusermount3 says why.
TEST_F(Machine, WhereTheMountPointIsAnotherUsersIsTold) {
  const MountDir of_root;
  expect_refused(mount_at(of_root.path()), of_root.path(),
                 {"fusermount3: ", "no write access", "cannot mount at " + of_root.path().string()},
                 1, as_games_);
}

}  // namespace
}  // namespace ollamafs::test
