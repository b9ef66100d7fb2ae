// The calls that a file system has to answer beside reading: each as read-only file systems do.
#include <gmock/gmock.h>
#include <linux/fiemap.h>
#include <linux/fs.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <array>
#include <cstdlib>
#include <cstring>
#include <limits>
#include <memory>

#include "tests/mounted/every_file.h"

namespace ollamafs::test {
namespace {

using FileCalls = EveryFile;

TEST_F(FileCalls, StatxTellsWhatStatTells) {
  for (const std::string& path : all()) {
    struct statx stx {};
    ASSERT_EQ(::statx(AT_FDCWD, path.c_str(), AT_SYMLINK_NOFOLLOW, STATX_ALL, &stx), 0) << path;
    const struct stat st = stat_of(path);
    EXPECT_EQ(stx.stx_mask & STATX_BASIC_STATS, unsigned{STATX_BASIC_STATS}) << path;
    EXPECT_EQ(stx.stx_ino, st.st_ino);
    EXPECT_EQ(stx.stx_mode, st.st_mode);
    EXPECT_EQ(stx.stx_nlink, st.st_nlink);
    EXPECT_EQ(stx.stx_size, static_cast<std::uint64_t>(st.st_size));
    EXPECT_EQ(stx.stx_blocks, static_cast<std::uint64_t>((st.st_size + 511) / 512)) << path;
    EXPECT_EQ(stx.stx_mtime.tv_sec, st.st_mtime);
    EXPECT_EQ(stx.stx_blksize, 4096u);
    // A store tells no time of birth; 0 would be one, in 1970.
    EXPECT_FALSE(stx.stx_mask & STATX_BTIME) << path;
    constexpr std::uint64_t odd = STATX_ATTR_COMPRESSED | STATX_ATTR_IMMUTABLE | STATX_ATTR_APPEND |
                                  STATX_ATTR_ENCRYPTED | STATX_ATTR_AUTOMOUNT | STATX_ATTR_VERITY;
    EXPECT_EQ(stx.stx_attributes & odd, 0u) << path;
    EXPECT_EQ((stx.stx_attributes & STATX_ATTR_MOUNT_ROOT) != 0, path == mount_->path()) << path;
  }
}

TEST_F(FileCalls, ASecondStatOfAnOpenFileIsTheSame) {
  for (const std::string& path : all()) {
    const UniqueFd fd = opened(path);
    struct statx stx {};
    ASSERT_EQ(::statx(fd.get(), "", AT_EMPTY_PATH | AT_STATX_FORCE_SYNC, STATX_ALL, &stx), 0);
    EXPECT_EQ(stx.stx_ino, stat_of(path).st_ino) << path;
    ASSERT_EQ(::statx(fd.get(), "", AT_EMPTY_PATH | AT_STATX_DONT_SYNC, STATX_ALL, &stx), 0);
    EXPECT_EQ(stx.stx_ino, stat_of(path).st_ino) << path;
  }
}

// What dd, GNU tar and databases do: whole pages into a buffer that begins with a page.
TEST_F(FileCalls, ReadPastThePageCache) {
  constexpr std::size_t size = 1u << 20;
  const std::unique_ptr<void, decltype(&std::free)> buffer{std::aligned_alloc(4096, size),
                                                           std::free};
  for (const std::string& path : files()) {
    const std::string right = read_file(path);
    const UniqueFd fd = opened(path, O_DIRECT);
    std::string read;
    for (ssize_t n; (n = ::read(fd.get(), buffer.get(), size)) > 0;) {
      read.append(static_cast<const char*>(buffer.get()), static_cast<std::size_t>(n));
    }
    EXPECT_TRUE(read == right) << path;
    EXPECT_EQ(::fcntl(fd.get(), F_GETFL) & O_DIRECT, O_DIRECT);
  }
}

TEST_F(FileCalls, MapsForReadingOnly) {
  for (const std::string& path : files()) {
    const UniqueFd fd = opened(path);
    EXPECT_EQ(::mmap(nullptr, 1, PROT_READ | PROT_WRITE, MAP_SHARED, fd.get(), 0), MAP_FAILED);
    EXPECT_EQ(errno, EACCES) << path;
    // noexec
    EXPECT_EQ(::mmap(nullptr, 1, PROT_READ | PROT_EXEC, MAP_PRIVATE, fd.get(), 0), MAP_FAILED);
    EXPECT_EQ(errno, EPERM) << path;
    // A private mapping may be written to: that is a copy.
    void* at = ::mmap(nullptr, 1, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd.get(), 0);
    ASSERT_NE(at, MAP_FAILED) << path << std::strerror(errno);
    const std::string before = read_file(path);
    *static_cast<char*>(at) ^= 1;
    EXPECT_TRUE(read_file(path) == before) << path;
    ::munmap(at, 1);
  }
  EXPECT_EQ(::mmap(nullptr, 1, PROT_READ, MAP_PRIVATE, opened(mount_->path()).get(), 0),
            MAP_FAILED);
  EXPECT_EQ(errno, ENODEV);
}

TEST_F(FileCalls, SharedMappingsOfCachedFilesTakeNoWriteLater) {
  for (const std::string& path : {blob(), manifest(), readme()}) {
    const UniqueFd fd = opened(path);
    void* at = ::mmap(nullptr, 1, PROT_READ, MAP_SHARED, fd.get(), 0);
    ASSERT_NE(at, MAP_FAILED) << path;
    EXPECT_EQ(::mprotect(at, 1, PROT_READ | PROT_WRITE), -1);
    EXPECT_EQ(errno, EACCES) << path;
    ::munmap(at, 1);
  }
}

TEST_F(FileCalls, SpliceIntoAPipeGivesTheBytes) {
  for (const std::string& path : files()) {
    const std::string right = read_file(path);
    const UniqueFd fd = opened(path);
    int ends[2];
    ASSERT_EQ(::pipe2(ends, O_CLOEXEC), 0);
    const UniqueFd out{ends[0]}, in{ends[1]};
    std::string got;
    char buffer[65536];
    for (ssize_t n; (n = ::splice(fd.get(), nullptr, in.get(), nullptr, sizeof buffer, 0)) > 0;) {
      ASSERT_EQ(::read(out.get(), buffer, static_cast<std::size_t>(n)), n);
      got.append(buffer, static_cast<std::size_t>(n));
    }
    EXPECT_TRUE(got == right) << path << ": " << got.size() << " of " << right.size();
  }
}

// Within the mount there is nothing to copy into; to another file system the kernel may refuse with
// an error on which tools read and write instead.
TEST_F(FileCalls, CopyFileRangeCopiesRightOrSaysToReadAndWrite) {
  for (const std::string& path : files()) {
    const std::string right = read_file(path);
    const UniqueFd in = opened(path);
    const UniqueFd out{
        ::open((dir / "copy").c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666)};
    ssize_t n = 1;
    while (n > 0) n = ::copy_file_range(in.get(), nullptr, out.get(), nullptr, 1u << 30, 0);
    if (n < 0) {
      EXPECT_THAT(errno, ::testing::AnyOf(EXDEV, EOPNOTSUPP)) << path;
    } else {
      EXPECT_TRUE(read_file(dir / "copy") == right) << path;
    }
    EXPECT_EQ(::ioctl(out.get(), FICLONE, in.get()), -1);
    EXPECT_EQ(errno, EXDEV) << path;
  }
}

TEST_F(FileCalls, HaveNoHolesAndOneEnd) {
  for (const std::string& path : files()) {
    const UniqueFd fd = opened(path);
    const auto size = static_cast<off_t>(stat_of(path).st_size);
    EXPECT_EQ(::lseek(fd.get(), 0, SEEK_DATA), 0) << path;
    EXPECT_EQ(::lseek(fd.get(), 0, SEEK_HOLE), size) << path;
    EXPECT_EQ(::lseek(fd.get(), size - 1, SEEK_DATA), size - 1) << path;
    for (const int whence : {SEEK_DATA, SEEK_HOLE}) {
      EXPECT_EQ(::lseek(fd.get(), size, whence), -1);
      EXPECT_EQ(errno, ENXIO) << path;
    }
    EXPECT_EQ(::lseek(fd.get(), -1, SEEK_SET), -1);
    EXPECT_EQ(errno, EINVAL);
    EXPECT_EQ(::lseek(fd.get(), 0, 77), -1);
    EXPECT_EQ(errno, EINVAL);
    // Beyond the end there is nothing, up to the largest position.
    char byte = 0;
    for (const off_t offset :
         {size, size + 1, off_t{1} << 40, std::numeric_limits<off_t>::max() - 1}) {
      EXPECT_EQ(::pread(fd.get(), &byte, 1, offset), 0) << path << " at " << offset;
    }
    EXPECT_EQ(::pread(fd.get(), &byte, 1, -1), -1);
    EXPECT_EQ(errno, EINVAL);
    EXPECT_EQ(::pread(fd.get(), &byte, 0, 0), 0);
  }
}

TEST_F(FileCalls, DirectoriesAreNotRead) {
  char byte = 0;
  for (const std::string& path : directories()) {
    const UniqueFd fd = opened(path);
    EXPECT_EQ(::read(fd.get(), &byte, 1), -1);
    EXPECT_EQ(errno, EISDIR) << path;
    EXPECT_EQ(::pread(fd.get(), &byte, 1, 0), -1);
    EXPECT_EQ(errno, EISDIR) << path;
  }
}

TEST_F(FileCalls, AnswerNoIoctl) {
  int number = 0;
  std::array<char, sizeof(fiemap) + sizeof(fiemap_extent)> map{};
  reinterpret_cast<fiemap*>(map.data())->fm_length = 4096;
  for (const std::string& path : all()) {
    const UniqueFd fd = opened(path);
    EXPECT_EQ(::isatty(fd.get()), 0);
    EXPECT_EQ(errno, ENOTTY) << path;
    EXPECT_EQ(::ioctl(fd.get(), _IOR('o', 77, int), &number), -1);
    EXPECT_EQ(errno, ENOTTY) << path;
    EXPECT_EQ(::ioctl(fd.get(), FS_IOC_GETFLAGS, &number), -1);  // lsattr
    EXPECT_EQ(errno, ENOTTY) << path;
    EXPECT_EQ(::ioctl(fd.get(), FS_IOC_FIEMAP, map.data()), -1);  // filefrag
    EXPECT_EQ(errno, EOPNOTSUPP) << path;
  }
}

TEST_F(FileCalls, AreAlwaysReady) {
  for (const std::string& path : files()) {
    const UniqueFd fd = opened(path);
    pollfd wait{fd.get(), POLLIN, 0};
    EXPECT_EQ(::poll(&wait, 1, 5000), 1) << path;
    EXPECT_EQ(wait.revents, POLLIN) << path;
    fd_set readable;
    FD_ZERO(&readable);
    FD_SET(fd.get(), &readable);
    timeval soon{5, 0};
    EXPECT_EQ(::select(fd.get() + 1, &readable, nullptr, nullptr, &soon), 1) << path;
  }
}

// Programs sync what they have read too, and take a failure for a broken disk.
TEST_F(FileCalls, AreInSync) {
  for (const std::string& path : all()) {
    const UniqueFd fd = opened(path);
    EXPECT_EQ(::fsync(fd.get()), 0) << path << std::strerror(errno);
    EXPECT_EQ(::fdatasync(fd.get()), 0) << path << std::strerror(errno);
    EXPECT_EQ(::syncfs(fd.get()), 0) << path << std::strerror(errno);
  }
  for (const std::string& path : files()) {
    EXPECT_EQ(::sync_file_range(opened(path).get(), 0, 0, SYNC_FILE_RANGE_WRITE), 0) << path;
  }
}

TEST_F(FileCalls, MayBeReadButNotRunByAll) {
  for (const std::string& path : files()) {
    for (const int mode : {F_OK, R_OK}) EXPECT_EQ(::access(path.c_str(), mode), 0) << path;
    for (const int flags : {0, AT_EACCESS}) {
      EXPECT_EQ(::faccessat(AT_FDCWD, path.c_str(), X_OK, flags), -1);
      EXPECT_EQ(errno, EACCES) << path;
    }
  }
  for (const std::string& path : directories()) {
    EXPECT_EQ(::faccessat(AT_FDCWD, path.c_str(), R_OK | X_OK, AT_EACCESS), 0) << path;
  }
  EXPECT_EQ(::access((*mount_ / "absent").c_str(), F_OK), -1);
  EXPECT_EQ(errno, ENOENT);
}

TEST_F(FileCalls, AreOnAFileSystemOfTheStoresSizeWithoutRoom) {
  for (const std::string& path : all()) {
    struct statvfs st {
    }, store_st{};
    ASSERT_EQ(::statvfs(path.c_str(), &st), 0) << path;
    ASSERT_EQ(::statvfs(store.root().c_str(), &store_st), 0);
    EXPECT_EQ(st.f_bsize, store_st.f_bsize);
    EXPECT_EQ(st.f_frsize, store_st.f_frsize);
    EXPECT_EQ(st.f_blocks, store_st.f_blocks);
    EXPECT_EQ(st.f_bfree + st.f_bavail + st.f_files + st.f_ffree + st.f_favail, 0u);
    EXPECT_EQ(st.f_namemax, 255u);
    constexpr unsigned long flags = ST_RDONLY | ST_NOSUID | ST_NODEV | ST_NOEXEC;
    EXPECT_EQ(st.f_flag & flags, flags) << path;
    struct statfs raw {};
    const UniqueFd fd = opened(path);
    ASSERT_EQ(::fstatfs(fd.get(), &raw), 0);
    EXPECT_EQ(raw.f_type, 0x65735546) << path;  // FUSE_SUPER_MAGIC
  }
}

}  // namespace
}  // namespace ollamafs::test
