// The usual ways to mount: mount(8) by type, and lines of fstab(5). With the real mount(8), which
// calls the program as /sbin/mount.ollamafs.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <filesystem>
#include <string>

#include "tests/mounted/environment.h"
#include "tests/mounted/life.h"
#include "tests/mounted/mount.h"
#include "tests/mounted/over.h"
#include "tests/mounted/sbin.h"
#include "tests/support/process.h"
#include "tests/support/store_builder.h"

namespace ollamafs::test {
namespace {

namespace fs = std::filesystem;
using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;

class MountHelper : public Life {
 protected:
  [[nodiscard]] Result mount_type(const Place& place, const Words& options = {},
                                  const std::string& type = "ollamafs",
                                  const std::string& store = {}) const {
    return run(Words{"mount", "-t", type} + options +
               Words{store.empty() ? store_.root().string() : store, place.path().string()});
  }

  // Writes a line of fstab.
  [[nodiscard]] fs::path fstab(const Place& place, const std::string& options,
                               const std::string& store = {}) const {
    const fs::path file = dir_ / "fstab";
    write_file(file, (store.empty() ? store_.root().string() : store) + " " +
                         place.path().string() + " ollamafs " + options + " 0 0\n");
    return file;
  }

  static std::string options_of(const Place& place) {
    return must({"findmnt", "-n", "-o", "OPTIONS", "--mountpoint", place.path().string()});
  }

  void expect_shown(const Place& place, const RunOptions& user = {}) const {
    EXPECT_EQ(must({"ls", (place.path() / "models").string()}, user), "llama3.2+3b\n");
    EXPECT_EQ(source_of(place.path()), store_.root());
  }

  const Sbin sbin_;
};

// ---- mount -t ----

TEST_F(MountHelper, MountsByEitherType) {
  for (const std::string type : {"ollamafs", "fuse.ollamafs"}) {
    const Place place;
    const Result result = mount_type(place, {}, type);
    EXPECT_EQ(result.status, 0) << result.err;
    EXPECT_EQ(result.out + result.err, "");  // as other file systems do it
    expect_shown(place);
    EXPECT_THAT(options_of(place), HasSubstr("ro,nosuid,nodev,noexec"));
    must({"umount", place.path().string()});
  }
}

TEST_F(MountHelper, SaysWhatItShowsWhereThatIsAsked) {
  const Place place;
  EXPECT_THAT(mount_type(place, {"-v"}).err, HasSubstr("shows the models of"));
}

TEST_F(MountHelper, FindsTheStoreThatIsCalledAuto) {
  const Place place;
  must({"env", "OLLAMA_MODELS=" + store_.root().string(), "mount", "-t", "ollamafs", "auto",
        place.path().string()},
       {.directory = "/"});
  expect_shown(place);
}

TEST_F(MountHelper, TakesItsOwnOptionsAndThoseOfEverybody) {
  const Place place;
  const Result result =
      mount_type(place, {"-o", "defaults,noatime,_netdev,x-gvfs-show,comment=mine,allow_other"});
  EXPECT_EQ(result.status, 0) << result.err;
  expect_shown(place);
  EXPECT_THAT(options_of(place), HasSubstr("allow_other"));
}

TEST_F(MountHelper, NamesWhatContradictsOrIsUnknown) {
  for (const std::string option :
       {"user,exec", "user,suid", "user,dev", "frob=1", "auto_unmount"}) {
    const Place place;
    const Result result = mount_type(place, {"-o", option});
    EXPECT_EQ(result.status, 1) << option;
    EXPECT_THAT(result.err, HasSubstr("-o " + option.substr(option.find(',') + 1)));
    EXPECT_FALSE(is_mounted(place.path()));
  }
}

// autofs asks for that.
TEST_F(MountHelper, PassesOverWhatIsUnknownIfItShall) {
  const Place place;
  const Result result = mount_type(place, {"-s", "-o", "frob=1,allow_other"});
  EXPECT_EQ(result.status, 0) << result.err;
  EXPECT_THAT(result.err, HasSubstr("frob=1"));
  expect_shown(place);
  const Place second;
  EXPECT_NE(mount_type(second, {"-s", "-o", "user,suid"}).status, 0);
}

TEST_F(MountHelper, TriesAllButTheMountIfItIsAFake) {
  const Place place;
  EXPECT_EQ(mount_type(place, {"-f"}).status, 0);
  EXPECT_FALSE(is_mounted(place.path()));
  EXPECT_NE(mount_type(place, {"-f"}, "ollamafs", (dir_ / "none").string()).status, 0);
}

TEST_F(MountHelper, FailsAsMount8Does) {
  const Place place;
  const Result result = mount_type(place, {}, "ollamafs", (dir_ / "none").string());
  EXPECT_EQ(result.status, 32);
  EXPECT_THAT(result.err, AllOf(HasSubstr("ollamafs: error: "), HasSubstr("none")));
  EXPECT_EQ(run({"/sbin/mount.ollamafs", store_.root().string()}).status, 1);
  EXPECT_EQ(run({"/sbin/mount.ollamafs", store_.root().string(), place.path().string(), "-o", "rw",
                 "-N", "/proc/1/ns/mnt"})
                .status,
            1);
  EXPECT_FALSE(is_mounted(place.path()));
}

TEST_F(MountHelper, TakesOptionsBehindThePlace) {
  const Place place;
  must({"/sbin/mount.ollamafs", store_.root().string(), place.path().string(), "-o", "ro"});
  expect_shown(place);
}

// ---- fstab ----

TEST_F(MountHelper, MountsALineOfFstab) {
  const Place place;
  const fs::path file = fstab(place, "allow_other,nofail,x-systemd.automount");
  must({"mount", "--fstab", file.string(), place.path().string()});
  expect_shown(place);
  EXPECT_THAT(options_of(place), HasSubstr("allow_other"));
  must({"umount", place.path().string()});
  ASSERT_TRUE(eventually([&] { return place.daemons().empty(); }));
  must({"mount", "--all", "--fstab", file.string()});
  expect_shown(place);
}

TEST_F(MountHelper, LeavesALineAloneThatIsNotAutomatic) {
  const Place place;
  const fs::path file = fstab(place, "defaults,noauto");
  must({"mount", "--all", "--fstab", file.string()});
  EXPECT_FALSE(is_mounted(place.path()));
  must({"mount", "--fstab", file.string(), place.path().string()});
  expect_shown(place);
}

TEST_F(MountHelper, MayLackItsStoreWithNofail) {
  const Place place;
  const std::string none = (dir_ / "none").string();
  const Result failing = run({"mount", "--all", "--fstab", fstab(place, "defaults", none)});
  EXPECT_NE(failing.status, 0);
  const Result result = run({"mount", "--all", "--fstab", fstab(place, "nofail", none)});
  EXPECT_EQ(result.status, 0) << result.err;
  EXPECT_FALSE(is_mounted(place.path()));
}

// mount(8) is setuid, and calls the helper as the user.
TEST_F(MountHelper, LetsAUserMountTheLineThatSaysSo) {
  must({"chmod", "0755", dir_.path().string()});
  const Place place{false, as_games_.as};
  const Over over{fstab(place, "user,noauto"), "/etc/fstab"};
  const Result result = run({"mount", place.path().string()}, as_games_);
  EXPECT_EQ(result.status, 0) << result.err;
  expect_shown(place, as_games_);
  EXPECT_THAT(options_of(place), HasSubstr("user_id=" + std::to_string(as_games_.as->uid)));
  must({"umount", place.path().string()}, as_games_);
  EXPECT_FALSE(is_mounted(place.path()));
}

}  // namespace
}  // namespace ollamafs::test
