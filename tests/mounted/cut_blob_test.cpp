// A blob whose file is cut short while it is open, on every way to its readers: they get an error
// where the bytes are missing, never zeros.
//
// Where the kernel reads the blob by itself (BlobAsRoot with a new library), nobody is asked who
// knows how long the blob was. It tells what it tells of any file that was cut short: a read ends
// where the file does, with the true bytes and without an error, although fstat still shows the
// size that was promised. A page that is mapped has zeros behind the end of the file, the pages
// behind it cannot be had. What keeps such a copy from passing for whole is the manifest, which is
// refused from then on.
#include <fcntl.h>
#include <gmock/gmock.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <filesystem>
#include <random>
#include <string>
#include <vector>

#include "tests/mounted/broken_model.h"
#include "tests/mounted/data_path.h"
#include "tests/support/process.h"

namespace ollamafs::test {
namespace {

namespace fs = std::filesystem;

constexpr std::uint64_t kPage = 4096;

class CutBlob : public DataPathTest {
 protected:
  // What was read into memory when it was opened cannot be cut any more.
  static bool in_memory() { return GetParam().file == Path::small_blob; }

  // Cuts the blob, and tells where in the file its first missing byte is.
  std::uint64_t cut_to(std::uint64_t size) const {
    fs::resize_file(blob_, size);
    return blob_start_ + size;
  }

  [[nodiscard]] std::uint64_t blob_end(std::uint64_t blob_size) const {
    return blob_start_ + blob_size;
  }

  // That reading a range gave its bytes up to the first that is `missing`, at most, and an error if
  // it is in the range. A range in front of it may be refused: pages and mappings are read whole.
  void expect_no_more_than_there_is(const Range& range, const Outcome& got, std::uint64_t missing,
                                    std::uint64_t end) const {
    SCOPED_TRACE(std::to_string(range.size) + " bytes at " + std::to_string(range.offset) +
                 ", the first missing at " + std::to_string(missing));
    const std::string_view wanted = expected(range.offset, range.size);
    ASSERT_TRUE(got.bytes == wanted.substr(0, got.bytes.size()));
    const bool holds_missing =
        !in_memory() && range.offset < end && range.offset + wanted.size() > missing;
    if (!holds_missing) {
      EXPECT_TRUE(got.error == EIO || got.bytes.size() == wanted.size()) << got.error;
      return;
    }
    EXPECT_LE(range.offset + got.bytes.size(), std::max(missing, range.offset));
    if (!read_by_kernel()) {
      EXPECT_EQ(got.error, EIO);
    } else {
      EXPECT_EQ(got.error, 0);
      EXPECT_EQ(range.offset + got.bytes.size(), std::max(missing, range.offset));
    }
  }
};

INSTANTIATE_TEST_SUITE_P(, CutBlob, ::testing::ValuesIn(kDataPaths), name_of);

TEST_P(CutBlob, GivesErrorsWhereBytesAreMissingNeverZeros) {
  const std::uint64_t whole = fs::file_size(blob_), end = blob_end(whole);
  const UniqueFd buffered = open_uncached(), direct = open(O_DIRECT);
  std::mt19937_64 random{3};
  for (const std::uint64_t size :
       {whole - 1, whole / 2 + 123, kPage, std::uint64_t{1}, std::uint64_t{0}}) {
    const std::uint64_t missing = cut_to(size);
    ::posix_fadvise(buffered.get(), 0, 0, POSIX_FADV_DONTNEED);
    const auto expect_right = [&](const Range& range, const UniqueFd& file) {
      expect_no_more_than_there_is(range, read_range(file, range.offset, range.size), missing, end);
    };
    for (const std::uint64_t before : {0u, 1u, 4'095u, 4'096u, 70'000u, 1'000'000u}) {
      for (const std::size_t length : {1u, 4'096u, 131'072u, 2'097'152u}) {
        expect_right({missing - std::min(missing, before), length}, buffered);
      }
    }
    for (int i = 0; i < 50; ++i) {
      expect_right(any_range(random), buffered);
      expect_right(any_range(random, alignment(O_DIRECT)), direct);
    }
    struct stat st {};
    ASSERT_EQ(::fstat(buffered.get(), &st), 0);
    EXPECT_EQ(static_cast<std::uint64_t>(st.st_size), expected_.size());
  }
}

// In an archive all that is not of this blob.
TEST_P(CutBlob, LeavesTheBytesBeforeAndBehindIt) {
  const std::uint64_t end = blob_end(fs::file_size(blob_));
  const UniqueFd file = open_uncached();
  cut_to(0);
  for (const Range& range : {Range{0, blob_start_}, Range{end, expected_.size() - end}}) {
    const Outcome got = read_range(file, range.offset, range.size);
    EXPECT_EQ(got.error, 0);
    EXPECT_TRUE(got.bytes == expected(range.offset, range.size));
  }
}

// A system call that reads the mapped bytes fails where a program would get SIGBUS.
TEST_P(CutBlob, GivesErrorsWhereMappedBytesAreMissing) {
  const std::uint64_t whole = fs::file_size(blob_);
  const UniqueFd file = open_uncached();
  const UniqueFd out{::open((dir_ / "out").c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600)};
  const Mapping map{file, expected_.size(), MAP_PRIVATE};
  ASSERT_EQ(map.error(), 0);
  const std::uint64_t missing = cut_to(whole / 2 + 123);
  const std::uint64_t end_of_page = (missing + kPage - 1) / kPage * kPage;
  std::mt19937_64 random{4};
  for (int i = 0; i < 200; ++i) {
    auto [offset, size] = any_range(random);
    if (i % 2) offset = missing - std::min<std::uint64_t>(missing, random() % (2 * size));
    size = std::min(size, expected_.size() - std::min<std::uint64_t>(offset, expected_.size()));
    const ssize_t n = ::pwrite(out.get(), map.bytes().data() + offset, size, 0);
    std::string got(n > 0 ? static_cast<std::size_t>(n) : 0, '\0');
    ASSERT_EQ(::pread(out.get(), got.data(), got.size(), 0), static_cast<ssize_t>(got.size()));
    const std::uint64_t end = offset + got.size();
    if (read_by_kernel() && end > missing) {
      // Zeros in the file's last page, as everywhere.
      ASSERT_LE(end, std::max(end_of_page, offset));
      ASSERT_EQ(got.find_first_not_of('\0', missing - std::min(missing, offset)),
                std::string::npos);
      continue;
    }
    ASSERT_TRUE(got == expected(offset, got.size())) << offset;
    if (in_memory()) {
      ASSERT_EQ(got.size(), size);
    } else if (offset < blob_end(whole)) {
      ASSERT_LE(end, std::max(missing, offset)) << offset;
    }
  }
}

// Copiers read the blobs first: who has not got one whole does not get the manifest.
TEST_P(CutBlob, KeepsTheManifestFromWhoReadIt) {
  EXPECT_EQ(opening_fails_with(*mount_ / manifest_), 0);
  const UniqueFd file = open_uncached();
  cut_to(fs::file_size(blob_) - 1);
  (void)read_range(file, 0, expected_.size());
  EXPECT_EQ(opening_fails_with(*mount_ / manifest_), in_memory() ? 0 : EIO);
  EXPECT_EQ(attribute(*mount_ / "models/read+me", "state").starts_with("broken"), !in_memory());
}

TEST_P(CutBlob, CannotBeOpenedAnyMore) {
  cut_to(fs::file_size(blob_) - 1);
  EXPECT_EQ(opening_fails_with(*mount_ / file_), EIO);
  EXPECT_EQ(opening_fails_with(*mount_ / manifest_), EIO);
}

}  // namespace
}  // namespace ollamafs::test
