// Who reads the blobs: the kernel itself where it can, else the daemon; and that nobody can tell
// from the bytes.
#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/mount.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <filesystem>
#include <iterator>
#include <string>

#include "store/base/unique_fd.h"
#include "tests/mounted/data_path.h"
#include "tests/mounted/life.h"
#include "tests/mounted/shown.h"

namespace ollamafs::test {
namespace {

namespace fs = std::filesystem;
using ::testing::HasSubstr;

constexpr const char* kByKernel = "the kernel reads the blobs itself (passthrough)";
constexpr const char* kByDaemon = "blobs are read through this program";

// What a mount by root says.
std::string by_root() {
  return library_is_new() ? kByKernel : kByDaemon;
}

// Unmounts what a test has mounted.
class Unmounted {
 public:
  explicit Unmounted(fs::path place) : place_{std::move(place)} {}
  ~Unmounted() { ::umount2(place_.c_str(), MNT_DETACH); }
  Unmounted(const Unmounted&) = delete;
  Unmounted& operator=(const Unmounted&) = delete;

 private:
  fs::path place_;
};

class Passthrough : public Life {
 protected:
  [[nodiscard]] std::string bytes() const { return read_file(store_.blob_path(weights())); }

  static std::size_t reads_of(const Mount& mount) { return count(mount.log(), "opcode: READ ("); }
};

TEST_F(Passthrough, IsUsedByRootWhereTheLibraryHasIt) {
  const Mount mount{store_.root()};
  EXPECT_THAT(mount.log(), HasSubstr(by_root()));
}

TEST_F(Passthrough, IsNotPromisedWhereThereIsNoBlobToTryItWith) {
  const TempDir empty;
  fs::create_directory(empty / "manifests");
  const Mount mount{empty.path(), {.run = as_games_}};
  EXPECT_THAT(mount.log(), HasSubstr(library_is_new() ? "is tried with the first one" : kByDaemon));
}

TEST_F(Passthrough, LeavesNoReadToTheDaemon) {
  const Mount mount{store_.root(), {.arguments = {"-d"}}};
  const std::size_t before = reads_of(mount);
  EXPECT_TRUE(read_file(weights_in(mount.path())) == bytes());
  if (library_is_new()) {
    EXPECT_EQ(reads_of(mount), before);
  } else {
    EXPECT_GT(reads_of(mount), before);
  }
  must({"cat", (mount / "archives/llama3.2+3b.tar").string()});
  EXPECT_GT(reads_of(mount), before);  // as the count shows what the daemon does read
}

TEST_F(Passthrough, IsNotForOrdinaryUsersWhoReadTheSame) {
  const Mount mount{store_.root(), {.run = as_games_}};
  EXPECT_THAT(mount.log(), HasSubstr(kByDaemon));
  EXPECT_TRUE(must({"cat", weights_in(mount.path()).string()}, as_games_) == bytes());
}

TEST_F(Passthrough, ServesManyOpensOfOneBlobByManyNames) {
  ManifestSpec also = model_;
  also.layers.push_back(store_.layer(kSystemType, "You are another."));
  store_.v1("other:a", also);
  Mount mount{store_.root(), {.arguments = {"-o", "hold=0"}}};
  const std::string expected = bytes();
  const fs::path other = mount / "models/other+a/blobs" / weights().blob_name();
  const fs::path fds = "/proc/" + std::to_string(mount.daemon().pid()) + "/fd";
  const auto descriptors = [&] {
    return std::distance(fs::directory_iterator{fds}, fs::directory_iterator{});
  };
  const auto before = descriptors();
  for (int i = 0; i < 500; ++i) {
    const UniqueFd first{::open(weights_in(mount.path()).c_str(), O_RDONLY | O_CLOEXEC)};
    const UniqueFd second{::open(other.c_str(), O_RDONLY | O_CLOEXEC)};
    std::string one(1000, '\0'), two(1000, '\0');
    ASSERT_EQ(::pread(first.get(), one.data(), one.size(), 5000 + i), 1000);
    ASSERT_EQ(::pread(second.get(), two.data(), two.size(), 5000 + i), 1000);
    ASSERT_EQ(one, expected.substr(static_cast<std::size_t>(5000 + i), 1000));
    ASSERT_EQ(two, one);
  }
  EXPECT_TRUE(eventually([&] { return descriptors() == before; }));
}

// Who registers a file with the kernel, and each open, holds the file: while one of them is left,
// the disk does not get its blocks back when the file is removed.
TEST_F(Passthrough, HoldsNothingAfterThousandOpens) {
  const MountDir disk;
  ASSERT_EQ(::mount("tmpfs", disk.path().c_str(), "tmpfs", 0, "mode=0755"), 0);
  const Unmounted at_end{disk.path()};
  const auto blocks_in_use = [&] {
    struct statvfs st {};
    EXPECT_EQ(::statvfs(disk.path().c_str(), &st), 0);
    return st.f_blocks - st.f_bfree;
  };
  const auto before = blocks_in_use();
  const StoreBuilder store{disk.path() / "models"};
  store.v1("llama3.2:3b", store.text_model(1, 3'000'000));
  const fs::path in_store = store.blob_path(weights());
  const auto full = blocks_in_use();
  const Mount mount{store.root(), {.arguments = {"-o", "hold=0"}}};
  EXPECT_THAT(mount.log(), HasSubstr(by_root()));
  const auto open = [&] {
    UniqueFd fd{::open(weights_in(mount.path()).c_str(), O_RDONLY | O_CLOEXEC)};
    EXPECT_TRUE(fd);
    char byte = 0;
    EXPECT_EQ(::pread(fd.get(), &byte, 1, 2'000'000), 1);
    return fd;
  };
  for (int i = 0; i < 1000; ++i) (void)open();
  {
    const UniqueFd last = open();
    fs::remove(in_store);
    EXPECT_FALSE(eventually([&] { return blocks_in_use() < full; }, std::chrono::seconds{1}));
  }
  EXPECT_TRUE(eventually([&] { return (full - blocks_in_use()) * 100 > (full - before) * 90; }))
      << before << " blocks, then " << full << ", now " << blocks_in_use();
}

// In a process of the user's own: nobody else may look into a user's mount.
TEST_F(Passthrough, OrNotABlobCanBeMapped) {
  for (const RunOptions& user : {RunOptions{}, as_games_}) {
    const Mount mount{store_.root(), {.run = user}};
    const std::string blob = weights_in(mount.path()).string();
    const std::string script =
        "import mmap, sys\n"
        "with open(sys.argv[1], 'rb') as f:\n"
        "  m = mmap.mmap(f.fileno(), 0, mmap.MAP_SHARED, mmap.PROT_READ)\n"
        "  sys.stdout.buffer.write(m[:])\n";
    EXPECT_TRUE(must({"python3", "-c", script, blob}, user) == bytes());
  }
}

// A store in a container lies on overlayfs; two of them stacked are too many for the kernel.
TEST_F(Passthrough, ServesAStoreOnOverlayfs) {
  const MountDir layers, once, twice;
  ASSERT_EQ(::mount("tmpfs", layers.path().c_str(), "tmpfs", 0, nullptr), 0);
  const auto overlay = [&](const fs::path& lower, const fs::path& place, const std::string& name) {
    for (const char* part : {"upper", "work"}) {
      fs::create_directories(layers.path() / (name + part));
    }
    const std::string options = "lowerdir=" + lower.string() +
                                ",upperdir=" + (layers.path() / (name + "upper")).string() +
                                ",workdir=" + (layers.path() / (name + "work")).string();
    ASSERT_EQ(::mount("overlay", place.c_str(), "overlay", 0, options.c_str()), 0)
        << std::strerror(errno);
  };
  overlay(store_.root(), once.path(), "once");
  overlay(once.path(), twice.path(), "twice");
  {
    const Mount mount{once.path()};
    EXPECT_THAT(mount.log(), HasSubstr(by_root()));
    EXPECT_TRUE(read_file(weights_in(mount.path())) == bytes());
  }
  {
    const Mount mount{twice.path()};
    EXPECT_THAT(mount.log(), HasSubstr(kByDaemon));
    EXPECT_EQ(mount.log().find("stacked") != std::string::npos, library_is_new());
    EXPECT_TRUE(read_file(weights_in(mount.path())) == bytes());
  }
  for (const fs::path& place : {twice.path(), once.path(), layers.path()}) {
    EXPECT_EQ(::umount2(place.c_str(), MNT_DETACH), 0);
  }
}

}  // namespace
}  // namespace ollamafs::test
