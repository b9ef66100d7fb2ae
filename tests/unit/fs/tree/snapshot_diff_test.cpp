#include "fs/tree/snapshot_diff.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <filesystem>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "fs/views/views.h"
#include "tests/support/store_builder.h"
#include "tests/support/temp_dir.h"

namespace ollamafs::test {
namespace {

namespace fs = std::filesystem;
using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::UnorderedElementsAre;
using ::testing::UnorderedElementsAreArray;

using What = CacheNotice::What;
const CacheNotice kRootTime{What::attributes, kRootInode};

using TreePtr = std::shared_ptr<const Tree>;

// models/ alone, so that each notice can be foretold. All manifests are of one time.
class SnapshotDiffTest : public ::testing::Test {
 protected:
  SnapshotDiffTest() { shared_ = store_.layer(kTemplateType, "shared"); }

  void write(const std::string& name, const std::string& own, bool with_shared = false) const {
    ManifestSpec manifest;
    manifest.layers.push_back(store_.layer(kModelType, own));
    if (with_shared) manifest.layers.push_back(shared_);
    store_.v1(name, manifest);
    fs::last_write_time(path(name), kTime);
  }
  void remove(const std::string& name) const { fs::remove(path(name)); }
  [[nodiscard]] fs::path path(const std::string& name) const {
    return store_.v1_path(*ModelName::parse(name));
  }

  [[nodiscard]] TreePtr tree(const TreeOptions& options = {}) const {
    const auto catalog = Catalog::read(dir_);
    TreeBuilder builder{catalog, catalog, options};
    add_models_view(builder);
    return std::move(builder).finish();
  }

  // Each as "entry a/b name", the directory or file by its path in the view. Without that the root
  // has another time: it is as new as the newest model, which is a matter of digests.
  [[nodiscard]] static std::vector<std::string> told(const Tree& before, const Tree& after) {
    std::map<InodeNumber, std::string> paths{{before.stand_in().ino, "stand-in"}};
    add_paths(before, before.root(), "", paths);
    std::vector<std::string> result;
    for (const CacheNotice& notice : notices_between(before, after)) {
      EXPECT_TRUE(paths.contains(notice.node)) << "the kernel was never told of it";
      EXPECT_TRUE(after.find(notice.node)) << paths[notice.node] << " vanished";
      const std::string what = notice.what == What::entry     ? "entry "
                               : notice.what == What::content ? "content "
                                                              : "attributes ";
      if (notice == kRootTime) continue;
      result.push_back(what + paths[notice.node] + (notice.name.empty() ? "" : " " + notice.name));
    }
    return result;
  }

  static void add_paths(const Tree& tree, const Node& directory, const std::string& path,
                        std::map<InodeNumber, std::string>& paths) {
    paths[directory.ino] = path.empty() ? "/" : path;
    for (const Dentry& entry : tree.entries(directory)) {
      const Node& node = tree.node(entry.node);
      const std::string below = path + "/" + std::string{entry.name};
      if (node.is_directory()) {
        add_paths(tree, node, below, paths);
      } else {
        paths[node.ino] = node.kind == NodeKind::blob ? std::string{entry.name} : below;
      }
    }
  }
  static std::string blob(const std::string& content) { return Digest::of(content).blob_name(); }

  const fs::file_time_type kTime = fs::file_time_type::clock::now() - std::chrono::hours{1};
  TempDir temp_;
  StoreBuilder store_{temp_ / "models"};
  StoreDir dir_{temp_ / "models", OutsideLinks::refuse};
  LayerSpec shared_;
};

TEST_F(SnapshotDiffTest, TellsNothingWhereNothingChanged) {
  write("a:t", "a", true);
  write("team/b:t", "b", true);
  EXPECT_THAT(told(*tree(), *tree()), IsEmpty());
}

TEST_F(SnapshotDiffTest, TellsANameThatWentThenItsDirectory) {
  write("a:t", "a");
  write("b:t", "b");
  const auto before = tree();
  remove("a:t");
  EXPECT_THAT(told(*before, *tree()), ElementsAre("entry /models a+t", "content /models"));
}

// The kernel may have kept that it is not there.
TEST_F(SnapshotDiffTest, TellsANameThatCameThenItsDirectory) {
  write("b:t", "b");
  const auto before = tree();
  write("c:t", "c");
  EXPECT_THAT(told(*before, *tree()), ElementsAre("entry /models c+t", "content /models"));
}

TEST_F(SnapshotDiffTest, TellsANameThatLeadsElsewhereThenItsDirectory) {
  write("a:t", "a");
  write("b:t", "b");
  const auto before = tree();
  write("a:t", "another a");
  EXPECT_THAT(told(*before, *tree()), ElementsAre("entry /models a+t", "content /models"));
}

TEST_F(SnapshotDiffTest, TellsAllNamesBeforeTheDirectory) {
  for (const char* name : {"a:t", "c:t", "e:t", "g:t"}) write(name, name);
  const auto before = tree();
  remove("a:t");           // the first
  write("b:t", "b");       // between
  write("c:t", "other");   // another version
  remove("g:t");           // the last
  write("h:t", "behind");  // behind it
  EXPECT_THAT(told(*before, *tree()),
              ElementsAre("entry /models a+t", "entry /models b+t", "entry /models c+t",
                          "entry /models g+t", "entry /models h+t", "content /models"));
}

TEST_F(SnapshotDiffTest, TellsOfEveryDirectoryThatChanged) {
  write("a:t", "a");
  write("team/b:t", "b");
  write("other/c:t", "c");
  const auto before = tree();
  write("team/d:t", "d");
  remove("a:t");
  EXPECT_THAT(told(*before, *tree()),
              UnorderedElementsAre("entry /models a+t", "content /models", "entry /models/team d+t",
                                   "content /models/team"));
}

TEST_F(SnapshotDiffTest, TellsNothingOfADirectoryThatVanished) {
  write("a:t", "a");
  write("team/b:t", "b");
  const auto before = tree();
  remove("team/b:t");
  EXPECT_THAT(told(*before, *tree()), ElementsAre("entry /models team", "content /models"));
}

TEST_F(SnapshotDiffTest, TellsOfTheFirstModelAndTheLast) {
  const auto none = tree();
  write("a:t", "a");
  const auto one = tree();
  EXPECT_THAT(told(*none, *one), ElementsAre("entry /models a+t", "content /models"));
  EXPECT_THAT(told(*one, *none), ElementsAre("entry /models a+t", "content /models"));
}

TEST_F(SnapshotDiffTest, TellsAttributesAloneOfADirectoryWithAnotherTime) {
  const auto none = tree();
  write("a:t", "a");
  const auto notices = notices_between(*none, *tree());
  EXPECT_EQ(std::ranges::count(notices, kRootTime), 1);
  EXPECT_EQ(std::ranges::count(notices, kRootInode, &CacheNotice::node), 1);
}

// Its bytes are the same: the page cache stays.
TEST_F(SnapshotDiffTest, TellsAttributesAloneOfABlobWithAnotherNumberOfLinks) {
  write("a:t", "a", true);
  const auto before = tree();
  write("b:t", "b", true);
  const auto after = tree();
  EXPECT_THAT(told(*before, *after), UnorderedElementsAre("entry /models b+t", "content /models",
                                                          "attributes " + blob("shared")));
  EXPECT_THAT(told(*after, *before), UnorderedElementsAre("entry /models b+t", "content /models",
                                                          "attributes " + blob("shared")));
}

TEST_F(SnapshotDiffTest, TellsAttributesAloneWhereTheOwnerChanged) {
  write("a:t", "a");
  TreeOptions one, other;
  one.uid = 1;
  other.uid = 2;
  const auto all = told(*tree(one), *tree(other));
  EXPECT_FALSE(all.empty());
  for (const std::string& notice : all) EXPECT_EQ(notice.find("attributes "), 0u) << notice;
}

TEST_F(SnapshotDiffTest, TellsTheContentOfABlobThatIsAnotherFile) {
  write("a:t", "a", true);
  const auto before = tree();
  const fs::path file = store_.blob_path(Digest::of("shared"));
  write_file(file.string() + ".new", "shared");
  fs::rename(file.string() + ".new", file);
  EXPECT_THAT(told(*before, *tree()), ElementsAre("content " + blob("shared")));
}

TEST_F(SnapshotDiffTest, TellsTheContentOfABlobThatWasWrittenInPlace) {
  write("a:t", "a", true);
  const fs::path file = store_.blob_path(Digest::of("shared"));
  fs::last_write_time(file, kTime);
  const auto before = tree();
  write_file(file, "SHARED");
  EXPECT_THAT(told(*before, *tree()), ElementsAre("content " + blob("shared")));
}

// The model is what it was, but each of its directories lists one file that stands for the rest
// now, and again what it has when the blob is back.
TEST_F(SnapshotDiffTest, TellsAllOfAModelThatIsBrokenAndOfOneThatIsWholeAgain) {
  write("a:t", "a", true);
  const auto before = tree();
  fs::rename(store_.blob_path(Digest::of("a")), temp_ / "away");
  const auto after = tree();
  std::vector<std::string> expected{"entry /models/a+t/blobs " + blob("a"),
                                    "entry /models/a+t/blobs " + blob("shared")};
  std::string parent = "/models/a+t";
  for (const std::string part : {"blobs", "manifests"})
    expected.push_back("entry " + parent + " " + part);
  for (const std::string part : {"blobs", "manifests"})
    expected.push_back("content " + parent + (part == "blobs" ? "/blobs" : ""));
  parent += "/manifests";
  for (const std::string part : {"registry.ollama.ai", "library", "a", "t"}) {
    expected.insert(expected.end(), {"entry " + parent + " " + part, "content " + parent});
    parent += "/" + part;
  }
  EXPECT_THAT(told(*before, *after), UnorderedElementsAreArray(expected));
  fs::rename(temp_ / "away", store_.blob_path(Digest::of("a")));
  EXPECT_THAT(told(*after, *tree()), UnorderedElementsAreArray(expected));
}

// As after an unmount of the disk: nothing was shown before either, but it was known.
TEST_F(SnapshotDiffTest, TellsTheGroupsOfAStoreThatIsGone) {
  const auto shown = [](const std::shared_ptr<const Catalog>& catalog) {
    TreeBuilder builder{catalog, catalog, {}};
    add_models_view(builder);
    return std::move(builder).finish();
  };
  const auto empty = shown(Catalog::empty()), gone = shown(Catalog::gone());
  EXPECT_THAT(told(*empty, *gone), ElementsAre("content /models"));
  EXPECT_THAT(told(*gone, *empty), ElementsAre("content /models"));
  EXPECT_THAT(told(*gone, *gone), IsEmpty());
}

}  // namespace
}  // namespace ollamafs::test
