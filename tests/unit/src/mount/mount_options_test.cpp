#include "src/mount/mount_options.h"

#include <gmock/gmock.h>

#include <filesystem>
#include <string>
#include <vector>

#include "src/say/exit_status.h"
#include "tests/support/process.h"
#include "tests/support/temp_dir.h"

namespace ollamafs::test {
namespace {

namespace fs = std::filesystem;
using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;

MountOptions parse(const std::string& list) {
  return parse_mount_options({list});
}

// What is said against `arguments`, which must be refused as a mistake in the command line.
std::string refusal(const std::vector<std::string>& arguments) {
  try {
    (void)parse_mount_options(arguments);
  } catch (const CommandError& error) {
    EXPECT_EQ(error.status(), ExitStatus::usage) << error.what();
    return error.what();
  }
  return "taken";
}

TEST(MountOptions, AreAllOffWhenNothingIsSaid) {
  for (const std::vector<std::string>& nothing : {std::vector<std::string>{}, {""}, {",", ",,"}}) {
    const MountOptions options = parse_mount_options(nothing);
    EXPECT_FALSE(options.allow_other);
    EXPECT_FALSE(options.nonempty);
    EXPECT_FALSE(options.verify);
    EXPECT_FALSE(options.uid);
    EXPECT_FALSE(options.gid);
    EXPECT_THAT(options.follow, IsEmpty());
  }
}

TEST(MountOptions, TakeEachOption) {
  EXPECT_TRUE(parse("allow_other").allow_other);
  EXPECT_TRUE(parse("nonempty").nonempty);
  EXPECT_TRUE(parse("verify").verify);
  EXPECT_EQ(parse("uid=1000").uid, 1000u);
  EXPECT_EQ(parse("gid=1000").gid, 1000u);
  EXPECT_THAT(parse("follow=/usr").follow, ElementsAre("/usr"));
}

TEST(MountOptions, ComeInOneListOrInMany) {
  for (const auto& arguments :
       {std::vector<std::string>{"allow_other,uid=1,gid=2,follow=/usr,nonempty"},
        std::vector<std::string>{"allow_other", "uid=1", "gid=2,follow=/usr", "nonempty"},
        std::vector<std::string>{",allow_other,,uid=1", "gid=2,", "follow=/usr,nonempty"}}) {
    const MountOptions options = parse_mount_options(arguments);
    EXPECT_TRUE(options.allow_other);
    EXPECT_TRUE(options.nonempty);
    EXPECT_EQ(options.uid, 1u);
    EXPECT_EQ(options.gid, 2u);
    EXPECT_THAT(options.follow, ElementsAre("/usr"));
  }
}

// fstab and mount(8) pass these along; the mount has them anyway.
TEST(MountOptions, TakeWhatTheMountIsAnyway) {
  const MountOptions options = parse("ro,nosuid,nodev,noexec,default_permissions");
  EXPECT_FALSE(options.allow_other);
  EXPECT_FALSE(options.nonempty);
}

// Lines of fstab, as systemd's and util-linux's own manuals have them.
TEST(MountOptions, TakeWhatALineOfFstabSaysToOthers) {
  const MountOptions options = parse(
      "defaults,noauto,auto,_netdev,user,users,nouser,user=me,noatime,relatime,owner,group,"
      "comment=mine,x-systemd.automount,x-systemd.requires=/mnt,X-mount.mkdir,allow_other");
  EXPECT_TRUE(options.allow_other);
  EXPECT_FALSE(options.nofail);
  EXPECT_TRUE(parse("nofail").nofail);
  EXPECT_THAT(refusal({"x"}), HasSubstr("x"));
  EXPECT_THAT(refusal({"defaults=1"}), HasSubstr("defaults=1"));
}

TEST(MountOptions, ExplainWhatOtherFileSystemsTake) {
  EXPECT_THAT(refusal({"auto_unmount"}), HasSubstr("leave it out"));
  EXPECT_THAT(refusal({"remount"}), HasSubstr("unmount it"));
}

TEST(MountOptions, LetInEitherRootOrAll) {
  EXPECT_TRUE(parse("allow_root").allow_root);
  EXPECT_FALSE(parse("allow_root").allow_other);
  EXPECT_THAT(refusal({"allow_root", "allow_other"}), HasSubstr("only one"));
}

// mount(8) says rw of every line that does not say ro; autofs asks to pass over what is unknown.
TEST(MountOptions, AreReadLessStrictlyForMount8) {
  EXPECT_TRUE(parse_mount_options({"rw,allow_other"}, {.rw_means_nothing = true}).allow_other);
  EXPECT_THAT(refusal({"rw"}), HasSubstr("always ro"));
  const MountOptions sloppy = parse_mount_options({"frob=1,uid=5", "grob"}, {.skip_unknown = true});
  EXPECT_EQ(sloppy.uid, 5u);
  EXPECT_THAT(sloppy.skipped, ElementsAre("frob=1", "grob"));
  EXPECT_THROW(
      (void)parse_mount_options({"suid"}, {.rw_means_nothing = true, .skip_unknown = true}),
      CommandError);
}

TEST(MountOptions, RefuseWhatTheMountNeverIs) {
  for (const char* option : {"rw", "suid", "dev", "exec"}) {
    EXPECT_THAT(refusal({option}),
                AllOf(HasSubstr("-o " + std::string{option}), HasSubstr("always ro")));
  }
}

TEST(MountOptions, NameTheOptionThatIsUnknown) {
  EXPECT_THAT(refusal({"alow_other"}), HasSubstr("alow_other"));
  EXPECT_THAT(refusal({"ro,nosuid,max_read=4096"}), HasSubstr("max_read=4096"));
  EXPECT_THAT(refusal({"allow_other", "ALLOW_OTHER"}), HasSubstr("ALLOW_OTHER"));
  EXPECT_THAT(refusal({" ro"}), HasSubstr(" ro"));
  EXPECT_THAT(refusal({"ro=1"}), HasSubstr("ro=1"));
  EXPECT_THAT(refusal({"=x"}), HasSubstr("=x"));
}

TEST(MountOptions, NameTheFirstMistake) {
  EXPECT_THAT(refusal({"first,second", "third"}),
              AllOf(HasSubstr("first"), Not(HasSubstr("second"))));
  EXPECT_THAT(refusal({"uid=", "second"}), AllOf(HasSubstr("uid"), Not(HasSubstr("second"))));
  EXPECT_THAT(refusal({"rw", "second"}), AllOf(HasSubstr("rw"), Not(HasSubstr("second"))));
}

TEST(MountOptions, PrintUnknownBytesSafely) {
  EXPECT_THAT(refusal({"bad\x1b[31m\nname"}), AllOf(Not(HasSubstr("\x1b")), Not(HasSubstr("\n"))));
  EXPECT_THAT(refusal({"uid=\x1b[31m"}), Not(HasSubstr("\x1b")));
}

TEST(MountOptions, AskForTheValueThatIsMissing) {
  for (const std::string option : {"uid", "gid", "follow", "split"}) {
    EXPECT_THAT(refusal({option}), HasSubstr(option));
    EXPECT_THAT(refusal({option + "="}), HasSubstr(option));
  }
}

TEST(MountOptions, RefuseAValueThatAnOptionDoesNotTake) {
  for (const std::string option : {"allow_other", "nonempty", "verify"}) {
    EXPECT_THAT(refusal({option + "=1"}), AllOf(HasSubstr(option), HasSubstr("no value")));
    EXPECT_THAT(refusal({option + "="}), HasSubstr(option));
  }
}

TEST(MountOptions, TakeUsersAndGroupsByName) {
  EXPECT_EQ(parse("uid=root").uid, 0u);
  EXPECT_EQ(parse("gid=root").gid, 0u);
  EXPECT_EQ(std::to_string(parse("uid=nobody").uid.value()) + "\n", must({"id", "-u", "nobody"}));
  // Debian's games is user 5 and group 60.
  EXPECT_EQ(std::to_string(parse("uid=games").uid.value()) + "\n", must({"id", "-u", "games"}));
  EXPECT_EQ(std::to_string(parse("gid=games").gid.value()) + "\n", must({"id", "-g", "games"}));
}

TEST(MountOptions, TakeEveryNumberThatIsAUser) {
  EXPECT_EQ(parse("uid=0").uid, 0u);
  EXPECT_EQ(parse("uid=0099").uid, 99u);
  EXPECT_EQ(parse("uid=4294967294").uid, 4294967294u);
  EXPECT_EQ(parse("gid=4294967294").gid, 4294967294u);
}

TEST(MountOptions, SplitArchivesForFat32) {
  EXPECT_EQ(parse("").split, 4'000'000'000u);
  EXPECT_EQ(parse("split=1048576").split, 1'048'576u);
  EXPECT_EQ(parse("split=1000K").split, 1'000'000u);
  EXPECT_EQ(parse("split=1M").split, 1'000'000u);
  EXPECT_EQ(parse("split=2M").split, 2'000'000u);
  EXPECT_EQ(parse("split=3G,uid=1").split, 3'000'000'000u);
  EXPECT_EQ(parse("split=9223372036854775807").split, 9'223'372'036'854'775'807u);
}

TEST(MountOptions, RefuseWhatIsNoSizeOfAPart) {
  for (const char* value :
       {"0", "999999", "999K", "-1", "+2M", "2m", "2MB", "2 M", "M", "1.5G", "0x200000",
        "9223372036854775808", "9223372037G", "18446744073709551616", "18446744073709552M"}) {
    EXPECT_THAT(refusal({"split=" + std::string{value}}),
                AllOf(HasSubstr("-o split="), HasSubstr(value)));
  }
}

// 4294967295 is (uid_t)-1, "no change" to the kernel.
TEST(MountOptions, RefuseWhatIsNoUser) {
  for (const char* value : {"4294967295", "4294967296", "-1", "+1", "0x10", "1.5", "12 ", " 12",
                            "1000x", "no-such-user-here", "root "}) {
    EXPECT_THAT(refusal({"uid=" + std::string{value}}), AllOf(HasSubstr("uid"), HasSubstr(value)));
    EXPECT_THAT(refusal({"gid=" + std::string{value}}), AllOf(HasSubstr("gid"), HasSubstr(value)));
  }
}

TEST(MountOptions, TakeTheLastOfTwoOwners) {
  EXPECT_EQ(parse("uid=1,uid=2").uid, 2u);
}

// Directories to follow into, which must be there.
class Follow : public ::testing::Test {
 protected:
  // "follow=" and the directory of this name, with `escaped` for it.
  [[nodiscard]] std::string option(const std::string& name, const std::string& escaped) const {
    fs::create_directory(base_ / name);
    return "follow=" + (base_ / escaped).string();
  }
  [[nodiscard]] std::string option(const std::string& name) const { return option(name, name); }

  TempDir dir_;
  const fs::path base_ = fs::canonical(dir_.path());
};

TEST_F(Follow, TakesManyDirectories) {
  EXPECT_THAT(parse_mount_options({option("a") + "," + option("b"), option("c d")}).follow,
              ElementsAre(base_ / "a", base_ / "b", base_ / "c d"));
}

// The daemon changes to the root directory, where a relative path would mean something else.
TEST_F(Follow, MakesDirectoriesAbsoluteWithoutLinks) {
  fs::create_directory(base_ / "disk");
  fs::create_directory_symlink("disk", base_ / "link");
  const fs::path link = fs::relative(base_ / "link");
  ASSERT_TRUE(link.is_relative());
  EXPECT_THAT(parse("follow=" + link.string()).follow, ElementsAre(base_ / "disk"));
}

TEST_F(Follow, NamesTheDirectoryThatIsNotThere) {
  EXPECT_EQ(refusal({"follow=/nope"}), "-o follow=/nope: No such file or directory");
  EXPECT_EQ(refusal({"follow=nope"}), "-o follow=nope: No such file or directory");
  EXPECT_EQ(refusal({"follow=/etc/passwd"}), "-o follow=/etc/passwd: Not a directory");
  EXPECT_EQ(refusal({"follow=/\x1b[31m"}), "-o follow=/\\x1b[31m: No such file or directory");
}

TEST_F(Follow, TakesACommaOrABackslashBehindABackslash) {
  const MountOptions comma = parse(option("a,b", R"(a\,b)") + ",uid=1");
  EXPECT_THAT(comma.follow, ElementsAre(base_ / "a,b"));
  EXPECT_EQ(comma.uid, 1u);
  const MountOptions backslash = parse(option("a\\", R"(a\\)") + ",uid=1");
  EXPECT_THAT(backslash.follow, ElementsAre(base_ / "a\\"));
  EXPECT_EQ(backslash.uid, 1u);
  EXPECT_THAT(parse(option("a\\,b", R"(a\\\,b)")).follow, ElementsAre(base_ / "a\\,b"));
  EXPECT_THAT(parse(option("a=b")).follow, ElementsAre(base_ / "a=b"));
}

}  // namespace
}  // namespace ollamafs::test
