#include "src/mount/mount_helper.h"

#include <gmock/gmock.h>

#include <string>
#include <vector>

namespace ollamafs::test {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

MountArguments parse(std::vector<std::string> words) {
  words.insert(words.begin(), "/sbin/mount.ollamafs");
  std::vector<char*> pointers;
  pointers.reserve(words.size() + 1);
  for (std::string& word : words) pointers.push_back(word.data());
  pointers.push_back(nullptr);
  return helper_arguments(static_cast<int>(words.size()), pointers.data());
}

std::string refusal(const std::vector<std::string>& words) {
  try {
    (void)parse(words);
  } catch (const CommandError& error) {
    EXPECT_EQ(error.status(), ExitStatus::usage);
    return error.what();
  }
  return "taken";
}

TEST(MountHelper, IsKnownByItsName) {
  EXPECT_TRUE(is_mount_helper("/sbin/mount.ollamafs"));
  EXPECT_TRUE(is_mount_helper("mount.fuse.ollamafs"));
  for (const char* name : {"", "ollamafs", "/usr/bin/ollamafs", "mount.ollamafs/", "mount"})
    EXPECT_FALSE(is_mount_helper(name)) << name;
}

TEST(MountHelper, TakesTheCallOfMount8) {
  const MountArguments arguments =
      parse({"/store", "/view", "-sv", "-n", "-o", "rw,uid=1", "-t", "fuse.ollamafs", "-o", "ro"});
  EXPECT_EQ(arguments.store, "/store");
  EXPECT_EQ(arguments.mountpoint, "/view");
  EXPECT_THAT(arguments.options, ElementsAre("rw,uid=1", "ro"));
  EXPECT_TRUE(arguments.rules.skip_unknown);
  EXPECT_TRUE(arguments.rules.rw_means_nothing);
  EXPECT_FALSE(arguments.quiet);
  EXPECT_FALSE(arguments.fake);
  EXPECT_FALSE(arguments.foreground);
}

TEST(MountHelper, IsQuietAndStrictUnlessToldOtherwise) {
  const MountArguments arguments = parse({"-f", "auto", "/view"});
  EXPECT_EQ(arguments.store, "");
  EXPECT_TRUE(arguments.quiet);
  EXPECT_TRUE(arguments.fake);
  EXPECT_FALSE(arguments.rules.skip_unknown);
}

TEST(MountHelper, RefusesOtherCalls) {
  for (const auto& words : std::vector<std::vector<std::string>>{
           {}, {"/store"}, {"/store", "/view", "/third"}, {"", "/view"}, {"/store", ""}})
    EXPECT_THAT(refusal(words), HasSubstr("STORE DIR"));
  EXPECT_THAT(refusal({"/store", "/view", "-x"}), HasSubstr("-x"));
  EXPECT_THAT(refusal({"/store", "/view", "-o"}), HasSubstr("-o"));
  EXPECT_THAT(refusal({"/store", "/view", "-N", "/proc/1/ns/mnt"}), HasSubstr("nsenter"));
}

TEST(MountHelper, EndsWithTheStatusOfMount8) {
  EXPECT_EQ(helper_status(ExitStatus::ok), 0);
  EXPECT_EQ(helper_status(ExitStatus::usage), 1);
  EXPECT_EQ(helper_status(ExitStatus::interrupted), 8);
  EXPECT_EQ(helper_status(ExitStatus::no_store), 32);
  EXPECT_EQ(helper_status(ExitStatus::failed), 32);
}

}  // namespace
}  // namespace ollamafs::test
