// Every way on which bytes come from the store to a reader, read in every manner: always the bytes
// that the store's files hold.
#include "tests/mounted/data_path.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <sys/mman.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <random>
#include <string>
#include <thread>
#include <vector>

namespace ollamafs::test {
namespace {

namespace fs = std::filesystem;
using ::testing::HasSubstr;
using ::testing::Not;

INSTANTIATE_TEST_SUITE_P(, DataPathTest, ::testing::ValuesIn(kDataPaths), name_of);

// Whether the blob's file is among those that a process has open.
bool has_open(pid_t process, const fs::path& file) {
  for (const auto& fd : fs::directory_iterator{"/proc/" + std::to_string(process) + "/fd"}) {
    std::error_code ec;
    if (fs::read_symlink(fd.path(), ec) == file) return true;
  }
  return false;
}

// So that these tests are about what they say.
TEST_P(DataPathTest, IsWhatItsNameSays) {
  const bool held = !GetParam().late && GetParam().file != Path::small_blob;
  EXPECT_FALSE(has_open(mount_->daemon().pid(), blob_));
  const UniqueFd file = open();
  EXPECT_EQ(has_open(mount_->daemon().pid(), blob_), held);
  const auto by_kernel = HasSubstr("the kernel reads the blobs itself");
  if (!GetParam().by_user && library_is_new()) {
    EXPECT_THAT(mount_->log(), by_kernel);
  } else {
    EXPECT_THAT(mount_->log(), Not(by_kernel));
  }
}

TEST_P(DataPathTest, HasTheBytesOfAnyRange) {
  for (const int flags : {0, O_DIRECT}) {
    const UniqueFd file = open_uncached(flags);
    std::mt19937_64 random{1};
    for (int i = 0; i < 300; ++i) {
      const auto [offset, size] = any_range(random, alignment(flags));
      const Outcome got = read_range(file, offset, size);
      ASSERT_EQ(got.error, 0) << size << " bytes at " << offset;
      ASSERT_TRUE(got.bytes == expected(offset, size)) << size << " bytes at " << offset;
    }
  }
}

TEST_P(DataPathTest, HasTheBytesOfWhoReadsStraightOn) {
  for (const int flags : {0, O_DIRECT}) {
    for (std::size_t size : {4u << 10, 128u << 10, (1u << 20) + 1}) {
      const std::size_t align = alignment(flags);
      size = (size + align - 1) / align * align;
      const UniqueFd file = open_uncached(flags);
      for (std::uint64_t at = 0; at <= expected_.size(); at += size) {
        const Outcome got = read_range(file, at, size);
        ASSERT_EQ(got.error, 0) << size << " bytes at " << at;
        ASSERT_TRUE(got.bytes == expected(at, size)) << size << " bytes at " << at;
      }
      EXPECT_TRUE(read_range(file, expected_.size() / align * align + align, size).bytes.empty());
    }
  }
}

// Private and shared. Archives are not cached, and older libraries cannot have such files shared.
TEST_P(DataPathTest, CanBeMapped) {
  for (const int sharing : {MAP_PRIVATE, MAP_SHARED}) {
    const UniqueFd file = open_uncached();
    const Mapping map{file, expected_.size(), sharing};
    if (is_archive() && sharing == MAP_SHARED && !library_is_new()) {
      EXPECT_EQ(map.error(), ENODEV);
      continue;
    }
    ASSERT_EQ(map.error(), 0) << std::strerror(map.error());
    const std::string_view mapped = map.bytes();
    std::mt19937_64 random{2};
    for (int i = 0; i < 300; ++i) {
      const auto [offset, size] = any_range(random);
      if (offset > mapped.size()) continue;
      EXPECT_TRUE(mapped.substr(offset, size) == expected(offset, size))
          << size << " bytes at " << offset;
    }
    EXPECT_TRUE(mapped == expected_);
  }
}

// Half of them by one open file, whose window they move to and fro; half by files of their own.
TEST_P(DataPathTest, HasTheBytesOfAnyRangeForEightThreadsAtOnce) {
  const UniqueFd shared = open_uncached(O_DIRECT);
  std::atomic<int> right = 0;
  std::vector<std::jthread> threads;
  for (unsigned seed = 0; seed < 8; ++seed) {
    threads.emplace_back([&, seed, own = open(seed % 4 == 0 ? O_DIRECT : 0)] {
      const UniqueFd& file = seed % 2 ? shared : own;
      const std::size_t align = alignment(O_DIRECT);
      std::mt19937_64 random{seed};
      for (int i = 0; i < 100; ++i) {
        const auto [offset, size] = any_range(random, align);
        const Outcome got = read_range(file, offset, size);
        if (got.error == 0 && got.bytes == expected(offset, size)) ++right;
      }
    });
  }
  threads.clear();
  EXPECT_EQ(right, 800);
}

}  // namespace
}  // namespace ollamafs::test
