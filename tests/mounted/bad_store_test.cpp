// Stores that are none, that hold no model, or that may not be read: whoever names one is told what
// it is and what helps.
#include <gmock/gmock.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <string>

#include "tests/mounted/mount.h"
#include "tests/mounted/shown.h"
#include "tests/support/process.h"
#include "tests/support/store_builder.h"
#include "tests/support/temp_dir.h"

namespace ollamafs::test {
namespace {

namespace fs = std::filesystem;
using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;

// ---- no store ----

// A message without the line in which it tells to call the same command with sudo.
std::string without_own_command(const std::string& message) {
  return message.substr(0, message.find("sudo ollamafs "));
}

// `mount` and `list` end with this status and the same explanation, and nothing is mounted.
std::string refusal_of(const fs::path& store, int status, const RunOptions& options = {}) {
  const MountDir at{false, options.as};
  const Result mount =
      run({binary(), "mount", "-f", "--store", store.string(), at.path().string()}, options);
  const Result list = run({binary(), "list", "--store", store.string()}, options);
  EXPECT_EQ(mount.status, status) << mount.err;
  EXPECT_EQ(list.status, status) << list.err;
  EXPECT_EQ(without_own_command(mount.err), without_own_command(list.err));
  EXPECT_EQ(mount.out + list.out, "");
  EXPECT_FALSE(is_mounted(at.path()));
  return mount.err;
}

TEST(NoStore, IsSaidOfADirectoryThatIsMissing) {
  const TempDir dir;
  EXPECT_THAT(refusal_of(dir / "gone", 3),
              AllOf(HasSubstr((dir / "gone").string()), HasSubstr("nothing is there")));
}

TEST(NoStore, IsSaidOfAFolderOfOtherThings) {
  const TempDir dir;
  write_file(dir / "pictures/cat.jpg", "cat");
  EXPECT_THAT(refusal_of(dir / "pictures", 3),
              AllOf(HasSubstr((dir / "pictures").string()), HasSubstr("is no models folder"),
                    Not(HasSubstr("did you mean"))));
}

TEST(NoStore, IsSaidOfAFile) {
  const TempDir dir;
  write_file(dir / "model.gguf", "GGUF");
  EXPECT_THAT(refusal_of(dir / "model.gguf", 3), HasSubstr((dir / "model.gguf").string()));
}

TEST(NoStore, IsSaidOfTheFolderAboveWithAHint) {
  const TempDir dir;
  const StoreBuilder store{dir / ".ollama/models"};
  store.v1("good:v1", store.text_model(1));
  EXPECT_THAT(refusal_of(dir / ".ollama", 3),
              HasSubstr("did you mean " + store.root().string() + "?"));
}

// ---- a store without models ----

class AnEmptyStore : public ::testing::TestWithParam<std::string> {};

TEST_P(AnEmptyStore, IsAMountWithoutModels) {
  const TempDir dir;
  fs::create_directories(dir / "store" / GetParam());
  Mount mount{dir / "store"};
  EXPECT_THAT(names_in(mount.path()),
              ElementsAre("README.txt", "archives", "contents", "index.html", "layouts", "models"));
  EXPECT_THAT(names_in(mount / "models"), IsEmpty());
  EXPECT_THAT(names_in(mount / "archives"), IsEmpty());
  EXPECT_THAT(mount.log(), Not(HasSubstr("warning")));
  EXPECT_THAT(read_file(mount / "README.txt"), HasSubstr((dir / "store").string()));
  EXPECT_EQ(list(dir / "store"), "NAME    ID    SIZE    MODIFIED\n");
  const std::string none = (dir / "store").string() + " has no models yet";
  EXPECT_THAT(mount.log(), HasSubstr(none));
  EXPECT_THAT(run({binary(), "list", "--store", (dir / "store").string()}).err, HasSubstr(none));
  EXPECT_THAT(list_json(dir / "store")["models"], IsEmpty());
}

INSTANTIATE_TEST_SUITE_P(With, AnEmptyStore,
                         ::testing::Values("blobs", "manifests", "manifests-v2",
                                           "manifests/registry.ollama.ai/library/model"));

// ---- models folders in a models folder ----

TEST(StrayBlobs, AreToldOfByList) {
  const TempDir dir;
  const StoreBuilder store{dir / "store"};
  store.v1("good:v1", store.text_model(1));
  const std::string hex(64, 'a');
  const std::string upper = "sha256-" + std::string(64, 'A');
  for (const std::string& name : {std::string{"notes.txt"}, hex, upper})
    write_file(dir / "store/blobs" / name, "x");
  write_file(dir / "store/blobs" / ("sha256-" + hex + "-partial"), "a download");
  fs::create_directory(dir / "store/blobs/folder");
  const auto problems = list_json(dir / "store")["problems"];
  ASSERT_EQ(problems.size(), 4u) << problems;
  const std::string text = list(dir / "store");
  for (const std::string& name : {std::string{"notes.txt"}, hex, std::string{"folder"}})
    EXPECT_THAT(text, HasSubstr("blobs/" + name + " is no blob: its name is not that of a digest"));
  EXPECT_THAT(text, HasSubstr("has a wrong name for a blob: Ollama looks for sha256-" + hex));
}

// Made by `rsync models/NAME STORE/`, without the slash behind NAME, or by one `cp -r` too deep.
TEST(NestedStore, IsToldOfByListAndMount) {
  const TempDir dir;
  const StoreBuilder store{dir / "store"};
  store.v1("good:v1", store.text_model(1));
  for (const char* const nested : {"lost+v1/manifests", "models/blobs", "blobs/blobs"})
    fs::create_directories(dir / "store" / nested);
  write_file(dir / "store/notes", "a file is none");
  fs::create_directories(dir / "store/photos");
  Mount mount{dir / "store"};
  const auto listed = list_json(dir / "store");
  ASSERT_EQ(listed["problems"].size(), 3u) << listed;
  int at = 0;
  for (const std::string nested : {"blobs/blobs", "lost+v1", "models"}) {
    EXPECT_EQ(listed["problems"][static_cast<std::size_t>(at++)]["path"], nested);
    EXPECT_THAT(list(dir / "store"), HasSubstr(nested + " is a models folder one level too deep"));
    EXPECT_THAT(mount.log(), HasSubstr(nested + " is a models folder one level too deep"));
  }
  EXPECT_THAT(names_in(mount / "models"), ElementsAre("good+v1"));
}

// ---- a store that may not be read ----

class AClosedStore : public ::testing::Test {
 protected:
  AClosedStore() { store.v1("good:v1", store.text_model(1)); }

  void close(const fs::path& path, mode_t mode, const User& owner) {
    ASSERT_EQ(::chown(path.c_str(), owner.uid, owner.gid), 0);
    ASSERT_EQ(::chmod(path.c_str(), mode), 0);
  }
  [[nodiscard]] std::string refusal() const {
    return refusal_of(store.root(), 4, {.as = User::named("nobody"), .directory = "/"});
  }

  TempDir dir;
  fs::path home = dir / "home";
  StoreBuilder store{home / ".ollama/models"};
};

TEST_F(AClosedStore, NamesTheDirectoryAndTheTwoWaysThatWork) {
  close(home, 0750, User::named("games"));
  EXPECT_THAT(refusal(), AllOf(HasSubstr("nobody may not enter " + home.string() + ":"),
                               HasSubstr("0750"), HasSubstr("sudo usermod -aG games nobody\n"),
                               HasSubstr("sudo ollamafs mount")));
}

TEST_F(AClosedStore, NamesWhatTheGroupLacks) {
  close(home, 0700, User::named("games"));
  EXPECT_THAT(refusal(), AllOf(HasSubstr("0700"), HasSubstr("sudo chmod g+rx " + home.string()),
                               HasSubstr("sudo usermod -aG games nobody\n"),
                               HasSubstr("sudo ollamafs mount")));
}

TEST_F(AClosedStore, IsOneWhoseManifestsMayNotBeListed) {
  close(store.root() / "manifests", 0711, User::named("games"));
  EXPECT_THAT(refusal(), HasSubstr("nobody may not list " + (store.root() / "manifests").string()));
}

TEST_F(AClosedStore, IsOneWhoseBlobsMayNotBeEntered) {
  close(store.root() / "blobs", 0700, User::named("games"));
  EXPECT_THAT(refusal(), HasSubstr("nobody may not enter " + (store.root() / "blobs").string()));
}

TEST_F(AClosedStore, IsReadByItsOwner) {
  close(home, 0700, User::named("nobody"));
  const RunOptions as_nobody{.as = User::named("nobody"), .directory = "/"};
  Mount mount{store.root(), {.run = as_nobody}};
  EXPECT_EQ(must({"ls", (mount / "models").string()}, as_nobody), "good+v1\n");
}

TEST_F(AClosedStore, MayBeOpenInParts) {
  store.v1("closed:v1", store.text_model(2));
  store.v1("example.com/team/model:v1", store.text_model(3));
  const std::string file = "manifests/registry.ollama.ai/library/closed/v1";
  close(store.root() / file, 0, User::named("games"));
  close(store.root() / "manifests/example.com", 0700, User::named("games"));
  const RunOptions as_nobody{.as = User::named("nobody"), .directory = "/"};
  Mount mount{store.root(), {.run = as_nobody}};
  EXPECT_EQ(must({"ls", (mount / "models").string()}, as_nobody), "good+v1\n");
  EXPECT_EQ(count(mount.log(), file + " cannot be read: Permission denied"), 1U) << mount.log();
  EXPECT_EQ(count(mount.log(), "manifests/example.com cannot be listed: Permission denied"), 1U);
  EXPECT_EQ(count(mount.log(), "warning"), 2U) << mount.log();
}

}  // namespace
}  // namespace ollamafs::test
