// How paths are resolved: long names, dots, slashes, names below files.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <climits>
#include <cstring>

#include "store/base/unique_fd.h"
#include "tests/mounted/mount.h"
#include "tests/mounted/walk.h"

namespace ollamafs::test {
namespace {

namespace fs = std::filesystem;

// errno of each call that takes a path for reading; they must agree.
std::string stat_error(const std::string& path) {
  struct stat st {};
  const int of_stat = ::stat(path.c_str(), &st) == 0 ? 0 : errno;
  const int of_lstat = ::lstat(path.c_str(), &st) == 0 ? 0 : errno;
  const int of_open = UniqueFd{::open(path.c_str(), O_RDONLY | O_CLOEXEC)} ? 0 : errno;
  const int of_access = ::access(path.c_str(), R_OK) == 0 ? 0 : errno;
  EXPECT_EQ(of_lstat, of_stat) << path;
  EXPECT_EQ(of_open, of_stat) << path;
  EXPECT_EQ(of_access, of_stat) << path;
  return ::strerrorname_np(of_stat);
}

ino_t number(const fs::path& path) {
  return stat_of(path).st_ino;
}

class Names : public ::testing::Test, public TwoRelatives {
 protected:
  Names() {
    write_two_relatives();
    mount_.emplace(store.root());
  }
  [[nodiscard]] std::string at(const std::string& path) const { return *mount_ / path; }

  const char* const model_ = "models/first+latest";
  const char* const manifest_ =
      "models/first+latest/manifests/registry.ollama.ai/library/first/latest";
  std::optional<Mount> mount_;
};

TEST_F(Names, OfUpTo255BytesAreLookedUpAndLongerOnesAreRefused) {
  for (const std::string directory :
       {"", "models/", "archives/", "models/first+latest/", "models/first+latest/blobs/"}) {
    for (const std::size_t length : {254u, 255u}) {
      EXPECT_EQ(stat_error(at(directory + std::string(length, 'n'))), "ENOENT") << length;
    }
    for (const std::size_t length : {256u, 257u, 1000u, 1024u, 1025u, 3000u}) {
      EXPECT_EQ(stat_error(at(directory + std::string(length, 'n'))), "ENAMETOOLONG") << length;
    }
  }
  EXPECT_EQ(::pathconf(at("models").c_str(), _PC_NAME_MAX), 255);
}

// Names count in bytes.
TEST_F(Names, OfManyByteCharactersAreLimitedInBytes) {
  std::string name;
  for (int i = 0; i < 85; ++i) name += "\xe2\x82\xac";  // 255 bytes
  EXPECT_EQ(stat_error(at(name)), "ENOENT");
  EXPECT_EQ(stat_error(at(name + "n")), "ENAMETOOLONG");
}

TEST_F(Names, InPathsThatAreTooLongAreRefused) {
  std::string path = at("models");
  while (path.size() + 2 < PATH_MAX - 1) path += "/.";
  EXPECT_EQ(stat_error(path), "0");
  while (path.size() < PATH_MAX) path += "/.";
  EXPECT_EQ(stat_error(path), "ENAMETOOLONG");
}

TEST_F(Names, OfOtherBytesAreNotThere) {
  for (const std::string name : {" ", "\n", "\x01", "\xff\xfe", "*", "\\", "...", ".. ", "~",
                                 "first:latest", "FIRST+LATEST", "first+latest ", "first"}) {
    EXPECT_EQ(stat_error(at("models/" + name)), "ENOENT");
  }
  EXPECT_EQ(stat_error(""), "ENOENT");
}

TEST_F(Names, DotAndDotDotLeadToTheDirectoryAndToTheOneAbove) {
  for (const fs::path path :
       {"models", "archives", "models/first+latest", "models/first+latest/blobs",
        "models/first+latest/manifests/registry.ollama.ai/library"}) {
    EXPECT_EQ(number(*mount_ / path / "."), number(*mount_ / path)) << path;
    EXPECT_EQ(number(*mount_ / path / ".."), number(*mount_ / path.parent_path())) << path;
  }
  EXPECT_EQ(number(at(".")), number(mount_->path()));
  EXPECT_EQ(number(at("..")), number(mount_->path().parent_path()));
  EXPECT_EQ(number(at("models/../archives/./../models/first+latest/blobs/..")), number(at(model_)));
}

// Also where the kernel has to ask, because it comes to the directory by its descriptor alone.
TEST_F(Names, DotDotWorksFromAnOpenDirectory) {
  UniqueFd directory{::open(at("models/first+latest/manifests/registry.ollama.ai").c_str(),
                            O_PATH | O_DIRECTORY | O_CLOEXEC)};
  for (const char* expected :
       {"models/first+latest/manifests", "models/first+latest", "models", ""}) {
    directory = UniqueFd{::openat(directory.get(), "..", O_PATH | O_DIRECTORY | O_CLOEXEC)};
    struct stat st {};
    ASSERT_EQ(::fstat(directory.get(), &st), 0);
    EXPECT_EQ(st.st_ino, number(at(expected))) << expected;
  }
}

TEST_F(Names, AreNotLookedUpBelowFiles) {
  for (const std::string& file :
       {std::string{"README.txt"}, std::string{"archives/first+latest.tar"},
        std::string{manifest_}}) {
    for (const char* below : {"/", "/.", "/..", "/x", "/x/y", "//", "/../README.txt"}) {
      EXPECT_EQ(stat_error(at(file + below)), "ENOTDIR");
    }
    EXPECT_EQ(UniqueFd{::open(at(file).c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC)}.get(), -1);
    EXPECT_EQ(errno, ENOTDIR);
    EXPECT_EQ(::chdir(at(file).c_str()), -1);
    EXPECT_EQ(errno, ENOTDIR);
  }
}

TEST_F(Names, MayBeFollowedBySlashesIfTheyAreDirectories) {
  for (const std::string directory : {"", "models", "models/first+latest/blobs"}) {
    for (const char* slashes : {"/", "//", "/./", "////."}) {
      EXPECT_EQ(number(at(directory) + slashes), number(at(directory)));
    }
  }
  EXPECT_EQ(number(at("models///first+latest//blobs")), number(at("models/first+latest/blobs")));
  EXPECT_EQ(stat_error(at("models/absent/")), "ENOENT");
}

TEST_F(Names, OfNothingInTheViewAreSymlinks) {
  char target[16];
  for (const char* path : {"models", "README.txt", "archives/first+latest.tar"}) {
    EXPECT_EQ(::readlink(at(path).c_str(), target, sizeof target), -1);
    EXPECT_EQ(errno, EINVAL);
    EXPECT_TRUE(UniqueFd{::open(at(path).c_str(), O_RDONLY | O_NOFOLLOW | O_CLOEXEC)});
  }
}

}  // namespace
}  // namespace ollamafs::test
