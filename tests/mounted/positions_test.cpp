// Positions in listings: telldir, seekdir, rewinddir and their system calls, in directories of
// 10,000 entries; of fewer where a sanitizer slows the program down. What a position is made of is
// nobody's business: only where it leads to.
#include <dirent.h>
#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/mount.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <random>
#include <set>

#include "store/base/dir_stream.h"
#include "store/base/unique_fd.h"
#include "tests/mounted/mount.h"
#include "tests/mounted/walk.h"

namespace ollamafs::test {
namespace {

namespace fs = std::filesystem;
using ::testing::ElementsAre;

#ifdef OLLAMAFS_SANITIZED
constexpr std::size_t kModels = 2'000;
#else
constexpr std::size_t kModels = 10'000;
#endif

// An entry, and the position that leads to it.
struct Placed {
  long position;
  std::string name;

  bool operator==(const Placed&) const = default;
};

std::vector<Placed> rest_of(DIR* stream) {
  std::vector<Placed> entries;
  for (long position = ::telldir(stream); const dirent* entry = ::readdir(stream);) {
    entries.push_back({position, entry->d_name});
    position = ::telldir(stream);
  }
  return entries;
}

// The entries of one getdents64 into a buffer of this size, with the positions *behind* each.
std::vector<Placed> part_of(const UniqueFd& directory, std::size_t size) {
  std::vector<char> buffer(size);
  const long n = ::syscall(SYS_getdents64, directory.get(), buffer.data(), size);
  if (n < 0) throw std::system_error{errno, std::generic_category(), "getdents64"};
  std::vector<Placed> entries;
  for (long at = 0; at < n;) {
    const auto* entry = reinterpret_cast<const dirent64*>(buffer.data() + at);
    entries.push_back({entry->d_off, entry->d_name});
    at += entry->d_reclen;
  }
  return entries;
}

// Memory to write many files in: a disk may take a minute.
class Memory {
 public:
  Memory() { must({"mount", "-t", "tmpfs", "-o", "mode=755", "tmpfs", place_.path().string()}); }
  ~Memory() { ::umount2(place_.path().c_str(), MNT_DETACH); }
  Memory(const Memory&) = delete;
  Memory& operator=(const Memory&) = delete;
  [[nodiscard]] fs::path path() const { return place_.path(); }

 private:
  MountDir place_;
};

class Positions : public ::testing::Test {
 protected:
  explicit Positions(std::size_t models = kModels) {
    store_.v1("bulk/m:first", store_.text_model(1, 1000));
    const fs::path first = store_.v1_path(*ModelName::parse("bulk/m:first"));
    for (std::size_t i = 1; i < models; ++i) {
      fs::copy_file(first, first.parent_path() / (std::to_string(i) + std::string(i % 50, 'x')));
    }
    mount_.emplace(store_.root());
  }

  template <class Check>
  void in_both(Check&& check) {
    for (const char* name : {"models/bulk", "archives/bulk"}) {
      SCOPED_TRACE(name);
      directory_ = *mount_ / name;
      check();
    }
  }
  void restart() {
    const fs::path name = directory_.lexically_relative(mount_->path());
    mount_.reset();
    mount_.emplace(store_.root());
    directory_ = *mount_ / name;
  }
  [[nodiscard]] DirStream opened() const {
    DirStream stream{::opendir(directory_.c_str())};
    if (!stream) throw std::system_error{errno, std::generic_category(), directory_.string()};
    return stream;
  }
  [[nodiscard]] UniqueFd descriptor() const {
    return UniqueFd{::open(directory_.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC)};
  }

 private:
  Memory memory_;
  StoreBuilder store_{memory_.path() / "store"};
  std::optional<Mount> mount_;
  fs::path directory_;
};

TEST_F(Positions, AreAllDifferent) {
  in_both([&] {
    const auto entries = rest_of(opened().get());
    std::set<long> positions;
    std::set<std::string> names;
    for (const Placed& entry : entries) {
      positions.insert(entry.position);
      names.insert(entry.name);
      EXPECT_GE(entry.position, 0);
    }
    EXPECT_EQ(entries.size(), kModels + 2);  // "." and ".."
    EXPECT_EQ(positions.size(), entries.size());
    EXPECT_EQ(names.size(), entries.size());
  });
}

TEST_F(Positions, LeadBackToTheirEntriesInAnyOrder) {
  in_both([&] {
    const DirStream stream = opened();
    auto entries = rest_of(stream.get());
    std::mt19937_64 random{1};
    std::ranges::shuffle(entries, random);
    for (const Placed& entry : entries) {
      ::seekdir(stream.get(), entry.position);
      EXPECT_EQ(::telldir(stream.get()), entry.position);
      const dirent* found = ::readdir(stream.get());
      ASSERT_TRUE(found) << entry.name;
      ASSERT_EQ(found->d_name, entry.name);
    }
  });
}

TEST_F(Positions, LeadToAllThatFollows) {
  in_both([&] {
    const DirStream stream = opened();
    const auto entries = rest_of(stream.get());
    for (const std::size_t at : {std::size_t{0}, std::size_t{1}, std::size_t{2}, std::size_t{777},
                                 kModels / 2, kModels, kModels + 1}) {
      ::seekdir(stream.get(), entries[at].position);
      const auto first = entries.begin() + static_cast<std::ptrdiff_t>(at);
      EXPECT_TRUE(rest_of(stream.get()) == (std::vector<Placed>{first, entries.end()})) << at;
    }
  });
}

TEST_F(Positions, AreTheSameInEveryOpen) {
  in_both([&] {
    const auto entries = rest_of(opened().get());
    EXPECT_TRUE(rest_of(opened().get()) == entries);
    const DirStream another = opened();
    ::seekdir(another.get(), entries[kModels * 3 / 5].position);
    EXPECT_EQ(::readdir(another.get())->d_name, entries[kModels * 3 / 5].name);
  });
}

TEST_F(Positions, OfTwoOpensDoNotDisturbEachOther) {
  in_both([&] {
    const DirStream one = opened(), two = opened();
    const auto entries = rest_of(one.get());
    ::rewinddir(one.get());
    std::size_t at = 0;
    for (; at < entries.size(); ++at) {
      ASSERT_EQ(::readdir(one.get())->d_name, entries[at].name);
      if (at % 2 == 0) {
        ASSERT_EQ(::readdir(two.get())->d_name, entries[at / 2].name);
      }
    }
    EXPECT_EQ(::readdir(one.get()), nullptr);
  });
}

TEST_F(Positions, BeginAgainAfterRewinddir) {
  in_both([&] {
    const DirStream stream = opened();
    const auto entries = rest_of(stream.get());
    for (const int read : {1, 2, 3000, 20'000}) {
      ::rewinddir(stream.get());
      for (int i = 0; i < read; ++i) (void)::readdir(stream.get());
      ::rewinddir(stream.get());
      EXPECT_TRUE(rest_of(stream.get()) == entries) << read;
    }
  });
}

// An NFS client goes on where it was when the server is back. The kernel has not cached the listing
// then, so the daemon is asked for each.
TEST_F(Positions, LeadToTheSameEntriesAfterARestart) {
  in_both([&] {
    auto entries = rest_of(opened().get());
    std::mt19937_64 random{2};
    std::ranges::shuffle(entries, random);
    entries.resize(500);
    restart();
    for (const Placed& entry : entries) {
      const UniqueFd directory = descriptor();
      ASSERT_EQ(::lseek(directory.get(), entry.position, SEEK_SET), entry.position);
      ASSERT_EQ(part_of(directory, 4096).at(0).name, entry.name);
    }
  });
}

// At the end it stays the end, until one goes back.
TEST_F(Positions, HaveAnEnd) {
  in_both([&] {
    const DirStream stream = opened();
    const auto entries = rest_of(stream.get());
    const long end = ::telldir(stream.get());
    errno = 0;
    EXPECT_EQ(::readdir(stream.get()), nullptr);
    ::seekdir(stream.get(), entries[5].position);
    EXPECT_EQ(::readdir(stream.get())->d_name, entries[5].name);
    ::seekdir(stream.get(), end);
    EXPECT_EQ(::readdir(stream.get()), nullptr);
    EXPECT_EQ(errno, 0);
  });
}

TEST_F(Positions, GoOnWhateverTheSizeOfTheBuffer) {
  in_both([&] {
    const auto entries = rest_of(opened().get());
    for (const std::size_t size : {std::size_t{100}, std::size_t{280}, std::size_t{4096},
                                   std::size_t{32'768}, std::size_t{1} << 20}) {
      const UniqueFd directory = descriptor();
      std::vector<std::string> names;
      for (auto part = part_of(directory, size); !part.empty(); part = part_of(directory, size)) {
        for (const Placed& entry : part) names.push_back(entry.name);
      }
      ASSERT_EQ(names.size(), entries.size()) << size;
      for (std::size_t i = 0; i < names.size(); ++i) ASSERT_EQ(names[i], entries[i].name) << size;
    }
  });
}

// As an NFS server lists: it opens, seeks, takes some, closes.
TEST_F(Positions, GoOnInANewOpenEachTime) {
  in_both([&] {
    const auto entries = rest_of(opened().get());
    std::vector<std::string> names;
    off_t position = 0;
    for (bool more = true; more;) {
      const UniqueFd directory = descriptor();
      ASSERT_EQ(::lseek(directory.get(), position, SEEK_SET), position);
      const auto part = part_of(directory, 2000);
      for (const Placed& entry : part) {
        names.push_back(entry.name);
        position = entry.position;
      }
      more = !part.empty();
    }
    ASSERT_EQ(names.size(), entries.size());
    for (std::size_t i = 0; i < names.size(); ++i) ASSERT_EQ(names[i], entries[i].name);
  });
}

class PositionsInAShortListing : public Positions {
 protected:
  PositionsInAShortListing() : Positions{5} {}
};

TEST_F(PositionsInAShortListing, AreNotInABufferThatHoldsNoEntry) {
  in_both([&] {
    const UniqueFd directory = descriptor();
    char buffer[8];
    EXPECT_EQ(::syscall(SYS_getdents64, directory.get(), buffer, sizeof buffer), -1);
    EXPECT_EQ(errno, EINVAL);
    EXPECT_EQ(part_of(directory, 24).size(), 1u);  // "." fits
  });
}

// Two descriptors of one open file have one position.
TEST_F(PositionsInAShortListing, AreSharedByDuplicatedDescriptors) {
  in_both([&] {
    const UniqueFd directory = descriptor();
    const UniqueFd copy{::dup(directory.get())};
    const auto first = part_of(directory, 24), second = part_of(copy, 24);
    EXPECT_THAT((std::vector{first.at(0).name, second.at(0).name}), ElementsAre(".", ".."));
  });
}

}  // namespace
}  // namespace ollamafs::test
