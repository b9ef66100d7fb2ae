// What open files cost the daemon in descriptors, and what becomes of an open archive whose blobs
// go away (docs/view.md §8).
#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <iterator>
#include <system_error>
#include <thread>

#include "store/base/unique_fd.h"
#include "tests/mounted/mount.h"
#include "tests/support/store_builder.h"
#include "tests/support/temp_dir.h"

namespace ollamafs::test {
namespace {

namespace fs = std::filesystem;

// Opened past the page cache, so that the daemon is asked for every byte.
UniqueFd open_direct(const fs::path& path) {
  UniqueFd fd{::open(path.c_str(), O_RDONLY | O_DIRECT | O_CLOEXEC)};
  if (!fd) throw std::system_error{errno, std::generic_category(), path.string()};
  return fd;
}

// A blob may be read by the kernel itself, which wants O_DIRECT aligned as the disk does.
UniqueFd open_blob(const fs::path& path) {
  UniqueFd fd{::open(path.c_str(), O_RDONLY | O_CLOEXEC)};
  if (!fd) throw std::system_error{errno, std::generic_category(), path.string()};
  return fd;
}

// What one read gives: nothing, and errno, if it fails.
std::string read_at(const UniqueFd& fd, std::uint64_t offset, std::size_t size) {
  std::string bytes(size, '\0');
  const ssize_t n = ::pread(fd.get(), bytes.data(), size, static_cast<off_t>(offset));
  bytes.resize(static_cast<std::size_t>(std::max<ssize_t>(n, 0)));
  return bytes;
}

struct Member {
  std::string path;
  std::uint64_t start;
  std::size_t size;
};

// The members of an archive, by the tar headers in it. The models here need only plain ones.
std::vector<Member> members_of(const UniqueFd& archive) {
  std::vector<Member> members;
  for (std::uint64_t at = 0;;) {
    const std::string header = read_at(archive, at, 512);
    if (header.at(0) == '\0') return members;
    const std::size_t size = std::stoul(header.substr(124, 11), nullptr, 8);
    members.push_back({header.c_str(), at + 512, size});
    at += 512 + (size + 511) / 512 * 512;
  }
}

// How many descriptors the daemon has open. Its log and the mount are among them.
std::size_t descriptors(Mount& mount) {
  const fs::path open = "/proc/" + std::to_string(mount.daemon().pid()) + "/fd";
  const auto count = std::distance(fs::directory_iterator{open}, fs::directory_iterator{});
  return static_cast<std::size_t>(count);
}

// The same when nothing is under way any more: what the daemon opened to try its mount is closed a
// moment after it says that it is mounted.
std::size_t settled_descriptors(Mount& mount) {
  std::size_t last = 0;
  for (int same = 0; same < 20;) {
    const std::size_t now = descriptors(mount);
    same = now == last ? same + 1 : 0;
    last = now;
    std::this_thread::sleep_for(std::chrono::milliseconds{10});
  }
  return last;
}

class Descriptors : public ::testing::Test {
 protected:
  // A model of so many blobs of about so many bytes, no two alike.
  void write_model(std::size_t count, std::size_t bytes) {
    ManifestSpec model;
    for (std::size_t i = 0; i < count; ++i) {
      model.layers.push_back(store.layer(kTensorType, random_bytes(i + 1, bytes + i % 7 * 100)));
    }
    store.v1("tensors:latest", model);
  }

  static Mount::Options limited_to(unsigned descriptors) {
    return {.arguments = {"-o", "hold=0"}, .run = {.descriptors = descriptors}};
  }

  static fs::path archive(const Mount& mount) { return mount / "archives/tensors+latest.tar"; }
  static fs::path blobs(const Mount& mount) { return mount / "models/tensors+latest/blobs"; }

  TempDir dir;
  StoreBuilder store{dir / "store"};
};

struct Shape {
  const char* name;
  std::size_t blobs;
  std::size_t bytes;
};

void PrintTo(const Shape& shape, std::ostream* out) {
  *out << shape.name;
}

class DescriptorsOfAModel : public Descriptors, public ::testing::WithParamInterface<Shape> {};

// 1,024 is what a process gets nearly everywhere, unless somebody asked for more.
TEST_P(DescriptorsOfAModel, AreEnoughForItsArchiveOpenedEightTimes) {
  constexpr unsigned limit = 1024;
  write_model(GetParam().blobs, GetParam().bytes);
  Mount mount{store.root(), limited_to(limit)};
  const std::size_t before = settled_descriptors(mount);
  {
    std::vector<UniqueFd> opened;
    for (int i = 0; i < 8; ++i) opened.push_back(open_direct(archive(mount)));
    const auto members = members_of(opened.front());
    EXPECT_EQ(members.size(), GetParam().blobs + 1);
    std::atomic<std::size_t> right = 0;
    std::vector<std::jthread> threads;
    for (std::size_t reader = 0; reader < opened.size(); ++reader) {
      threads.emplace_back([&, reader] {
        for (std::size_t i = reader; i < members.size(); i += opened.size()) {
          const auto& [path, start, size] = members[i];
          if (read_at(opened[reader], start, size) == read_file(store.root() / path)) ++right;
        }
      });
    }
    threads.clear();
    EXPECT_EQ(right, members.size());
    EXPECT_LT(descriptors(mount), limit);
  }
  EXPECT_TRUE(eventually([&] { return descriptors(mount) == before; }))
      << before << " before, " << descriptors(mount) << " after";
}

INSTANTIATE_TEST_SUITE_P(With, DescriptorsOfAModel,
                         ::testing::Values(Shape{"ManySmallBlobs", 10'000, 1'000},
                                           // Too much for memory, too many for the descriptors.
                                           Shape{"ManyBlobs", 10'000, 10'000},
                                           Shape{"BlobsAbove64KiB", 2'000, 70'000}),
                         [](const auto& test) { return std::string{test.param.name}; });

// A tool that opens many blobs at once needs only its own limit raised.
TEST_F(Descriptors, AreEnoughForMoreOpenBlobsThanTheDaemonMayOpen) {
  constexpr unsigned limit = 256;
  write_model(400, 70'000);
  Mount mount{store.root(), limited_to(limit)};
  const std::size_t before = settled_descriptors(mount);
  {
    std::vector<std::pair<UniqueFd, std::string>> opened;
    for (const auto& blob : fs::directory_iterator{blobs(mount)}) {
      opened.emplace_back(open_blob(blob.path()), blob.path().filename().string());
    }
    EXPECT_EQ(opened.size(), 400u);
    for (const auto& [fd, name] : opened) {
      EXPECT_TRUE(read_at(fd, 0, 100'000) == read_file(store.root() / "blobs" / name)) << name;
    }
    EXPECT_LT(descriptors(mount), limit);
  }
  EXPECT_TRUE(eventually([&] { return descriptors(mount) == before; }))
      << descriptors(mount) << " now, " << before << " before";
}

TEST_F(Descriptors, AreGivenBackByEveryClose) {
  write_model(20, 70'000);
  Mount mount{store.root(), limited_to(64)};
  const std::size_t before = settled_descriptors(mount);
  int opened = 0;
  while (opened < 2'000) {
    for (const auto& blob : fs::directory_iterator{blobs(mount)}) {
      ASSERT_EQ(read_at(open_blob(blob.path()), 60'000, 100'000).size(), blob.file_size() - 60'000);
      ++opened;
    }
  }
  EXPECT_TRUE(eventually([&] { return descriptors(mount) == before; }))
      << descriptors(mount) << " now, " << before << " before";
}

// ---- blobs that change while their archive is open ----

// What reads of the blobs in an open archive gave after something was done to their files.
struct Outcome {
  std::size_t old = 0;    // the bytes that the blob had
  std::size_t error = 0;  // EIO
  std::size_t wrong = 0;  // anything else
};

class OpenArchive : public Descriptors {
 protected:
  // Opens the archive of a model of 100 blobs, changes every blob's file, and reads.
  template <class Change>
  Outcome read_after(std::size_t bytes, Change&& change) {
    write_model(kBlobs, bytes);
    Mount mount{store.root(), limited_to(64)};
    const UniqueFd file = open_direct(archive(mount));
    auto members = members_of(file);
    members.pop_back();  // the manifest
    std::vector<std::string> contents;
    for (const Member& member : members) contents.push_back(read_file(store.root() / member.path));
    for (const Member& member : members) change(store.root() / member.path);
    Outcome outcome;
    for (std::size_t i = 0; i < members.size(); ++i) {
      errno = 0;
      const std::string got = read_at(file, members[i].start, members[i].size);
      if (got == contents[i]) {
        ++outcome.old;
      } else if (got.empty() && errno == EIO) {
        ++outcome.error;
      } else {
        ++outcome.wrong;
      }
    }
    return outcome;
  }

  static constexpr std::size_t kBlobs = 100;
};

TEST_F(OpenArchive, HasItsOldBytesOrErrorsWhenItsBlobsAreRemoved) {
  const Outcome outcome = read_after(70'000, [](const fs::path& blob) { fs::remove(blob); });
  EXPECT_EQ(outcome.wrong, 0u);
  EXPECT_GE(outcome.old, 20u);  // as far as the descriptors go
  EXPECT_EQ(outcome.old + outcome.error, kBlobs);
}

TEST_F(OpenArchive, HasAllItsOldBytesWhenSmallBlobsAreRemoved) {
  EXPECT_EQ(read_after(1'000, [](const fs::path& blob) { fs::remove(blob); }).old, kBlobs);
}

// Other files of the same size and the same dates.
TEST_F(OpenArchive, HasItsOldBytesOrErrorsWhenItsBlobsAreReplaced) {
  const Outcome outcome = read_after(70'000, [](const fs::path& blob) {
    const std::string impostor = blob.string() + ".new";
    write_file(impostor, std::string(fs::file_size(blob), '\0'));
    must({"touch", "-r", blob.string(), impostor});
    fs::rename(impostor, blob);
  });
  EXPECT_EQ(outcome.wrong, 0u);
  EXPECT_GE(outcome.old, 20u);
  EXPECT_EQ(outcome.old + outcome.error, kBlobs);
}

// Nothing can bring the bytes back; zeros or a short file would look like success.
TEST_F(OpenArchive, HasErrorsWhenItsBlobsAreCutShort) {
  const Outcome outcome =
      read_after(70'000, [](const fs::path& blob) { fs::resize_file(blob, 30'000); });
  EXPECT_EQ(outcome.error, kBlobs);
}

}  // namespace
}  // namespace ollamafs::test
