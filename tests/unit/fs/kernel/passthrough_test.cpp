#include "fs/kernel/passthrough.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <cerrno>
#include <random>
#include <set>
#include <thread>
#include <vector>

namespace ollamafs::test {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::SizeIs;
using Way = BlobAccess::Way;

constexpr int kFile = 7;  // a descriptor; nobody looks at it
constexpr int kNoFile = -1;
constexpr InodeNumber kInode = 100;

// A kernel that takes files until it is told to refuse them.
struct Kernel {
  bool offers = true;
  int refuses_with = 0;  // errno
  int next = 1;
  std::set<int> registered;
  std::vector<int> used;  // by the opens, 0: none
};

class PassthroughTest : public ::testing::Test {
 protected:
  PassthroughTest() { kernel() = Kernel{}; }

  // The calls have no place for a pointer.
  static Kernel& kernel() {
    static Kernel kernel;
    return kernel;
  }
  static constexpr BackingCalls kCalls{
      [](fuse_conn_info&) { return kernel().offers; },
      [](fuse_req_t, int) {
        if (kernel().refuses_with != 0) {
          errno = kernel().refuses_with;
          return 0;
        }
        kernel().registered.insert(kernel().next);
        return kernel().next++;
      },
      [](fuse_req_t, int id) { EXPECT_EQ(kernel().registered.erase(id), 1u); },
      [](fuse_file_info&, int id) { kernel().used.back() = id; },
  };

  void open(InodeNumber ino, int fd = kFile) { EXPECT_TRUE(try_to_open(ino, FileIdentity{}, fd)); }
  bool try_to_open(InodeNumber ino, const FileIdentity& file, int fd = kFile) {
    kernel().used.push_back(0);
    fuse_file_info info{};
    return passthrough_.open(nullptr, ino, file, fd, info);
  }
  void negotiate() {
    fuse_conn_info connection{};
    passthrough_.negotiate(connection);
  }

  std::vector<BlobAccess> refusals_;
  Passthrough passthrough_{&kCalls, [this](BlobAccess access) { refusals_.push_back(access); }};
};

TEST_F(PassthroughTest, GivesAllOpensOfAnInodeOneId) {
  negotiate();
  EXPECT_EQ(passthrough_.access().way, Way::untried);
  open(kInode);
  open(kInode);
  open(kInode + 1);
  EXPECT_THAT(kernel().used, ElementsAre(1, 1, 2));
  EXPECT_EQ(passthrough_.access().way, Way::passthrough);
}

TEST_F(PassthroughTest, GivesIdsBackWithTheLastRelease) {
  negotiate();
  open(kInode);
  open(kInode);
  passthrough_.release(nullptr, kInode);
  EXPECT_THAT(kernel().registered, ElementsAre(1));
  passthrough_.release(nullptr, kInode);
  EXPECT_THAT(kernel().registered, IsEmpty());
  for (int i = 0; i < 1000; ++i) {
    open(kInode);
    passthrough_.release(nullptr, kInode);
  }
  EXPECT_THAT(kernel().registered, IsEmpty());
}

// The request that could give it back has ended with its reply.
TEST_F(PassthroughTest, GivesTheIdOfACancelledOpenBackWithTheNextRequest) {
  negotiate();
  open(kInode);
  passthrough_.cancel(kInode);
  EXPECT_THAT(kernel().registered, ElementsAre(1));
  open(kInode);
  EXPECT_THAT(kernel().registered, ElementsAre(2));
}

TEST_F(PassthroughTest, NeverMixesTheWaysOfOneInode) {
  negotiate();
  open(kInode, kNoFile);  // held in memory, say
  open(kInode);
  EXPECT_THAT(kernel().used, ElementsAre(0, 0));
  passthrough_.release(nullptr, kInode);
  open(kInode);
  EXPECT_THAT(kernel().used, ElementsAre(0, 0, 0));
  passthrough_.release(nullptr, kInode);
  passthrough_.release(nullptr, kInode);
  open(kInode);
  open(kInode, kNoFile);
  EXPECT_THAT(kernel().used, ElementsAre(0, 0, 0, 1, 1));
}

TEST_F(PassthroughTest, AsksNoMoreAfterARefusalAndSaysItOnce) {
  negotiate();
  open(kInode);
  kernel().refuses_with = EPERM;
  open(kInode + 1);
  kernel().refuses_with = 0;
  open(kInode + 2);
  EXPECT_THAT(kernel().used, ElementsAre(1, 0, 0));
  ASSERT_THAT(refusals_, SizeIs(1));
  EXPECT_EQ(refusals_[0].way, Way::refused);
  EXPECT_EQ(refusals_[0].error, EPERM);
  // What is open by passthrough must stay so for who opens it now.
  open(kInode);
  EXPECT_THAT(kernel().used, ElementsAre(1, 0, 0, 1));
}

TEST_F(PassthroughTest, AsksAgainAfterAShortage) {
  negotiate();
  for (const int error : {ENOMEM, EMFILE, ENFILE}) {
    kernel().refuses_with = error;
    open(kInode);
    kernel().refuses_with = 0;
    open(kInode);      // must be as the first
    open(kInode + 1);  // need not
    for (const InodeNumber ino : {kInode, kInode, kInode + 1}) passthrough_.release(nullptr, ino);
  }
  EXPECT_THAT(kernel().used, ElementsAre(0, 0, 1, 0, 0, 2, 0, 0, 3));
  EXPECT_THAT(refusals_, IsEmpty());
  EXPECT_EQ(passthrough_.access().way, Way::passthrough);
}

TEST_F(PassthroughTest, KeepsEveryInodesWayToItsLastCloseAfterARefusal) {
  negotiate();
  open(kInode);
  kernel().refuses_with = ELOOP;
  open(kInode + 1);
  kernel().refuses_with = 0;
  open(kInode + 1);
  open(kInode);
  EXPECT_THAT(kernel().used, ElementsAre(1, 0, 0, 1));
  for (int i = 0; i < 2; ++i) {
    EXPECT_THAT(kernel().registered, ElementsAre(1));
    passthrough_.release(nullptr, kInode);
    passthrough_.release(nullptr, kInode + 1);
  }
  EXPECT_THAT(kernel().registered, IsEmpty());
  open(kInode);
  EXPECT_THAT(kernel().used, ElementsAre(1, 0, 0, 1, 0));
}

// Eight threads, and inodes whose first open and last close come again and again. The kernel would
// refuse an open whose id is not that of the inode's other opens.
TEST_F(PassthroughTest, LeavesNoIdBehindAfterManyOpensAtOnce) {
  static constexpr BackingCalls calls{
      kCalls.negotiate, kCalls.open, kCalls.close,
      [](fuse_file_info& info, int id) { info.fh = static_cast<std::uint64_t>(id); }};
  Passthrough passthrough{&calls, [](BlobAccess) { FAIL(); }};
  constexpr std::size_t inodes = 3;
  std::atomic<int> wrong = 0;
  const auto open_and_close = [&](unsigned seed) {
    std::mt19937 random{seed};
    for (int i = 0; i < 1000; ++i) {
      const std::size_t at = random() % inodes;
      fuse_file_info info{};
      (void)passthrough.open(nullptr, kInode + at, {}, kFile, info);
      fuse_file_info again{};
      (void)passthrough.open(nullptr, kInode + at, {}, kFile, again);
      if (info.fh == 0 || again.fh != info.fh) ++wrong;
      if (random() % 2) std::this_thread::yield();
      passthrough.cancel(kInode + at);
      passthrough.release(nullptr, kInode + at);
    }
  };
  std::vector<std::jthread> threads;
  for (unsigned seed = 0; seed < 8; ++seed) threads.emplace_back(open_and_close, seed);
  threads.clear();
  EXPECT_EQ(wrong, 0);
  EXPECT_GT(kernel().next, static_cast<int>(inodes));  // decisions were freed in between
  EXPECT_THAT(kernel().registered, IsEmpty());
}

// Who has the old file open would be given its bytes for those of the new one.
TEST_F(PassthroughTest, IsOfOneFileAtATime) {
  negotiate();
  const FileIdentity old_file{.device = 1, .inode = 2, .size = 3};
  const FileIdentity new_file{.device = 1, .inode = 4, .size = 3};
  EXPECT_TRUE(try_to_open(kInode, old_file));
  EXPECT_FALSE(try_to_open(kInode, new_file));
  EXPECT_TRUE(try_to_open(kInode, old_file));
  passthrough_.release(nullptr, kInode);
  passthrough_.release(nullptr, kInode);
  EXPECT_TRUE(try_to_open(kInode, new_file));
  passthrough_.release(nullptr, kInode);
  EXPECT_THAT(kernel().registered, IsEmpty());
}

TEST_F(PassthroughTest, IsNotAskedOfAKernelThatHasNone) {
  kernel().offers = false;
  negotiate();
  open(kInode);
  EXPECT_THAT(kernel().used, ElementsAre(0));
  EXPECT_EQ(passthrough_.access().way, Way::no_kernel);
  EXPECT_THAT(refusals_, IsEmpty());
}

TEST_F(PassthroughTest, IsNotAskedOfALibraryThatHasNone) {
  Passthrough none{nullptr, [](BlobAccess) { FAIL(); }};
  fuse_conn_info connection{};
  none.negotiate(connection);
  fuse_file_info info{};
  EXPECT_TRUE(none.open(nullptr, kInode, {}, kFile, info));
  none.release(nullptr, kInode);
  EXPECT_EQ(none.access().way, Way::no_library);
}

}  // namespace
}  // namespace ollamafs::test
