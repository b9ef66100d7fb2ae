// How a mount is taken away: by ollamafs umount, or by the next mount if its daemon has died.
#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/mount.h>

#include <cerrno>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>
#include <system_error>

#include "store/base/unique_fd.h"
#include "tests/mounted/life.h"
#include "tests/mounted/mount.h"
#include "tests/support/process.h"
#include "tests/support/store_builder.h"

namespace ollamafs::test {
namespace {

namespace fs = std::filesystem;
using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::SizeIs;
using ::testing::StartsWith;

using Umount = Life;
using DeadMount = Life;

// ---- ollamafs umount ----

TEST_F(Umount, EndsTheMountThroughAnyNameOfIt) {
  const Place place;
  fs::create_directory_symlink(place.path(), dir_ / "link");
  for (const std::string& name : {place.path().string(), place.path().string() + "/",
                                  (dir_ / "link").string(), place.path().filename().string()}) {
    ASSERT_EQ(mount(place).status, 0);
    const Result result = umount({name}, {.directory = place.path().parent_path()});
    EXPECT_EQ(result.status, 0) << result.err;
    EXPECT_EQ(result.out + result.err, "");
    EXPECT_FALSE(is_mounted(place.path())) << name;
    ASSERT_TRUE(eventually([&] { return place.daemons().empty(); }));
  }
}

TEST_F(Umount, OfABusyMountSaysSoAndWhatToDo) {
  for (const RunOptions& user : {RunOptions{}, as_games_}) {
    const Place place{false, user.as};
    ASSERT_EQ(mount(place, user).status, 0);
    const fs::path models = place.path() / "models";
    Background visitor{{"sh", "-c", "cd \"$0\" && exec sleep 1000", models.string()}, user};
    const std::string cwd = "/proc/" + std::to_string(visitor.pid()) + "/cwd";
    std::error_code ec;
    ASSERT_TRUE(eventually([&] { return fs::read_symlink(cwd, ec) == models; }));
    const Result result = umount({place.path().string()}, user);
    EXPECT_EQ(result.status, 1);
    EXPECT_THAT(result.err, AllOf(HasSubstr(place.path().string()), HasSubstr("busy"),
                                  HasSubstr("sleep (pid " + std::to_string(visitor.pid()) + ")"),
                                  HasSubstr("ollamafs umount --lazy")));
    EXPECT_EQ(run({"ls", models.string()}, user).status, 0);
    EXPECT_NE(run({"fusermount3", "-u", place.path().string()}, user).status, 0);
    EXPECT_EQ(run({"ls", models.string()}, user).status, 0);
  }
}

// By what it has mapped alone, too: as llama.cpp has its weights.
TEST_F(Umount, NamesWhoHasMappedABlob) {
  const Place place;
  ASSERT_EQ(mount(place).status, 0);
  Background visitor{{"python3", "-c",
                      "import mmap, sys, time\n"
                      "with open(sys.argv[1], 'rb') as file:\n"
                      "  mapped = mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ)\n"
                      "print('mapped', file=sys.stderr, flush=True)\n"
                      "time.sleep(1000)",
                      weights_in(place.path()).string()}};
  ASSERT_TRUE(eventually([&] { return visitor.err() == "mapped\n"; }));
  const Result result = umount({place.path().string()});
  EXPECT_EQ(result.status, 1);
  EXPECT_THAT(result.err, HasSubstr("python3 (pid " + std::to_string(visitor.pid()) + ")"));
}

TEST_F(Umount, OfRootsMountByAnotherUserBeginsWithThat) {
  const Place place{false, as_games_.as};
  ASSERT_EQ(mount(place).status, 0);
  const Result result = umount({place.path().string()}, as_games_);
  EXPECT_EQ(result.status, 1);
  EXPECT_THAT(result.err,
              StartsWith("ollamafs: error: root has mounted " + place.path().string() + ": `sudo"));
}

TEST_F(Umount, LazilyHidesABusyMountAndLetsWhatIsOpenBeRead) {
  for (const char* const flag : {"--lazy", "-l"}) {
    const Place place;
    ASSERT_EQ(mount(place).status, 0);
    std::ifstream open{weights_in(place.path()), std::ios::binary};
    std::string bytes(1000, '\0');
    open.read(bytes.data(), 1000);
    const Result result = umount({flag, place.path().string()});
    EXPECT_EQ(result.status, 0) << result.err;
    EXPECT_TRUE(fs::is_empty(place.path()));
    bytes.append(std::istreambuf_iterator<char>{open}, {});
    EXPECT_TRUE(bytes == read_file(store_.blob_path(weights())));
    EXPECT_THAT(place.daemons(), SizeIs(1));
    open.close();
    EXPECT_TRUE(eventually([&] { return place.daemons().empty(); }));
  }
}

TEST_F(Umount, RefusesWhatIsNotItsMount) {
  const Place place;
  const std::string path = place.path().string();
  Result result = umount({path});
  EXPECT_EQ(result.status, 1);
  EXPECT_THAT(result.err, HasSubstr(path + " is not a mount of ollamafs"));

  ASSERT_EQ(::mount("tmpfs", path.c_str(), "tmpfs", 0, nullptr), 0);
  result = umount({path});
  EXPECT_EQ(result.status, 1);
  EXPECT_THAT(result.err, AllOf(HasSubstr(path), HasSubstr("tmpfs")));
  EXPECT_TRUE(is_mounted(path));
}

TEST_F(Umount, OfAPathThatIsNotThereSaysSo) {
  const std::string path = (dir_ / "nowhere/view").string();
  const Result result = umount({path});
  EXPECT_EQ(result.status, 1);
  EXPECT_THAT(result.err, AllOf(HasSubstr(path), HasSubstr("No such file or directory")));
  EXPECT_THAT(result.err, Not(HasSubstr("made")));  // nobody wants to make it
}

TEST_F(Umount, OfAnotherUsersMountAdvisesSudo) {
  const Place place;
  ASSERT_EQ(mount(place).status, 0);
  const Result result = umount({place.path().string()}, as_games_);
  EXPECT_EQ(result.status, 1);
  EXPECT_THAT(result.err,
              AllOf(HasSubstr(place.path().string()), HasSubstr("sudo ollamafs umount")));
  EXPECT_TRUE(is_mounted(place.path()));
}

// ---- ollamafs umount, when nobody says which ----

class UmountAlone : public Life {
 protected:
  // The lines of sh where nobody has mounted anything else: $0 is the program, $1
  // the store, $2 and $3 are two places.
  [[nodiscard]] Result alone(const std::string& lines) const {
    return run({"unshare", "-m", "sh", "-ec",
                "umount -l -a -t fuse.ollamafs 2>/dev/null || true\n" + lines, binary(),
                store_.root(), first_.path(), second_.path()});
  }

  const Place first_, second_;
};

TEST_F(UmountAlone, EndsTheOnlyMount) {
  const Result result = alone("$0 mount --store $1 $2; $0 umount; ! findmnt $2");
  EXPECT_EQ(result.status, 0) << result.err;
}

TEST_F(UmountAlone, NamesSeveralAndEndsNone) {
  const Result result = alone(
      "$0 mount --store $1 $2; $0 mount --store $1 $3\n"
      "$0 umount || echo status $?; findmnt $2; findmnt $3; $0 umount $2 $3; ! findmnt $2");
  EXPECT_EQ(result.status, 0) << result.err;
  EXPECT_THAT(result.out, HasSubstr("status 2"));
  EXPECT_THAT(result.err, AllOf(HasSubstr("several"), HasSubstr(first_.path().string()),
                                HasSubstr(second_.path().string())));
}

TEST_F(UmountAlone, OfNothingSaysSo) {
  const Result result = alone("$0 umount");
  EXPECT_EQ(result.status, 1);
  EXPECT_THAT(result.err, HasSubstr("there is no mount of ollamafs"));
}

// What another user has mounted is not ended by the way, not even by root.
TEST_F(UmountAlone, LeavesTheMountsOfOthersAlone) {
  const Result result = alone(
      "chown games $2; setpriv --reuid games --regid games --clear-groups $0 mount --store $1 $2\n"
      "$0 umount || echo status $?; findmnt $2\n"
      "$0 umount $2");
  EXPECT_EQ(result.status, 0) << result.err;
  EXPECT_THAT(result.out, HasSubstr("status 1"));
  EXPECT_THAT(result.err, AllOf(HasSubstr("others have"), HasSubstr(first_.path().string())));
}

TEST_F(UmountAlone, OfSeveralEndsAllThatItCan) {
  const Result result = alone(
      "$0 mount --store $1 $2\n"
      "$0 umount $3 $2 || echo status $?; ! findmnt $2");
  EXPECT_EQ(result.status, 0) << result.err;
  EXPECT_THAT(result.out, HasSubstr("status 1"));
  EXPECT_THAT(result.err, HasSubstr(second_.path().string() + " is not a mount of ollamafs"));
}

// ---- mounts whose daemon has died ----

TEST_F(DeadMount, IsClearedByTheNextWithAMessage) {
  const Place place;
  leave_dead_mount(place);
  const Result result = mount(place);
  EXPECT_EQ(result.status, 0) << result.err;
  EXPECT_THAT(result.err, HasSubstr("cleared a dead mount at " + place.path().string()));
  EXPECT_EQ(must({"ls", (place.path() / "models").string()}), "llama3.2+3b\n");
  // Nothing of the dead one is left beneath.
  ASSERT_EQ(umount({place.path().string()}).status, 0);
  EXPECT_FALSE(is_mounted(place.path()));
}

TEST_F(DeadMount, IsClearedForAnOrdinaryUser) {
  const Place place{false, as_games_.as};
  leave_dead_mount(place, as_games_);
  const Result result = mount(place, as_games_);
  EXPECT_EQ(result.status, 0) << result.err;
  EXPECT_THAT(result.err, HasSubstr("cleared a dead mount at " + place.path().string()));
  EXPECT_EQ(must({"ls", (place.path() / "models").string()}, as_games_), "llama3.2+3b\n");
}

// Root may not look into a user's mount, dead or alive, and so may not know that it can go: then it
// must be told what helps.
TEST_F(DeadMount, OfAUserDoesNotLeaveRootHelpless) {
  const Place place{false, as_games_.as};
  leave_dead_mount(place, as_games_);
  if (const Result result = mount(place); result.status != 0) {
    EXPECT_THAT(result.err, AllOf(HasSubstr(place.path().string()), HasSubstr("ollamafs umount")));
    EXPECT_EQ(umount({place.path().string()}).status, 0);
    EXPECT_EQ(mount(place).status, 0);
  }
  EXPECT_EQ(must({"ls", (place.path() / "models").string()}), "llama3.2+3b\n");
}

// As two daemons leave them that were started at once.
TEST_F(DeadMount, OnAnotherIsClearedWithIt) {
  for (const RunOptions& user : {RunOptions{}, as_games_}) {
    const Place place{false, user.as}, second{false, user.as};
    leave_dead_mount(place, user);
    ASSERT_EQ(mount(second, user).status, 0);
    ASSERT_EQ(::mount(second.path().c_str(), place.path().c_str(), nullptr, MS_BIND, nullptr), 0);
    kill_daemon(second, user);
    const Result result = mount(place, user);
    EXPECT_EQ(result.status, 0) << result.err;
    ASSERT_EQ(umount({place.path().string()}, user).status, 0);
    EXPECT_FALSE(is_mounted(place.path()));
  }
}

TEST_F(DeadMount, OfAnotherFileSystemIsNotTouched) {
  const Place place;
  UniqueFd fuse{::open("/dev/fuse", O_RDWR | O_CLOEXEC)};
  const std::string options =
      "fd=" + std::to_string(fuse.get()) + ",rootmode=40000,user_id=0,group_id=0";
  ASSERT_EQ(
      ::mount("theirs", place.path().c_str(), "fuse.theirs", MS_NOSUID | MS_NODEV, options.c_str()),
      0);
  fuse = UniqueFd{};
  ASSERT_EQ(listing_fails_with(place.path()), ENOTCONN);

  const Result result = mount(place);
  EXPECT_EQ(result.status, 1);
  EXPECT_THAT(result.err, AllOf(HasSubstr(place.path().string()), HasSubstr("fuse.theirs"),
                                HasSubstr("fusermount3 -u")));
  EXPECT_TRUE(is_mounted(place.path()));
}

}  // namespace
}  // namespace ollamafs::test
