// Whom a mount with -o allow_other is for: those who may read the store (docs/view.md §6). The
// readers are real processes of real users.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/mount.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <string>
#include <utility>

#include "tests/mounted/access.h"
#include "tests/mounted/mount.h"
#include "tests/support/process.h"

namespace ollamafs::test {
namespace {

namespace fs = std::filesystem;
using ::testing::AllOf;
using ::testing::HasSubstr;

// ---- by root ----

class MountForAll : public Access {
 protected:
  const Mount::Options for_all_{.arguments = {"-o", "allow_other"}};
};

TEST_F(MountForAll, OfAWorldReadableStoreIsForEverybody) {
  give_store("man:man", "0755");
  const Mount mount{store_.root(), for_all_};
  EXPECT_EQ(owner_and_mode(mount.path()), "man:man 755");
  for (const Reader& reader : {root_, man_, games_, nobody_}) expect_reads(reader, mount.path());
}

TEST_F(MountForAll, OfAStoreForItsGroupIsForItsOwnerAndGroup) {
  give_store("man:man", "0750");
  const Mount mount{store_.root(), for_all_};
  EXPECT_EQ(owner_and_mode(mount.path()), "man:man 750");
  for (const Reader& reader : {root_, man_, in_group_}) expect_reads(reader, mount.path());
  for (const Reader& reader : {games_, nobody_}) expect_denied(reader, mount.path());
}

// As most Linux installs have it: the home of the service's user is what is closed.
TEST_F(MountForAll, OfAStoreInAClosedHomeIsForWhoMayEnterThat) {
  give_store("man:man", "0755");
  must({"chown", "man:man", store_.root().parent_path().string()});
  must({"chmod", "0750", store_.root().parent_path().string()});
  const Mount mount{store_.root(), for_all_};
  for (const Reader& reader : {man_, in_group_}) expect_reads(reader, mount.path());
  expect_denied(nobody_, mount.path());
}

TEST_F(MountForAll, OfAStoreForItsOwnerIsForItsOwner) {
  give_store("man:man", "0700");
  const Mount mount{store_.root(), for_all_};
  EXPECT_EQ(owner_and_mode(mount.path()), "man:man 700");
  EXPECT_THAT(mount.log(), HasSubstr(store_.root().string() + " lets no more people read"));
  for (const Reader& reader : {root_, man_}) expect_reads(reader, mount.path());
  for (const Reader& reader : {in_group_, nobody_}) expect_denied(reader, mount.path());
}

// What is narrowed while it is mounted; a folder's mode changes nothing else.
TEST_F(MountForAll, FollowsTheModesOfTheStore) {
  give_store("man:man", "0755");
  const Mount mount{store_.root(), for_all_};
  expect_reads(nobody_, mount.path());
  for (const char* const folder : {"manifests", "blobs", "manifests/registry.ollama.ai/library"}) {
    must({"chmod", "0700", (store_.root() / folder).string()});
    EXPECT_TRUE(eventually([&] { return owner_and_mode(mount.path()) == "man:man 700"; }))
        << folder;
    must({"chmod", "0755", (store_.root() / folder).string()});
    EXPECT_TRUE(eventually([&] { return owner_and_mode(mount.path()) == "man:man 755"; }))
        << folder;
  }
}

// It is shown from a descriptor for as long as it is in use.
TEST_F(MountForAll, IsOpenedToNobodyByTheRemovalOfTheNarrowestFile) {
  give_store("man:man", "0755");
  must({"chmod", "0600", weights().string()});
  const Mount mount{store_.root(), for_all_};
  ASSERT_EQ(owner_and_mode(mount.path()), "man:man 700");
  const fs::path shown = mount / "models/llama3.2+3b/blobs" / weights().filename();
  const std::ifstream open{shown, std::ios::binary};
  ASSERT_TRUE(open.good());
  fs::remove(weights());
  fs::remove(store_.v1_path(*ModelName::parse("llama3.2:3b")));
  for (int i = 0; i < 20; ++i) {
    ASSERT_EQ(owner_and_mode(mount.path()), "man:man 700");
    sleep_a_little();
    ::usleep(50'000);
  }
  EXPECT_TRUE(fs::exists(shown));
}

TEST_F(MountForAll, IsAsNarrowAsTheNarrowestFileOrFolder) {
  give_store("man:man", "0755");
  const std::pair<fs::path, const char*> cases[] = {
      {weights(), "go-r"},
      {store_.v1_path(*ModelName::parse("llama3.2:3b")), "go-r"},
      {store_.root() / "blobs", "go-x"},
      {store_.root() / "manifests/registry.ollama.ai", "go-r"},  // must be listed
  };
  for (const auto& [narrow, change] : cases) {
    must({"chmod", change, narrow.string()});
    const Mount mount{store_.root(), for_all_};
    EXPECT_THAT(mount.log(), HasSubstr(narrow.string() + " lets no more people read"));
    expect_reads(man_, mount.path());
    for (const Reader& reader : {in_group_, nobody_}) expect_denied(reader, mount.path());
    must({"chmod", "go+rX", narrow.string()});
  }
}

TEST_F(MountForAll, IsForNobodyWhereTheOwnerMayNotReadEither) {
  give_store("man:man", "0755");
  must({"chown", "daemon:daemon", weights().string()});
  must({"chmod", "0600", weights().string()});
  const Mount mount{store_.root(), for_all_};
  EXPECT_THAT(mount.log(), HasSubstr(weights().string()));
  expect_reads(root_, mount.path());
  for (const Reader& reader : {man_, Reader{"daemon"}, nobody_}) {
    expect_denied(reader, mount.path());
  }
}

// The blob itself may be read by all, where it lies only its owner may go.
TEST_F(MountForAll, CountsTheDirectoryIntoWhichABlobIsLinked) {
  for (const fs::path& narrow : {store_.root() / "mine", dir_ / "disk"}) {
    move_weights(narrow / "weights");
    give_store("man:man", "0755");
    must({"chown", "man:man", narrow.string()});
    must({"chmod", "0700", narrow.string()});
    Mount::Options options = for_all_;
    options.arguments.insert(options.arguments.end(), {"-o", "follow=" + narrow.string()});
    {
      const Mount mount{store_.root(), options};
      EXPECT_THAT(mount.log(), HasSubstr(narrow.string() + " lets no more people read"));
      expect_reads(man_, mount.path());
      for (const Reader& reader : {in_group_, nobody_}) expect_denied(reader, mount.path());
    }
    fs::rename(narrow / "weights", weights());
  }
}

TEST_F(MountForAll, RefusesALinkOutOfTheStore) {
  move_weights(dir_ / "disk/weights");
  const Mount mount{store_.root(), for_all_};
  EXPECT_THAT(mount.log(), HasSubstr("llama3.2:3b is broken"));
  const Result result = nobody_.runs({"cat", (mount / "archives/llama3.2+3b.tar").string()});
  EXPECT_EQ(result.out, "");
  EXPECT_THAT(result.err, HasSubstr("Input/output error"));
}

TEST_F(MountForAll, LetsNobodyInForTheOwnerThatItShows) {
  give_store("man:man", "0750");
  Mount::Options options = for_all_;
  options.arguments.insert(options.arguments.end(), {"-o", "uid=nobody,gid=nogroup"});
  const Mount mount{store_.root(), options};
  EXPECT_EQ(owner_and_mode(mount / "README.txt"), "nobody:nogroup 644");
  EXPECT_EQ(owner_and_mode(mount.path()), "man:man 750");
  for (const Reader& reader : {man_, in_group_}) expect_reads(reader, mount.path());
  for (const Reader& reader : {nobody_, games_}) expect_denied(reader, mount.path());
}

// ---- by an ordinary user ----

class MountForAllByAUser : public Access {
 protected:
  const Mount::Options for_all_by_games_{.arguments = {"-o", "allow_other"},
                                         .run = {.as = User::named("games")}};
};

TEST_F(MountForAllByAUser, IsRefusedWhereTheAdministratorHasNotAllowedIt) {
  const NewOver conf{"/etc/fuse.conf", "", "0644"};
  const MountDir place{true, User::named("games")};
  const Result result = mount_as(games_, place.path(), {"-o", "allow_other"});
  EXPECT_EQ(result.status, 1);
  EXPECT_THAT(result.err, AllOf(HasSubstr("user_allow_other"), HasSubstr("/etc/fuse.conf"),
                                HasSubstr(place.path().string())));
  EXPECT_NE(::umount2(place.path().c_str(), MNT_DETACH), 0) << "something was mounted";
  EXPECT_FALSE(fs::exists(place.path()));
}

TEST_F(MountForAllByAUser, ShowsTheStoreToWhomTheStoreWould) {
  const NewOver conf{"/etc/fuse.conf", "user_allow_other\n", "0644"};
  {
    give_store("games:man", "0755");
    const Mount mount{store_.root(), for_all_by_games_};
    EXPECT_EQ(owner_and_mode(mount.path()), "games:man 755");
    for (const Reader& reader : {games_, root_, nobody_}) expect_reads(reader, mount.path());
  }
  {
    give_store("games:man", "0750");
    const Mount mount{store_.root(), for_all_by_games_};
    for (const Reader& reader : {games_, in_group_}) expect_reads(reader, mount.path());
    expect_denied(nobody_, mount.path());
  }
  {
    give_store("games:man", "0700");
    const Mount mount{store_.root(), for_all_by_games_};
    expect_reads(games_, mount.path());
    for (const Reader& reader : {in_group_, nobody_}) expect_denied(reader, mount.path());
  }
}

// A backup by root of a home in which a view is mounted, say.
TEST_F(MountForAllByAUser, CanBeForRootAlone) {
  const NewOver conf{"/etc/fuse.conf", "user_allow_other\n", "0644"};
  give_store("games:man", "0755");
  const Mount mount{store_.root(),
                    {.arguments = {"-o", "allow_root"}, .run = {.as = User::named("games")}}};
  EXPECT_EQ(owner_and_mode(mount.path()), "games:games 700");
  for (const Reader& reader : {games_, root_}) expect_reads(reader, mount.path());
  for (const Reader& reader : {nobody_, in_group_}) expect_denied(reader, mount.path());
}

// Who may read the user's other files may not read them for others.
TEST_F(MountForAllByAUser, RefusesALinkOutOfTheStore) {
  const NewOver conf{"/etc/fuse.conf", "user_allow_other\n", "0644"};
  move_weights(dir_ / "disk/weights");
  const Mount mount{store_.root(), for_all_by_games_};
  EXPECT_THAT(mount.log(), HasSubstr("llama3.2:3b is broken"));
}

}  // namespace
}  // namespace ollamafs::test
