// Whom a mount of one's own is for, made by a user, by root or by sudo, and what is said of a store
// that its user may not read (docs/view.md §6). The readers are real processes of real users.
#include "tests/mounted/access.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/mount.h>

#include <filesystem>
#include <ostream>
#include <string>

#include "tests/mounted/mount.h"
#include "tests/support/process.h"

namespace ollamafs::test {
namespace {

namespace fs = std::filesystem;
using ::testing::AllOf;
using ::testing::HasSubstr;

// ---- a mount of one's own ----

class OwnMount : public Access {
 protected:
  const Mount::Options by_games_{.run = {.as = User::named("games")}};
};

TEST_F(OwnMount, OfAUserIsReadByNobodyElseNotEvenRoot) {
  give_store("games:games", "0700");
  const Mount mount{store_.root(), by_games_};
  expect_reads(games_, mount.path());
  for (const Reader& other : {nobody_, man_, root_}) expect_denied(other, mount.path());
}

TEST_F(OwnMount, OfAUserIsNotOpenedByAWorldReadableStore) {
  const Mount mount{store_.root(), by_games_};
  expect_reads(games_, mount.path());
  for (const Reader& other : {nobody_, root_}) expect_denied(other, mount.path());
}

TEST_F(OwnMount, OfRootIsReadByRootAlone) {
  give_store("man:man", "0755");
  const Mount mount{store_.root()};
  expect_reads(root_, mount.path());
  for (const Reader& other : {games_, man_}) expect_denied(other, mount.path());
}

TEST_F(OwnMount, OfAUserFollowsALinkOutOfTheStoreWithAWarning) {
  move_weights(dir_ / "disk/weights");
  const Mount mount{store_.root(), by_games_};
  expect_reads(games_, mount.path());
  EXPECT_THAT(mount.log(), AllOf(HasSubstr("warning: "), HasSubstr(weights().filename().string())));
}

TEST_F(OwnMount, OfRootRefusesALinkOutOfTheStore) {
  move_weights(dir_ / "disk/weights");
  const Mount mount{store_.root()};
  EXPECT_THAT(mount.log(),
              AllOf(HasSubstr("llama3.2:3b is broken"), HasSubstr(weights().filename().string())));
  EXPECT_THAT(run({"cat", (mount / "archives/llama3.2+3b.tar").string()}).err,
              HasSubstr("Input/output error"));
}

TEST_F(OwnMount, OfRootFollowsALinkIntoADirectoryThatWasNamed) {
  move_weights(dir_ / "disk/weights");
  const Mount mount{store_.root(), {.arguments = {"-o", "follow=" + (dir_ / "disk").string()}}};
  expect_reads(root_, mount.path());
}

// ---- a store that the user may not read ----

struct BarrierCase {
  std::string name;
  std::string directory;  // of the store
  std::string owner;      // and its group
  std::string mode;
  std::string group_way;  // the command, if there is one; DIR stands for the directory
  friend void PrintTo(const BarrierCase& barrier, std::ostream* out) { *out << barrier.name; }
};

class ClosedStore : public Access, public ::testing::WithParamInterface<BarrierCase> {};

INSTANTIATE_TEST_SUITE_P(
    Directories, ClosedStore,
    ::testing::Values(BarrierCase{"OpenToItsGroup", "", "man:man", "0750",
                                  "sudo usermod -aG man games"},
                      BarrierCase{"OpenToItsOwner", "", "man:man", "0700",
                                  "sudo chmod g+rx DIR && sudo usermod -aG man games"},
                      BarrierCase{"OfRoot", "", "root:root", "0700", ""},
                      BarrierCase{"WithManifestsThatItsGroupMayNotList", "manifests", "man:man",
                                  "0710", "sudo chmod g+rx DIR && sudo usermod -aG man games"},
                      BarrierCase{"WithBlobsThatItsGroupMayEnter", "blobs", "man:man", "0710",
                                  "sudo usermod -aG man games"}),
    [](const auto& param) { return param.param.name; });

TEST_P(ClosedStore, IsNamedWithItsModesAndTheWaysIn) {
  const BarrierCase& barrier = GetParam();
  const std::string directory = (store_.root() / barrier.directory / "").parent_path();
  must({"chown", barrier.owner, directory});
  must({"chmod", barrier.mode, directory});
  std::string group_way = barrier.group_way;
  if (const auto at = group_way.find("DIR"); at != std::string::npos) {
    group_way.replace(at, 3, directory);
  }
  const MountDir place{true, User::named("games")};
  const Words list = {binary(), "list", "--store", store_.root().string()};
  for (const Result& result : {mount_as(games_, place.path()), games_.runs(list)}) {
    EXPECT_EQ(result.status, 4);
    EXPECT_EQ(result.out, "");
    EXPECT_THAT(result.err, HasSubstr(directory + ": its mode is " + barrier.mode +
                                      ", it belongs to " + barrier.owner + "."));
    EXPECT_THAT(result.err, HasSubstr("sudo ollamafs "));
    EXPECT_EQ(result.err.find("usermod") != std::string::npos, !group_way.empty());
    EXPECT_THAT(result.err, HasSubstr(group_way));
  }
  EXPECT_NE(::umount2(place.path().c_str(), MNT_DETACH), 0) << "something was mounted";
  EXPECT_FALSE(fs::exists(place.path()));

  // The advice is good: in the group, and with the mode that it names, the store can be read.
  if (group_way.empty()) return;
  if (group_way.find("chmod") != std::string::npos) must({"chmod", "g+rx", directory});
  EXPECT_EQ(Reader({"games", "man"}).runs(list).status, 0);
}

// ---- by sudo ----

class SudoMount : public Access {
 protected:
  ~SudoMount() override {
    if (is_mounted(place_.path())) ::umount2(place_.path().c_str(), UMOUNT_NOFOLLOW | MNT_DETACH);
    EXPECT_TRUE(eventually([&] { return !fs::exists(place_.path()); })) << "the daemon stays";
  }

  // As games.
  [[nodiscard]] Result sudo(Words command) const {
    command.insert(command.begin(), {"sudo", "-n", binary()});
    return games_.runs(command);
  }
  [[nodiscard]] Result mount(const Words& options = {}) const {
    Words command = {"mount", "--store", store_.root().string(), place_.path().string()};
    command.insert(command.end(), options.begin(), options.end());
    return sudo(command);
  }

  const User caller_ = User::named("games");
  const NewOver sudoers_{"/etc/sudoers",
                         "root ALL=(ALL:ALL) ALL\n"
                         "games ALL=(ALL:ALL) NOPASSWD: ALL\n",
                         "0440"};
  const MountDir place_{true, caller_};
};

TEST_F(SudoMount, IsReadByWhoCalledSudoAndByNobodyElse) {
  give_store("man:man", "0700");
  ASSERT_EQ(mount_as(games_, place_.path()).status, 4);
  const Result result = mount();
  ASSERT_EQ(result.status, 0) << result.err;
  EXPECT_THAT(result.err, HasSubstr("open to games only"));
  expect_reads(games_, place_.path());
  for (const Reader& other : {nobody_, man_, in_group_}) expect_denied(other, place_.path());
  EXPECT_EQ(owner_and_mode(place_.path()), "games:games 700");
}

TEST_F(SudoMount, GivesTheMountPointThatItMakesToTheCaller) {
  ASSERT_EQ(mount().status, 0);
  const MountDir beneath;  // shows the directory under the mount
  ASSERT_EQ(::mount(place_.path().parent_path().c_str(), beneath.path().c_str(), nullptr, MS_BIND,
                    nullptr),
            0);
  EXPECT_EQ(owner_and_mode(beneath.path() / "view"), "games:games 755");
  ::umount2(beneath.path().c_str(), MNT_DETACH);
}

TEST_F(SudoMount, IsEndedBySudoAndSaysSoToWhoForgetsIt) {
  ASSERT_EQ(mount().status, 0);
  const Result alone = games_.runs({binary(), "umount", place_.path().string()});
  EXPECT_EQ(alone.status, 1);
  EXPECT_THAT(alone.err, HasSubstr("sudo ollamafs umount " + place_.path().string()));
  EXPECT_TRUE(is_mounted(place_.path()));
  EXPECT_EQ(sudo({"umount", place_.path().string()}).status, 0);
  EXPECT_FALSE(is_mounted(place_.path()));
}

TEST_F(SudoMount, StaysTheCallersWhateverOwnerTheFilesAreShownWith) {
  give_store("man:man", "0700");
  ASSERT_EQ(mount({"-o", "uid=nobody,gid=nogroup"}).status, 0);
  expect_reads(games_, place_.path());
  for (const Reader& other : {nobody_, man_}) expect_denied(other, place_.path());
}

TEST_F(SudoMount, RefusesALinkOutOfTheStore) {
  move_weights(dir_ / "disk/weights");
  const Result result = mount();
  EXPECT_EQ(result.status, 0);
  EXPECT_THAT(result.err, HasSubstr("llama3.2:3b is broken"));
}

}  // namespace
}  // namespace ollamafs::test
