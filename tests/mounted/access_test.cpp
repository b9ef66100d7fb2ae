// Who reads what: the three ways to mount and the modes of the store (design §6). The readers are
// real processes of real users.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/mount.h>
#include <sys/stat.h>

#include <cerrno>
#include <sstream>
#include <string>
#include <system_error>
#include <utility>
#include <vector>

#include "tests/mounted/mount.h"
#include "tests/support/process.h"
#include "tests/support/store_builder.h"
#include "tests/support/temp_dir.h"

namespace ollamafs::test {
namespace {

namespace fs = std::filesystem;
using ::testing::AllOf;
using ::testing::HasSubstr;

using Words = std::vector<std::string>;

// A file that stands in another's place, with root's name and this mode.
class Over {
 public:
  Over(const fs::path& place, const std::string& content, const char* mode) : place_{place} {
    write_file(dir_ / "file", content);
    must({"chmod", mode, (dir_ / "file").string()});
    if (::mount((dir_ / "file").c_str(), place.c_str(), nullptr, MS_BIND, nullptr) != 0) {
      throw std::system_error{errno, std::generic_category(), place.string()};
    }
  }
  ~Over() { ::umount2(place_.c_str(), MNT_DETACH); }
  Over(const Over&) = delete;
  Over& operator=(const Over&) = delete;

 private:
  TempDir dir_;
  fs::path place_;
};

// A user's process, with one more group if that is named.
struct Reader {
  std::string user;
  std::string group{};

  [[nodiscard]] Result runs(const Words& command) const {
    const User who = User::named(user);
    Words line = {"setpriv", "--reuid", std::to_string(who.uid), "--regid",
                  std::to_string(who.gid)};
    line.push_back(group.empty() ? "--clear-groups" : "--groups=" + group);
    line.push_back("--");
    line.insert(line.end(), command.begin(), command.end());
    return run(line);
  }
};

// That a reader can read everything, and gets the right bytes: every blob has the hash that is its
// name.
void expect_reads(const Reader& reader, const fs::path& view) {
  SCOPED_TRACE(reader.user + " " + reader.group);
  const Result sums =
      reader.runs({"find", view.string(), "-type", "f", "-exec", "sha256sum", "{}", "+"});
  EXPECT_EQ(sums.status, 0) << sums.err;
  std::size_t blobs = 0;
  std::istringstream lines{sums.out};
  for (std::string hash, path; lines >> hash >> path;) {
    const std::string name = fs::path{path}.filename();
    if (!name.starts_with("sha256-")) continue;
    EXPECT_EQ(name, "sha256-" + hash);
    ++blobs;
  }
  EXPECT_EQ(blobs, 4u);  // of the one model
  EXPECT_THAT(sums.out, HasSubstr("/archives/llama3.2+3b.tar"));
}

// That a reader gets in nowhere, at the top or below it.
void expect_denied(const Reader& reader, const fs::path& view) {
  SCOPED_TRACE(reader.user + " " + reader.group);
  for (const Words& command :
       {Words{"ls", view.string()}, Words{"cat", (view / "README.txt").string()},
        Words{"cat", (view / "archives/llama3.2+3b.tar").string()},
        Words{"ls", (view / "models/llama3.2+3b/blobs").string()}}) {
    const Result result = reader.runs(command);
    EXPECT_NE(result.status, 0) << command.back();
    EXPECT_EQ(result.out, "");
    EXPECT_THAT(result.err, HasSubstr("Permission denied"));
  }
}

std::string owner_and_mode(const fs::path& path) {
  std::string said = must({"stat", "-c", "%U:%G %a", path.string()});
  said.pop_back();
  return said;
}

// A store with one model.
class Access : public ::testing::Test {
 protected:
  Access() { store_.v1("llama3.2:3b", model_); }

  void give_store(const std::string& owner, const char* mode) const {
    must({"chown", "-R", owner, store_.root().string()});
    must({"chmod", mode, store_.root().string()});
  }
  [[nodiscard]] fs::path weights() const {
    return store_.blob_path(*Digest::parse(model_.layers[0].digest));
  }
  // Moves the weights to `target` and puts a symlink to it in their place.
  void move_weights(const fs::path& target) const {
    fs::create_directories(target.parent_path());
    fs::rename(weights(), target);
    fs::create_symlink(target, weights());
  }
  [[nodiscard]] Result mount_as(const Reader& reader, const fs::path& place,
                                const Words& options = {}) const {
    Words command = {binary(), "mount", "--store", store_.root().string(), place.string()};
    command.insert(command.end(), options.begin(), options.end());
    return reader.runs(command);
  }

  TempDir dir_;
  StoreBuilder store_{dir_ / "home/models"};
  ManifestSpec model_ = store_.text_model(1);
  const Reader root_{"root"}, games_{"games"}, nobody_{"nobody"}, man_{"man"};
  const Reader in_group_{"nobody", "man"};
  const Mount::Options by_games_{.run = {.as = User::named("games")}};
  const Mount::Options for_all_{.arguments = {"-o", "allow_other"}};
};

using OwnMount = Access;
using MountForAll = Access;

// ---- a mount of one's own ----

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
    EXPECT_THAT(result.err, HasSubstr("sudo ollamafs mount"));
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
  const Over sudoers_{"/etc/sudoers",
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

// ---- for everybody, as root ----

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

// ---- for everybody, as an ordinary user ----

class MountForAllByAUser : public Access {
 protected:
  const Mount::Options for_all_by_games_{.arguments = {"-o", "allow_other"},
                                         .run = {.as = User::named("games")}};
};

TEST_F(MountForAllByAUser, IsRefusedWhereTheAdministratorHasNotAllowedIt) {
  const Over conf{"/etc/fuse.conf", "", "0644"};
  const MountDir place{true, User::named("games")};
  const Result result = mount_as(games_, place.path(), {"-o", "allow_other"});
  EXPECT_EQ(result.status, 1);
  EXPECT_THAT(result.err, AllOf(HasSubstr("user_allow_other"), HasSubstr("/etc/fuse.conf"),
                                HasSubstr(place.path().string())));
  EXPECT_NE(::umount2(place.path().c_str(), MNT_DETACH), 0) << "something was mounted";
  EXPECT_FALSE(fs::exists(place.path()));
}

TEST_F(MountForAllByAUser, ShowsTheStoreToWhomTheStoreWould) {
  const Over conf{"/etc/fuse.conf", "user_allow_other\n", "0644"};
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

// Who may read the user's other files may not read them for others.
TEST_F(MountForAllByAUser, RefusesALinkOutOfTheStore) {
  const Over conf{"/etc/fuse.conf", "user_allow_other\n", "0644"};
  move_weights(dir_ / "disk/weights");
  const Mount mount{store_.root(), for_all_by_games_};
  EXPECT_THAT(mount.log(), HasSubstr("llama3.2:3b is broken"));
}

}  // namespace
}  // namespace ollamafs::test
