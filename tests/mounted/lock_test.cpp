// Locks. They are kept by the kernel, among the processes of this machine.
#include <gtest/gtest.h>
#include <sys/file.h>

#include "tests/mounted/every_file.h"
#include "tests/mounted/in_child.h"

namespace ollamafs::test {
namespace {

using Locks = EveryFile;

int set(const UniqueFd& fd, int command, short type) {
  struct flock lock {};
  lock.l_type = type;
  lock.l_whence = SEEK_SET;
  return ::fcntl(fd.get(), command, &lock) == 0 ? 0 : errno;
}

// The type of the lock that stands in the way of one of this type.
short in_the_way_of(const UniqueFd& fd, int command, short type) {
  struct flock lock {};
  lock.l_type = type;
  lock.l_whence = SEEK_SET;
  EXPECT_EQ(::fcntl(fd.get(), command, &lock), 0);
  return lock.l_type;
}

TEST_F(Locks, ForReadingAreGivenToAll) {
  for (const std::string& path : files()) {
    const UniqueFd one = opened(path), two = opened(path);
    for (const int command : {F_SETLK, F_OFD_SETLK, F_SETLKW, F_OFD_SETLKW}) {
      EXPECT_EQ(set(one, command, F_RDLCK), 0) << path;
      EXPECT_EQ(set(two, command, F_RDLCK), 0) << path;
      EXPECT_EQ(set(one, command, F_UNLCK), 0) << path;
      EXPECT_EQ(set(two, command, F_UNLCK), 0) << path;
    }
  }
}

// POSIX: such a lock needs a descriptor that is open for writing, which there is none of.
TEST_F(Locks, ForWritingAreGivenToNobody) {
  for (const std::string& path : files()) {
    const UniqueFd fd = opened(path);
    for (const int command : {F_SETLK, F_SETLKW, F_OFD_SETLK, F_OFD_SETLKW}) {
      EXPECT_EQ(set(fd, command, F_WRLCK), EBADF) << path;
    }
  }
}

TEST_F(Locks, AreSeenByOthers) {
  for (const std::string& path : files()) {
    const UniqueFd one = opened(path), two = opened(path);
    EXPECT_EQ(in_the_way_of(two, F_OFD_GETLK, F_WRLCK), F_UNLCK) << path;
    ASSERT_EQ(set(one, F_OFD_SETLK, F_RDLCK), 0);
    EXPECT_EQ(in_the_way_of(two, F_OFD_GETLK, F_WRLCK), F_RDLCK) << path;
    EXPECT_EQ(in_the_way_of(two, F_OFD_GETLK, F_RDLCK), F_UNLCK) << path;
    EXPECT_EQ(in_child({}, [&] { return std::to_string(in_the_way_of(two, F_GETLK, F_WRLCK)); }),
              std::to_string(F_RDLCK))
        << path;
    ASSERT_EQ(set(one, F_OFD_SETLK, F_UNLCK), 0);
    EXPECT_EQ(in_the_way_of(two, F_OFD_GETLK, F_WRLCK), F_UNLCK) << path;
  }
}

// flock(2) asks for no way of opening.
TEST_F(Locks, OfWholeFilesExcludeEachOther) {
  for (const std::string& path : all()) {
    UniqueFd one = opened(path);
    const UniqueFd two = opened(path);
    EXPECT_EQ(::flock(one.get(), LOCK_SH | LOCK_NB), 0) << path;
    EXPECT_EQ(::flock(two.get(), LOCK_SH | LOCK_NB), 0) << path;
    EXPECT_EQ(::flock(one.get(), LOCK_EX | LOCK_NB), -1) << path;
    EXPECT_EQ(errno, EWOULDBLOCK) << path;
    EXPECT_EQ(::flock(two.get(), LOCK_UN), 0) << path;
    EXPECT_EQ(::flock(one.get(), LOCK_EX | LOCK_NB), 0) << path;
    EXPECT_EQ(::flock(two.get(), LOCK_SH | LOCK_NB), -1) << path;
    one = UniqueFd{};  // a close ends them
    EXPECT_EQ(::flock(two.get(), LOCK_EX | LOCK_NB), 0) << path;
  }
}

}  // namespace
}  // namespace ollamafs::test
