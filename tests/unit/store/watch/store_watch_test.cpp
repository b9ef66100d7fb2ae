// What is told of single directories. That all of a store is watched: store_scanner_test.

#include "store/watch/store_watch.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <sys/stat.h>

#include <filesystem>
#include <fstream>
#include <string>

#include "store/base/unique_fd.h"
#include "store/model/digest.h"
#include "tests/support/few_descriptors.h"
#include "tests/support/inotify_watches.h"
#include "tests/support/store_builder.h"
#include "tests/support/temp_dir.h"

namespace ollamafs::test {
namespace {

namespace fs = std::filesystem;

using Kind = StoreWatch::Kind;

class StoreWatchTest : public ::testing::Test {
 protected:
  StoreWatchTest() { fs::create_directory(directory_); }

  void add(Kind kind) { add(kind, directory_); }
  void add(Kind kind, const fs::path& directory) {
    const UniqueFd fd{::open(directory.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC)};
    ASSERT_TRUE(fd);
    watch_.add(fd.get(), kind);
  }
  [[nodiscard]] bool is_readable() const {
    pollfd fd{watch_.descriptor(), POLLIN, 0};
    return ::poll(&fd, 1, 0) == 1;
  }

  TempDir temp_;
  fs::path directory_ = temp_ / "watched";
  std::string blob_ = Digest::of("x").blob_name();
  StoreWatch watch_;
};

TEST_F(StoreWatchTest, TellsOnceThatSomethingChanged) {
  add(Kind::manifests);
  EXPECT_FALSE(is_readable());
  EXPECT_FALSE(watch_.has_changed());
  write_file(directory_ / "tag", "x");
  EXPECT_TRUE(is_readable());
  EXPECT_TRUE(watch_.has_changed());
  EXPECT_FALSE(is_readable());
  EXPECT_FALSE(watch_.has_changed());
  EXPECT_FALSE(watch_.failure());
}

TEST_F(StoreWatchTest, TellsOfManifestsButNotOfTemporaryOnes) {
  add(Kind::manifests);
  write_file(directory_ / ".manifest-123", "x");
  EXPECT_FALSE(watch_.has_changed());
  fs::rename(directory_ / ".manifest-123", directory_ / "tag");
  EXPECT_TRUE(watch_.has_changed());
}

TEST_F(StoreWatchTest, TellsOfBlobsButNotOfDownloads) {
  add(Kind::blobs);
  for (const std::string& name : {blob_ + "-partial", blob_ + "-partial-0", std::string{"notes"}})
    write_file(directory_ / name, "x");
  EXPECT_FALSE(watch_.has_changed());
  fs::rename(directory_ / (blob_ + "-partial"), directory_ / blob_);
  EXPECT_TRUE(watch_.has_changed());
  fs::rename(directory_ / blob_, directory_ / (blob_ + "-partial"));
  EXPECT_TRUE(watch_.has_changed());
}

TEST_F(StoreWatchTest, TellsOfNothingThatIsOnlyRead) {
  write_file(directory_ / blob_, "x");
  add(Kind::manifests);
  (void)read_file(directory_ / blob_);
  EXPECT_FALSE(fs::is_empty(directory_));
  EXPECT_FALSE(watch_.has_changed());
}

TEST_F(StoreWatchTest, TellsOfTheNamesThatItWasGiven) {
  watch_.add_name(directory_, "one");
  watch_.add_name(directory_, "two");
  write_file(directory_ / "three", "x");
  EXPECT_FALSE(watch_.has_changed());
  fs::create_directory(directory_ / "two");
  EXPECT_TRUE(watch_.has_changed());
  fs::permissions(directory_ / "two", fs::perms::none);
  EXPECT_TRUE(watch_.has_changed());
  fs::create_directory_symlink("elsewhere", directory_ / "one");
  EXPECT_TRUE(watch_.has_changed());
}

TEST_F(StoreWatchTest, TellsOfNamesInADirectoryThatItWatchesForBlobsToo) {
  watch_.add_name(directory_, "one");
  add(Kind::blobs);
  write_file(directory_ / "one", "x");
  EXPECT_TRUE(watch_.has_changed());
  write_file(directory_ / blob_, "x");
  EXPECT_TRUE(watch_.has_changed());
  write_file(directory_ / "two", "x");
  EXPECT_FALSE(watch_.has_changed());
  EXPECT_EQ(inotify_watches(), 1);
}

TEST_F(StoreWatchTest, TellsThatADirectoryItselfWentOrMoved) {
  add(Kind::blobs);
  fs::rename(directory_, temp_ / "moved");
  EXPECT_TRUE(watch_.has_changed());
  fs::remove_all(temp_ / "moved");
  EXPECT_TRUE(watch_.has_changed());
  EXPECT_EQ(inotify_watches(), 0);
}

TEST_F(StoreWatchTest, WatchesTheDirectoryThatIsOpenWhateverItsNameLeadsTo) {
  const UniqueFd fd{::open(directory_.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC)};
  fs::rename(directory_, temp_ / "moved");
  fs::create_directory(directory_);
  watch_.add(fd.get(), Kind::manifests);
  write_file(directory_ / "tag", "x");
  EXPECT_FALSE(watch_.has_changed());
  write_file(temp_ / "moved/tag", "x");
  EXPECT_TRUE(watch_.has_changed());
}

TEST_F(StoreWatchTest, WatchesNoMoreWhatWasNotAddedAgain) {
  fs::create_directory(temp_ / "other");
  watch_.begin();
  add(Kind::manifests);
  add(Kind::manifests, temp_ / "other");
  watch_.end();
  EXPECT_EQ(inotify_watches(), 2);
  watch_.begin();
  add(Kind::manifests);
  watch_.end();
  EXPECT_EQ(inotify_watches(), 1);
  EXPECT_FALSE(watch_.has_changed()) << "to stop watching is no change";
  write_file(temp_ / "other/tag", "x");
  EXPECT_FALSE(watch_.has_changed());
  write_file(directory_ / "tag", "x");
  EXPECT_TRUE(watch_.has_changed());
}

TEST_F(StoreWatchTest, ForgetsNamesThatWereNotAddedAgain) {
  watch_.add_name(directory_, "one");
  watch_.begin();
  watch_.add_name(directory_, "two");
  watch_.end();
  write_file(directory_ / "one", "x");
  EXPECT_FALSE(watch_.has_changed());
  write_file(directory_ / "two", "x");
  EXPECT_TRUE(watch_.has_changed());
}

TEST_F(StoreWatchTest, TellsWhatHappenedBetweenTheTwoCalls) {
  add(Kind::manifests);
  watch_.begin();
  write_file(directory_ / "tag", "x");
  add(Kind::manifests);
  watch_.end();
  EXPECT_TRUE(watch_.has_changed());
}

TEST_F(StoreWatchTest, LeavesToOthersWhatIsNotThere) {
  watch_.add_name(temp_ / "missing", "one");
  write_file(temp_ / "file", "");
  watch_.add_name(temp_ / "file", "one");
  EXPECT_FALSE(watch_.failure());
  EXPECT_EQ(inotify_watches(), 0);
}

TEST_F(StoreWatchTest, TellsOfAChangeIfTooMuchHappened) {
  std::ifstream file{"/proc/sys/fs/inotify/max_queued_events"};
  int most = 0;
  file >> most;
  ASSERT_GT(most, 0);
  add(Kind::manifests);
  // Of two names in turn, because equal events that follow one another become one.
  for (int i = 0; i < most; ++i)
    ASSERT_EQ(
        ::mknod((directory_ / (i % 2 ? ".manifest-1" : ".manifest-2")).c_str(), S_IFREG, 0) == 0 ||
            fs::remove(directory_ / (i % 2 ? ".manifest-1" : ".manifest-2")),
        true);
  write_file(directory_ / "tag", "x");
  EXPECT_TRUE(watch_.has_changed());
  EXPECT_FALSE(watch_.has_changed());
}

TEST_F(StoreWatchTest, SaysWhyNothingCanBeWatched) {
  unsigned failures = 0, watches = 0;
  for (rlim_t limit = 0; limit < 64; ++limit) {
    const FewDescriptors shortage{limit};
    StoreWatch watch;
    ++(watch.failure() ? failures : watches);
    if (!watch.failure()) continue;
    EXPECT_NE(watch.failure()->find("Too many open files"), std::string::npos) << *watch.failure();
    EXPECT_EQ(watch.descriptor(), -1);
    watch.begin();
    watch.add_name(directory_, "one");
    watch.end();
    EXPECT_TRUE(watch.failure()) << "it stays so";
    EXPECT_FALSE(watch.has_changed());
  }
  EXPECT_GT(failures, 0u);
  EXPECT_GT(watches, 0u);
}

}  // namespace
}  // namespace ollamafs::test
