// The calls for extended attributes, and their errors. What the attributes say is in
// attributes_test.cpp.
#include <gtest/gtest.h>
#include <sys/xattr.h>

#include <cstring>

#include "tests/mounted/every_file.h"

namespace ollamafs::test {
namespace {

constexpr const char* kDigest = "user.ollamafs.digest";

using ExtendedAttributes = EveryFile;

TEST_F(ExtendedAttributes, TellTheirSizeAndFitExactly) {
  const std::string right = digest_of(first.layers[0]).to_string();
  const auto size = static_cast<ssize_t>(right.size());
  EXPECT_EQ(::getxattr(blob().c_str(), kDigest, nullptr, 0), size);
  std::string value(right.size(), '\0');
  EXPECT_EQ(::getxattr(blob().c_str(), kDigest, value.data(), value.size()), size);
  EXPECT_EQ(value, right);
  std::string large(65536, '\0');
  EXPECT_EQ(::getxattr(blob().c_str(), kDigest, large.data(), large.size()), size);
  EXPECT_EQ(large.substr(0, right.size()), right);
  EXPECT_EQ(large[right.size()], '\0');
  const UniqueFd fd = opened(blob());
  EXPECT_EQ(::fgetxattr(fd.get(), kDigest, value.data(), value.size()), size);
  EXPECT_EQ(::lgetxattr(blob().c_str(), kDigest, value.data(), value.size()), size);
}

TEST_F(ExtendedAttributes, ThatDoNotFitAreAnError) {
  std::string room(1000, '\0');
  const auto size = static_cast<std::size_t>(::getxattr(blob().c_str(), kDigest, nullptr, 0));
  for (const std::size_t less : {std::size_t{1}, size / 2, size - 1}) {
    EXPECT_EQ(::getxattr(blob().c_str(), kDigest, room.data(), less), -1);
    EXPECT_EQ(errno, ERANGE) << less;
  }
  const auto names = static_cast<std::size_t>(::listxattr(archive().c_str(), nullptr, 0));
  for (const std::size_t less : {std::size_t{1}, names / 2, names - 1}) {
    EXPECT_EQ(::listxattr(archive().c_str(), room.data(), less), -1);
    EXPECT_EQ(errno, ERANGE) << less;
  }
}

// What ls, cp -a and tar ask for among them: one takes "not supported" for an answer about the
// whole mount, and asks no more.
TEST_F(ExtendedAttributes, ThatAreNotThereAreAnError) {
  char room[100];
  for (const std::string& path : all()) {
    for (const char* name :
         {"user.absent", "user.ollamafs", "user.ollamafs.", "user.ollamafs.digests",
          "user.OLLAMAFS.digest", "trusted.overlay.opaque", "security.capability",
          "security.selinux", "system.posix_acl_access", "system.posix_acl_default"}) {
      const int error = std::string_view{name}.starts_with("user.") ? ENODATA : EOPNOTSUPP;
      EXPECT_EQ(::getxattr(path.c_str(), name, room, sizeof room), -1);
      EXPECT_EQ(errno, error) << path << ' ' << name;
      EXPECT_EQ(::getxattr(path.c_str(), name, nullptr, 0), -1);
      EXPECT_EQ(errno, error) << path << ' ' << name;
    }
    EXPECT_EQ(::getxattr(path.c_str(), "", room, sizeof room), -1);
    EXPECT_EQ(errno, ERANGE);
    EXPECT_EQ(::getxattr(path.c_str(), ("user." + std::string(251, 'n')).c_str(), room, 1), -1);
    EXPECT_EQ(errno, ERANGE);
  }
  EXPECT_EQ(::getxattr((*mount_ / "absent").c_str(), kDigest, room, sizeof room), -1);
  EXPECT_EQ(errno, ENOENT);
}

TEST_F(ExtendedAttributes, AreAllThatIsListed) {
  for (const std::string& path : all()) {
    const ssize_t size = ::listxattr(path.c_str(), nullptr, 0);
    if (path == mount_->path() || path == (*mount_ / "models") || path == (*mount_ / "archives")) {
      EXPECT_EQ(size, -1) << path;
      EXPECT_EQ(errno, EOPNOTSUPP) << path;  // which ls takes for an answer about the whole mount
      continue;
    }
    ASSERT_GE(size, 0) << path;
    std::string names(static_cast<std::size_t>(size), '?');
    ASSERT_EQ(::listxattr(path.c_str(), names.data(), names.size()), size) << path;
    const bool has_some = path == blob() || path == manifest() || path == archive() ||
                          path == (*mount_ / "models/first+latest");
    EXPECT_EQ(!names.empty(), has_some) << path;
    EXPECT_TRUE(names.empty() || names.back() == '\0') << path;
    for (const char* name = names.c_str(); name < names.c_str() + names.size();
         name += std::strlen(name) + 1) {
      EXPECT_GT(::getxattr(path.c_str(), name, nullptr, 0), 0) << path << ' ' << name;
    }
  }
}

}  // namespace
}  // namespace ollamafs::test
