#pragma once

#include <gtest/gtest.h>
#include <sys/mman.h>

#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <ostream>
#include <random>
#include <string>
#include <string_view>
#include <vector>

#include "store/base/unique_fd.h"
#include "tests/mounted/access.h"
#include "tests/mounted/mount.h"
#include "tests/support/store_builder.h"
#include "tests/support/temp_dir.h"

namespace ollamafs::test {

// Passthrough, and shared mappings of files that are not cached, came with libfuse 3.17; the kernel
// of these tests has both.
[[nodiscard]] bool library_is_new();

// How the bytes of a file come from the store to who reads it.
struct DataPath {
  enum class File : std::uint8_t { archive, large_blob, small_blob };

  const char* name;
  File file;
  bool by_user = false;  // mounted by an ordinary user, for whom the kernel reads no blobs
  bool late = false;     // the daemon has no descriptor left for the file's blobs
};

void PrintTo(const DataPath& path, std::ostream* out);
[[nodiscard]] std::string name_of(const ::testing::TestParamInfo<DataPath>& test);

// All that there are. AsRoot is read by the kernel itself where the library is new.
inline constexpr DataPath kDataPaths[] = {
    {.name = "Archive", .file = DataPath::File::archive},
    {.name = "ArchiveOfBlobsOpenedLate", .file = DataPath::File::archive, .late = true},
    {.name = "BlobAsRoot", .file = DataPath::File::large_blob},
    {.name = "BlobAsAUser", .file = DataPath::File::large_blob, .by_user = true},
    {.name = "BlobOpenedLate", .file = DataPath::File::large_blob, .late = true},
    {.name = "BlobInMemory", .file = DataPath::File::small_blob},
};

// What reading a range gave: bytes, then the file's end or an error.
struct Outcome {
  std::string bytes;
  int error = 0;  // errno
};

// Reads a range as a program does that wants all of it. O_DIRECT needs no more than that.
[[nodiscard]] Outcome read_range(const UniqueFd& fd, std::uint64_t offset, std::size_t size);

// A file in memory, to the end of the scope.
class Mapping {
 public:
  Mapping(const UniqueFd& fd, std::size_t size, int sharing)
      : size_{size},
        start_{::mmap(nullptr, size, PROT_READ, sharing, fd.get(), 0)},
        error_{errno} {}
  ~Mapping() {
    if (start_ != MAP_FAILED) ::munmap(start_, size_);
  }
  Mapping(const Mapping&) = delete;
  Mapping& operator=(const Mapping&) = delete;

  [[nodiscard]] int error() const { return start_ == MAP_FAILED ? error_ : 0; }  // errno
  [[nodiscard]] std::string_view bytes() const { return {static_cast<const char*>(start_), size_}; }

 private:
  std::size_t size_;
  void* start_;
  int error_;
};

// A file that is read in one of the ways, on a real mount, and what it must hold.
class DataPathTest : public ::testing::TestWithParam<DataPath> {
 protected:
  using Path = DataPath::File;

  DataPathTest();

  [[nodiscard]] UniqueFd open(int flags = 0) const;
  // As open, and nothing of the file is in the page cache.
  [[nodiscard]] UniqueFd open_uncached(int flags = 0) const;

  [[nodiscard]] bool is_archive() const { return GetParam().file == Path::archive; }
  [[nodiscard]] bool read_by_kernel() const;

  // What must be read of a range.
  [[nodiscard]] std::string_view expected(std::uint64_t offset, std::size_t size) const {
    return std::string_view{expected_}.substr(std::min<std::uint64_t>(offset, expected_.size()),
                                              size);
  }

  struct Range {
    std::uint64_t offset;
    std::size_t size;
  };
  // Of 1 byte to 2 MiB, anywhere in the file and behind its end; every other one at a border.
  // `align`: both are multiples of it.
  [[nodiscard]] Range any_range(std::mt19937_64& random, std::size_t align = 1) const;

  // What requests to a disk's own file must be aligned to with these flags of open().
  [[nodiscard]] std::size_t alignment(int flags) const;

  TempDir dir_;
  StoreBuilder store_{dir_ / "store"};
  std::filesystem::path blob_;      // in the store: the one that is read, in an archive the largest
  std::uint64_t blob_start_ = 0;    // in the file
  std::filesystem::path file_;      // in the view
  std::filesystem::path manifest_;  // in the view
  std::string expected_;
  std::unique_ptr<Mount> mount_;

 private:
  void write_model();
  void mount();
  void take_all_descriptors();

  std::vector<std::uint64_t> borders_;
  std::optional<NewOver> fuse_conf_;
  std::vector<UniqueFd> taken_;
};

}  // namespace ollamafs::test
