#include "store/folder/store_dir.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <filesystem>
#include <ostream>
#include <string>
#include <system_error>
#include <thread>
#include <utility>
#include <vector>

#include "tests/support/store_builder.h"
#include "tests/support/temp_dir.h"

namespace ollamafs::test {
namespace {

namespace fs = std::filesystem;

using ::testing::HasSubstr;

// What opening a file came to, in a form that reads well when it is not the expected one.
struct Got {
  std::string bytes{};
  std::string error{};
  bool outside = false;

  bool operator==(const Got&) const = default;
  friend void PrintTo(const Got& got, std::ostream* out) {
    *out << '"' << got.bytes << "\" " << got.error << (got.outside ? " outside" : "");
  }
};

Got refused(std::errc error) {
  return {{}, std::make_error_code(error).message()};
}
Got found(std::string bytes) {
  return {std::move(bytes)};
}
Got followed(std::string bytes) {
  return {std::move(bytes), {}, true};
}

// store/ beside disk/ and disk2/, which are other places of the machine.
class StoreDirTest : public ::testing::Test {
 protected:
  StoreDirTest() {
    write_file(root() / "blobs/plain", "plain");
    write_file(disk() / "blob", "on the disk");
    write_file(dir_ / "disk2/blob", "on the other disk");
    write_file(dir_ / "secret", "secret");
  }

  [[nodiscard]] fs::path root() const { return dir_ / "store"; }
  [[nodiscard]] fs::path disk() const { return dir_ / "disk"; }

  // Makes the symlink blobs/link.
  void link_to(const fs::path& target) const {
    fs::remove(root() / "blobs/link");
    fs::create_symlink(target, root() / "blobs/link");
  }

  static Got get(const StoreDir& store, const std::string& relative = "blobs/link") {
    std::error_code ec;
    const StoreDir::Opened file = store.open_file(relative, ec);
    if (ec) return {{}, ec.message(), file.outside};
    char bytes[64];
    const ssize_t n = ::read(file.fd.get(), bytes, sizeof bytes);
    return {
        std::string(bytes, static_cast<std::size_t>(std::max<ssize_t>(n, 0))), {}, file.outside};
  }
  [[nodiscard]] Got refusing(const std::string& relative = "blobs/link") const {
    return get(StoreDir{root(), OutsideLinks::refuse}, relative);
  }
  [[nodiscard]] Got following(const std::string& relative = "blobs/link") const {
    return get(StoreDir{root(), OutsideLinks::follow}, relative);
  }

  TempDir dir_;
};

TEST_F(StoreDirTest, HasItsRealPath) {
  fs::create_directory_symlink(root(), dir_ / "by-link");
  EXPECT_EQ((StoreDir{dir_ / "by-link", OutsideLinks::refuse}.path()), root());
  EXPECT_EQ((StoreDir{dir_ / "disk/../store/.", OutsideLinks::refuse}.path()), root());
}

TEST_F(StoreDirTest, NamesTheFolderThatItCannotOpen) {
  for (const fs::path& path : {dir_ / "nowhere", dir_ / "secret"}) {
    try {
      const StoreDir store{path, OutsideLinks::refuse};
      ADD_FAILURE() << path << " was opened";
    } catch (const std::system_error& error) {
      EXPECT_THAT(error.what(), HasSubstr(path.string()));
    }
  }
  EXPECT_THROW((StoreDir{root(), OutsideLinks::refuse, {dir_ / "nowhere"}}), std::system_error);
}

TEST_F(StoreDirTest, OpensRegularFiles) {
  EXPECT_EQ(refusing("blobs/plain"), found("plain"));
  EXPECT_EQ(refusing("blobs/none"), refused(std::errc::no_such_file_or_directory));
  EXPECT_EQ(refusing("blobs/plain/none"), refused(std::errc::not_a_directory));
}

TEST_F(StoreDirTest, OpensNothingElseAsAFile) {
  fs::create_directory(root() / "blobs/directory");
  EXPECT_EQ(refusing("blobs/directory"), refused(std::errc::invalid_argument));
  link_to("/dev/null");
  EXPECT_EQ(following(), (Got{{}, refused(std::errc::invalid_argument).error}));
}

// Opening a FIFO for reading waits for a writer, who never comes.
TEST_F(StoreDirTest, DoesNotWaitForAFifo) {
  ASSERT_EQ(::mkfifo((root() / "blobs/fifo").c_str(), 0644), 0);
  EXPECT_EQ(refusing("blobs/fifo"), refused(std::errc::invalid_argument));
  link_to("fifo");
  EXPECT_EQ(refusing(), refused(std::errc::invalid_argument));
}

TEST_F(StoreDirTest, FollowsLinksInsideOfTheStore) {
  link_to("plain");
  EXPECT_EQ(refusing(), found("plain"));
  link_to("../blobs/./plain");
  EXPECT_EQ(refusing(), found("plain"));
  link_to(root() / "blobs/plain");  // absolute: leaves and comes back
  EXPECT_EQ(refusing(), found("plain"));
  EXPECT_EQ(following(), found("plain"));
}

TEST_F(StoreDirTest, FollowsALinkThatGoesRoundByAnotherDisk) {
  fs::create_symlink(root() / "blobs/plain", disk() / "back");
  link_to(disk() / "back");
  EXPECT_EQ(refusing(), found("plain"));
}

TEST_F(StoreDirTest, RefusesLinksThatLeadOut) {
  const Got out = refused(std::errc::cross_device_link);
  for (const fs::path& target :
       {disk() / "blob", fs::path{"../../secret"}, fs::path{"/etc/passwd"}}) {
    link_to(target);
    EXPECT_EQ(refusing(), out) << target;
  }
  fs::create_directory_symlink(disk(), root() / "elsewhere");
  EXPECT_EQ(refusing("elsewhere/blob"), out);
}

// They may lead into another mount namespace, where something else has the store's own path.
TEST_F(StoreDirTest, RefusesMagicLinks) {
  const Got out = refused(std::errc::too_many_symbolic_link_levels);
  link_to("/proc/self/root/etc/passwd");
  EXPECT_EQ(refusing(), out);

  write_file(root() / "blobs/x", "of the store");
  int ready[2], done[2];
  ASSERT_EQ(::pipe(ready), 0);
  ASSERT_EQ(::pipe(done), 0);
  const pid_t child = ::fork();
  if (child == 0) {
    const bool is_set =
        ::unshare(CLONE_NEWNS) == 0 &&
        ::mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr) == 0 &&
        ::mount("/etc/passwd", (root() / "blobs/x").c_str(), nullptr, MS_BIND, nullptr) == 0;
    char byte = is_set ? 'y' : 'n';
    if (::write(ready[1], &byte, 1) == 1) (void)!::read(done[0], &byte, 1);
    ::_exit(0);
  }
  char is_set = 'n';
  ASSERT_EQ(::read(ready[0], &is_set, 1), 1);
  EXPECT_EQ(is_set, 'y') << "needs root";
  link_to("/proc/" + std::to_string(child) + "/root" + (root() / "blobs/x").string());
  EXPECT_EQ(refusing(), out);
  EXPECT_EQ(::write(done[1], "", 1), 1);
  EXPECT_EQ(::waitpid(child, nullptr, 0), child);
  for (const int end : {ready[0], ready[1], done[0], done[1]}) ::close(end);
}

TEST_F(StoreDirTest, RefusesAPathThatClimbsItself) {
  const Got out = refused(std::errc::cross_device_link);
  EXPECT_EQ(refusing("../secret"), out);
  EXPECT_EQ(refusing("blobs/../../secret"), out);
  EXPECT_EQ(refusing((dir_ / "secret").string()), out);
}

TEST_F(StoreDirTest, FollowsLinksOutForWhomItMayAndSaysSo) {
  link_to(disk() / "blob");
  EXPECT_EQ(following(), followed("on the disk"));
  link_to("../../disk/blob");
  EXPECT_EQ(following(), followed("on the disk"));
  fs::create_directory_symlink(disk(), root() / "elsewhere");
  EXPECT_EQ(following("elsewhere/blob"), followed("on the disk"));
}

TEST_F(StoreDirTest, FollowsIntoTheDirectoriesThatWereNamed) {
  const StoreDir store{root(), OutsideLinks::refuse, {disk()}};
  link_to(disk() / "blob");
  EXPECT_EQ(get(store), found("on the disk"));
  link_to("../../disk/blob");
  EXPECT_EQ(get(store), found("on the disk"));
  link_to(dir_ / "disk2/blob");  // begins alike, is another
  EXPECT_EQ(get(store), refused(std::errc::cross_device_link));
  link_to(disk() / "../secret");
  EXPECT_EQ(get(store), refused(std::errc::cross_device_link));
}

TEST_F(StoreDirTest, DoesNotLeaveANamedDirectoryByALinkInIt) {
  fs::create_symlink(dir_ / "secret", disk() / "trap");
  link_to(disk() / "trap");
  EXPECT_EQ(get(StoreDir{root(), OutsideLinks::refuse, {disk()}}),
            refused(std::errc::cross_device_link));
}

TEST_F(StoreDirTest, TakesANamedDirectoryByItsRealPath) {
  fs::create_directory_symlink(disk(), dir_ / "mnt");
  link_to(dir_ / "mnt/blob");
  EXPECT_EQ(get(StoreDir{root(), OutsideLinks::refuse, {dir_ / "mnt/"}}), found("on the disk"));
}

TEST_F(StoreDirTest, SaysWhenALinkLeadsNowhere) {
  for (const fs::path& target : {fs::path{"none"}, dir_ / "none", fs::path{"../../none"}}) {
    link_to(target);
    EXPECT_EQ(refusing(), refused(std::errc::no_such_file_or_directory)) << target;
    EXPECT_EQ(following(), refused(std::errc::no_such_file_or_directory)) << target;
  }
  link_to("link");
  EXPECT_EQ(refusing(), refused(std::errc::too_many_symbolic_link_levels));
}

TEST_F(StoreDirTest, ShowsAnEntryThatIsALinkAsTheLink) {
  link_to(dir_ / "none");
  const StoreDir store{root(), OutsideLinks::refuse};
  std::error_code ec;
  const StoreDir::Opened entry = store.resolve_entry("blobs/link", ec);
  ASSERT_FALSE(ec) << ec.message();
  struct stat st {};
  ASSERT_EQ(::fstat(entry.fd.get(), &st), 0);
  EXPECT_TRUE(S_ISLNK(st.st_mode));
}

TEST_F(StoreDirTest, OpensDirectoriesByTheSameRules) {
  const StoreDir store{root(), OutsideLinks::refuse};
  std::error_code ec;
  EXPECT_TRUE(store.open_directory("blobs", ec).fd);
  EXPECT_FALSE(ec);
  EXPECT_FALSE(store.open_directory("blobs/plain", ec).fd);
  EXPECT_EQ(ec, std::errc::not_a_directory);
  link_to(root() / "blobs");
  EXPECT_TRUE(store.open_directory("blobs/link", ec).fd);
  link_to(disk());
  EXPECT_FALSE(store.open_directory("blobs/link", ec).fd);
  EXPECT_EQ(ec, std::errc::cross_device_link);
  const StoreDir::Opened opened =
      StoreDir{root(), OutsideLinks::follow}.open_directory("blobs/link", ec);
  EXPECT_TRUE(opened.fd);
  EXPECT_TRUE(opened.outside);
}

// Who swaps the folder for another one does not change what is read.
TEST_F(StoreDirTest, StaysWithTheFolderThatItOpened) {
  const StoreDir store{root(), OutsideLinks::refuse};
  fs::rename(root(), dir_ / "moved");
  write_file(root() / "blobs/plain", "another");
  EXPECT_EQ(get(store, "blobs/plain"), found("plain"));
}

// ---- reopen ----

TEST_F(StoreDirTest, OpensWhatIsAtItsPathByNow) {
  StoreDir store{root(), OutsideLinks::refuse};
  fs::rename(root(), dir_ / "moved");
  write_file(root() / "blobs/plain", "another");
  std::error_code ec = std::make_error_code(std::errc::io_error);
  store.reopen(ec);
  EXPECT_FALSE(ec);
  EXPECT_EQ(get(store, "blobs/plain"), found("another"));
  fs::create_symlink(dir_ / "moved/blobs/plain", root() / "blobs/old");
  EXPECT_EQ(get(store, "blobs/old"), refused(std::errc::cross_device_link)) << "outside by now";
}

TEST_F(StoreDirTest, FollowsALinkThatLeadsElsewhereByNow) {
  fs::create_directory_symlink(root(), dir_ / "link");
  StoreDir store{dir_ / "link", OutsideLinks::refuse};
  EXPECT_EQ(store.given_path(), dir_ / "link");
  EXPECT_EQ(get(store, "blobs/plain"), found("plain"));
  write_file(dir_ / "other/blobs/plain", "another");
  fs::remove(dir_ / "link");
  fs::create_directory_symlink(dir_ / "other", dir_ / "link");
  EXPECT_EQ(get(store, "blobs/plain"), found("plain"));
  std::error_code ec;
  store.reopen(ec);
  EXPECT_FALSE(ec);
  EXPECT_EQ(get(store, "blobs/plain"), found("another"));
  EXPECT_EQ(store.path(), fs::canonical(root())) << "of the folder that was opened first";
}

TEST_F(StoreDirTest, KeepsTheFolderThatItHasIfThePathLeadsNowhere) {
  StoreDir store{root(), OutsideLinks::refuse};
  fs::rename(root(), dir_ / "moved");
  std::error_code ec;
  store.reopen(ec);
  EXPECT_EQ(ec, std::errc::no_such_file_or_directory);
  EXPECT_EQ(get(store, "blobs/plain"), found("plain"));
  write_file(root(), "a file");
  store.reopen(ec);
  EXPECT_EQ(ec, std::errc::not_a_directory);
  EXPECT_EQ(get(store, "blobs/plain"), found("plain"));
}

TEST_F(StoreDirTest, KeepsAFolderOpenForWhoHasIt) {
  StoreDir store{root(), OutsideLinks::refuse};
  const auto folder = store.folder();
  struct stat before {
  }, after{}, now{};
  ASSERT_EQ(::fstat(folder->get(), &before), 0);
  fs::rename(root(), dir_ / "moved");
  fs::create_directory(root());
  std::error_code ec;
  store.reopen(ec);
  ASSERT_EQ(::fstat(folder->get(), &after), 0);
  ASSERT_EQ(::fstat(store.folder()->get(), &now), 0);
  EXPECT_EQ(after.st_ino, before.st_ino);
  EXPECT_NE(now.st_ino, before.st_ino);
}

TEST_F(StoreDirTest, MayBeReopenedWhileOthersRead) {
  StoreDir store{root(), OutsideLinks::refuse};
  std::atomic<bool> stop = false;
  std::vector<std::thread> threads;
  for (int thread = 0; thread < 3; ++thread) {
    threads.emplace_back([&] {
      while (!stop) EXPECT_EQ(get(store, "blobs/plain"), found("plain"));
    });
  }
  std::error_code ec;
  for (int i = 0; i < 500; ++i) {
    store.reopen(ec);
    EXPECT_FALSE(ec);
  }
  stop = true;
  for (std::thread& thread : threads) thread.join();
}

TEST(IsBeneath, ComparesWholeNames) {
  EXPECT_TRUE(is_beneath("/srv/models", "/srv/models"));
  EXPECT_TRUE(is_beneath("/srv/models/blobs/x", "/srv/models"));
  EXPECT_TRUE(is_beneath("/srv", "/"));
  EXPECT_FALSE(is_beneath("/srv/models2", "/srv/models"));
  EXPECT_FALSE(is_beneath("/srv", "/srv/models"));
  EXPECT_FALSE(is_beneath("/home", "/srv"));
}

TEST(IsBeneath, IsNothingBeneathAnUnknownDirectory) {
  EXPECT_TRUE(is_beneath("/a/b", "/a"));
  EXPECT_TRUE(is_beneath("/a", "/a"));
  EXPECT_FALSE(is_beneath("/ab", "/a"));
  EXPECT_FALSE(is_beneath("/a", ""));
}

}  // namespace
}  // namespace ollamafs::test
