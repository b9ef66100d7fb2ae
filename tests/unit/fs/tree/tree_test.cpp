#include "fs/tree/tree.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <sys/stat.h>

#include <atomic>
#include <cstdint>
#include <filesystem>
#include <initializer_list>
#include <memory>
#include <optional>
#include <set>
#include <stdexcept>
#include <string>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

#include "fs/tree/tree_builder.h"
#include "tests/support/store_builder.h"
#include "tests/support/temp_dir.h"

namespace ollamafs::test {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

constexpr std::int64_t kEpoch = 1'688'169'600;  // 2023-07-01: the oldest time of all content

void set_mtime(const std::filesystem::path& file, std::int64_t seconds) {
  const timespec times[] = {{0, UTIME_OMIT}, {seconds, 0}};
  ASSERT_EQ(::utimensat(AT_FDCWD, file.c_str(), times, 0), 0);
}

std::string number(std::size_t i) {
  return std::to_string(i);
}

std::vector<std::string> names(const Tree& tree, const Node& directory) {
  std::vector<std::string> names;
  for (const Dentry& entry : tree.entries(directory)) names.emplace_back(entry.name);
  return names;
}

// Trees over a store with two models that share three of their four blobs.
class TreeTest : public ::testing::Test {
 protected:
  TreeTest() {
    options_.store_uid = 501;
    options_.store_gid = 502;
    const StoreBuilder store{dir_ / "models"};
    store.v1("a:1", store.text_model(1, 1000));
    store.v1("b:1", store.text_model(2, 2000));
    set_mtime(store.v1_path(*ModelName::parse("a:1")), kEpoch + 2000);
    set_mtime(store.v1_path(*ModelName::parse("b:1")), kEpoch + 1000);
    catalog_ = Catalog::read(StoreDir{dir_ / "models", OutsideLinks::refuse});
  }

  [[nodiscard]] TreeBuilder builder() const { return TreeBuilder{catalog_, catalog_, options_}; }
  // A blob that both models have.
  [[nodiscard]] std::uint32_t shared_blob() const {
    for (std::uint32_t i = 0; i < catalog_->blobs().size(); ++i) {
      if (catalog_->users(i).size() == 2) return i;
    }
    throw std::logic_error{"no shared blob"};
  }

  TempDir dir_;
  std::shared_ptr<const Catalog> catalog_;
  TreeOptions options_;
};

const Node& at(const Tree& tree, std::initializer_list<const char*> path) {
  const Node* node = &tree.root();
  for (const char* name : path) {
    node = tree.lookup(*node, name);
    if (!node) throw std::out_of_range{name};
  }
  return *node;
}

TEST_F(TreeTest, HasARootWithoutModels) {
  const auto tree = builder().finish();
  EXPECT_EQ(tree->node_count(), 2u);
  EXPECT_EQ(tree->root().ino, 1u);
  EXPECT_EQ(tree->root().nlink, 2u);
  EXPECT_EQ(tree->root().mtime, kEpoch);
  EXPECT_THAT(tree->entries(tree->root()), IsEmpty());
  EXPECT_EQ(tree->lookup(tree->root(), ".."), &tree->root());
  EXPECT_EQ(&tree->catalog(), catalog_.get());
}

TEST_F(TreeTest, ListsADirectoryByTheBytesOfTheNames) {
  TreeBuilder building = builder();
  for (const char* name :
       {"b", "aa", "a+1", "B", "a", "_", "\xc3\xa4", "a-1", "a.tar", "10", "9"}) {
    building.text(TreeBuilder::kRoot, name, name);
  }
  const auto tree = std::move(building).finish();
  EXPECT_THAT(names(*tree, tree->root()),
              ElementsAre("10", "9", "B", "_", "a", "a+1", "a-1", "a.tar", "aa", "b", "\xc3\xa4"));
}

TEST_F(TreeTest, FindsEveryNameAndNoOther) {
  TreeBuilder building = builder();
  const auto group = building.group(TreeBuilder::kRoot, "group");
  for (std::size_t i = 0; i < 50; ++i) building.text(group, "file" + number(i), number(i));
  const auto tree = std::move(building).finish();
  const Node& directory = at(*tree, {"group"});
  for (std::size_t i = 0; i < 50; ++i) {
    const Node* file = tree->lookup(directory, "file" + number(i));
    ASSERT_TRUE(file);
    EXPECT_EQ(tree->late_content(*file)->generated(), number(i));
  }
  for (const char* name : {"", "file", "file50", "FILE1", "fil", "file1 ", "zzz", "...", "0"}) {
    EXPECT_EQ(tree->lookup(directory, name), nullptr) << name;
  }
  EXPECT_EQ(tree->lookup(directory, "."), &directory);
  EXPECT_EQ(tree->lookup(directory, ".."), &tree->root());
}

TEST_F(TreeTest, HasNothingBelowAFile) {
  TreeBuilder building = builder();
  building.text(TreeBuilder::kRoot, "file", "text");
  const auto tree = std::move(building).finish();
  const Node& file = at(*tree, {"file"});
  EXPECT_EQ(tree->lookup(file, "file"), nullptr);
  EXPECT_EQ(tree->lookup(file, ".."), nullptr);
}

TEST_F(TreeTest, FindsEveryNumberAndNoOther) {
  TreeBuilder building = builder();
  for (std::size_t i = 0; i < 100; ++i) building.group(TreeBuilder::kRoot, number(i));
  const auto tree = std::move(building).finish();
  ASSERT_EQ(tree->node_count(), 102u);
  std::set<InodeNumber> given;
  for (std::uint32_t i = 0; i < tree->node_count(); ++i) {
    const Node& node = tree->node(i);
    EXPECT_EQ(tree->find(node.ino), &node);
    given.insert(node.ino);
  }
  EXPECT_EQ(given.size(), 102u);
  for (const InodeNumber ino :
       {InodeNumber{0}, InodeNumber{2}, ~InodeNumber{0}, *given.rbegin() + 1}) {
    EXPECT_EQ(tree->find(ino), nullptr) << ino;
  }
}

TEST_F(TreeTest, MakesAGroupOnce) {
  TreeBuilder building = builder();
  const auto models = building.group(TreeBuilder::kRoot, "models");
  EXPECT_EQ(building.group(TreeBuilder::kRoot, "models"), models);
  std::string_view one = "hf.co/someone/X+1", other = "hf.co/someone/Y+1", near = "X+1";
  const auto someone = building.groups_of(models, one);
  EXPECT_EQ(building.groups_of(models, other), someone);
  EXPECT_EQ(building.groups_of(models, near), models);
  EXPECT_EQ(one, "X+1");
  EXPECT_EQ(other, "Y+1");
  EXPECT_EQ(near, "X+1");
  const auto tree = std::move(building).finish();
  EXPECT_EQ(tree->node_count(), 5u);
  EXPECT_TRUE(at(*tree, {"models", "hf.co", "someone"}).is_directory());
}

TEST_F(TreeTest, TellsGroupsOfOneNameApart) {
  TreeBuilder building = builder();
  const auto models = building.group(TreeBuilder::kRoot, "models");
  const auto archives = building.group(TreeBuilder::kRoot, "archives");
  EXPECT_NE(building.group(models, "mannix"), building.group(archives, "mannix"));
  const auto tree = std::move(building).finish();
  EXPECT_NE(at(*tree, {"models", "mannix"}).ino, at(*tree, {"archives", "mannix"}).ino);
}

TEST_F(TreeTest, RefusesTwoEntriesOfOneName) {
  TreeBuilder building = builder();
  building.group(TreeBuilder::kRoot, "name");
  building.text(TreeBuilder::kRoot, "name", "text");
  EXPECT_THROW((void)std::move(building).finish(), std::logic_error);
}

TEST_F(TreeTest, RefusesTwoEntriesOfOneNameWithOthersBetween) {
  TreeBuilder building = builder();
  for (const char* name : {"name", "other", "a", "name"}) {
    building.text(TreeBuilder::kRoot, name, "text");
  }
  EXPECT_THROW((void)std::move(building).finish(), std::logic_error);
}

TEST_F(TreeTest, CountsTheDirectoriesThatADirectoryLeadsTo) {
  TreeBuilder building = builder();
  const auto group = building.group(TreeBuilder::kRoot, "group");
  building.group(group, "one");
  building.group(group, "two");
  building.text(group, "file", "text");
  const auto tree = std::move(building).finish();
  EXPECT_EQ(tree->root().nlink, 3u);
  EXPECT_EQ(at(*tree, {"group"}).nlink, 4u);
  EXPECT_EQ(at(*tree, {"group", "one"}).nlink, 2u);
  EXPECT_EQ(at(*tree, {"group", "file"}).nlink, 1u);
}

// rsync -H, tar and du see shared weights once.
TEST_F(TreeTest, HasOneNodeForABlobOfManyNames) {
  TreeBuilder building = builder();
  const auto one = building.group(TreeBuilder::kRoot, "one");
  const auto two = building.group(TreeBuilder::kRoot, "two");
  building.blob(one, "x", shared_blob());
  building.blob(two, "x", shared_blob());
  building.blob(two, "y", shared_blob());
  building.blob(two, "z", (shared_blob() + 1) % 5);
  const auto tree = std::move(building).finish();
  const Node& blob = at(*tree, {"one", "x"});
  EXPECT_EQ(&at(*tree, {"two", "x"}), &blob);
  EXPECT_EQ(&at(*tree, {"two", "y"}), &blob);
  EXPECT_NE(&at(*tree, {"two", "z"}), &blob);
  EXPECT_EQ(blob.nlink, 3u);
  EXPECT_EQ(blob.size, catalog_->blobs()[shared_blob()].identity.size);
  EXPECT_EQ(tree->model(blob), nullptr);
}

TEST_F(TreeTest, DatesAGroupByTheNewestBelow) {
  TreeBuilder building = builder();
  const auto outer = building.group(TreeBuilder::kRoot, "outer");
  const auto inner = building.group(outer, "inner");
  building.group(outer, "empty");
  for (const std::uint32_t model : {0u, 1u}) {
    building.model_directory(inner, number(model), model, number(model));
  }
  const auto tree = std::move(building).finish();
  EXPECT_EQ(at(*tree, {"outer", "inner"}).mtime, kEpoch + 2000);
  EXPECT_EQ(at(*tree, {"outer"}).mtime, kEpoch + 2000);
  EXPECT_EQ(at(*tree, {"outer", "empty"}).mtime, kEpoch);
  EXPECT_EQ(tree->root().mtime, kEpoch + 2000);
}

TEST_F(TreeTest, DatesAndNumbersATextByItsContent) {
  const auto with = [&](const char* name, const char* text) {
    TreeBuilder building = builder();
    building.text(TreeBuilder::kRoot, name, text);
    const auto tree = std::move(building).finish();
    EXPECT_EQ(tree->size_of(at(*tree, {name})), 3u);
    return at(*tree, {name});
  };
  const Node one = with("README", "one");
  EXPECT_EQ(with("README", "one").ino, one.ino);
  EXPECT_NE(with("README", "two").ino, one.ino);
  EXPECT_NE(with("OTHER", "one").ino, one.ino);
  EXPECT_EQ(one.mtime, content_time(Digest::of("one")));
  EXPECT_EQ(one.permissions, 0644u);
}

TEST_F(TreeTest, GivesWhatBelongsToNoModelToTheOwnerOfTheStore) {
  TreeBuilder building = builder();
  building.text(building.group(TreeBuilder::kRoot, "group"), "file", "text");
  const auto tree = std::move(building).finish();
  for (std::uint32_t i = 0; i < tree->node_count(); ++i) {
    EXPECT_EQ(tree->node(i).uid, 501u);
    EXPECT_EQ(tree->node(i).gid, 502u);
  }
}

TEST_F(TreeTest, GivesEverythingToWhoItIsTold) {
  options_.uid = 601;
  for (const bool group_too : {false, true}) {
    if (group_too) options_.gid = 602;
    TreeBuilder building = builder();
    const auto group = building.group(TreeBuilder::kRoot, "group");
    building.text(group, "file", "text");
    building.blob(group, "blob", 0);
    building.model_directory(group, "model", 0, "identity");
    const auto tree = std::move(building).finish();
    for (std::uint32_t i = 0; i < tree->node_count(); ++i) EXPECT_EQ(tree->node(i).uid, 601u);
    EXPECT_EQ(at(*tree, {"group"}).gid, group_too ? 602u : 502u);
    const gid_t blob_owner = catalog_->blobs()[0].gid;
    EXPECT_EQ(at(*tree, {"group", "blob"}).gid, group_too ? 602u : blob_owner);
  }
}

// docs/view.md §6: who may enter is decided at the root, and nowhere else.
TEST_F(TreeTest, MayHaveANarrowerRoot) {
  options_.uid = 601;
  options_.root = TreeOptions::Root{0750, 701, 702};
  TreeBuilder building = builder();
  building.group(TreeBuilder::kRoot, "group");
  const auto tree = std::move(building).finish();
  EXPECT_EQ(tree->root().permissions, 0750u);
  EXPECT_EQ(tree->root().uid, 701u);
  EXPECT_EQ(tree->root().gid, 702u);
  EXPECT_EQ(at(*tree, {"group"}).permissions, 0755u);
  EXPECT_EQ(at(*tree, {"group"}).uid, 601u);
}

TEST_F(TreeTest, SurvivesIdentitiesThatHashAlike) {
  const InodeNumbers bad{[](std::string_view bytes) noexcept -> std::uint64_t {
    return bytes.ends_with('+') ? bytes.size() : 7;
  }};
  TreeBuilder building{catalog_, catalog_, options_, nullptr, bad};
  const auto models = building.group(TreeBuilder::kRoot, "models");
  building.blob(models, "blob", 0);
  building.model_directory(models, "late", 0, "identity", true);
  building.model_directory(models, "early", 0, "identity");
  building.model_file(models, "file", 0, {NodeKind::archive, 1, nullptr}, "identity");
  const auto tree = std::move(building).finish();
  ASSERT_EQ(tree->node_count(), 7u);
  for (std::uint32_t i = 0; i < tree->node_count(); ++i) {
    EXPECT_EQ(tree->find(tree->node(i).ino), &tree->node(i)) << "two nodes with one number";
  }
  EXPECT_LT(at(*tree, {"models", "early"}).ino, at(*tree, {"models", "late"}).ino);
}

// Ten thousand models have texts that hardly anybody asks for.
TEST_F(TreeTest, MakesATextAboutAModelWhenItIsAskedForAndKeepsItsSizeAlone) {
  static std::atomic<int> made = 0;
  made = 0;
  TreeBuilder building = builder();
  const auto models = building.group(TreeBuilder::kRoot, "texts");
  const TextRecipe recipe = [](const Tree& tree, const Node& node) {
    ++made;
    return "about " + tree.model(node)->shown;
  };
  building.model_text(models, "a.txt", 0, recipe, "a");
  building.model_text(models, "b.txt", 1, recipe, "b");
  const auto tree = std::move(building).finish();
  EXPECT_EQ(made, 0);
  EXPECT_FALSE(tree->knows_size(at(*tree, {"texts", "a.txt"})));
  const Node& text = at(*tree, {"texts", "b.txt"});
  std::vector<std::thread> threads;
  for (int thread = 0; thread < 4; ++thread)
    threads.emplace_back([&] { EXPECT_EQ(tree->size_of(text), 9u); });
  for (std::thread& thread : threads) thread.join();
  made = 0;
  EXPECT_TRUE(tree->knows_size(text));
  EXPECT_EQ(tree->size_of(text), 9u);
  EXPECT_EQ(made, 0);
  EXPECT_EQ(text.recipe(*tree, text).generated(), "about b:1");
  EXPECT_EQ(made, 1);
}

// One that cannot be had has a size, so that no tool makes it without opening it; and one that by
// now would be another is refused: what was copied would be longer or shorter than was said.
// The kernel keeps the size from one tree to the next.
TEST_F(TreeTest, RefusesALateFileThatIsNotAsTheTreeBeforeSaid) {
  std::string text = "short";
  const auto tree_of = [&](const Tree* previous) {
    TreeBuilder building{catalog_, catalog_, options_, previous};
    building.late_text(
        TreeBuilder::kRoot, "text", [&](const Tree&, const Node&) { return text; }, "text");
    return std::move(building).finish();
  };
  const auto before = tree_of(nullptr);
  EXPECT_EQ(before->size_of(at(*before, {"text"})), 5u);
  text = "and longer";
  const auto after = tree_of(before.get());
  const Node& node = at(*after, {"text"});
  EXPECT_EQ(after->size_of(node), 5u);
  EXPECT_THROW((void)node.recipe(*after, node), std::system_error);
}

TEST_F(TreeTest, RefusesALateFileThatCannotBeHadOrIsNotAsWasSaid) {
  TreeBuilder building = builder();
  building.late_model_file(
      TreeBuilder::kRoot, "none", 0,
      [](const Tree&, const Node&) -> std::optional<Layout> { return std::nullopt; }, "none");
  std::size_t size = 3;
  building.late_text(
      TreeBuilder::kRoot, "grows", [&](const Tree&, const Node&) { return std::string(size, 'x'); },
      "grows");
  const auto tree = std::move(building).finish();
  const Node& none = at(*tree, {"none"});
  EXPECT_EQ(tree->size_of(none), 1u);
  EXPECT_THROW((void)none.recipe(*tree, none), std::system_error);
  const Node& grows = at(*tree, {"grows"});
  EXPECT_EQ(tree->size_of(grows), 3u);
  EXPECT_EQ(grows.recipe(*tree, grows).size(), 3u);
  size = 4;
  EXPECT_THROW((void)grows.recipe(*tree, grows), std::system_error);
}

TEST_F(TreeTest, TellsTheSizeOfALateTextByItsCountAloneAndRefusesAnother) {
  int made = 0;
  std::uint64_t counted = 3;
  TreeBuilder building = builder();
  for (const char* const name : {"first", "second"}) {
    building.late_text(
        TreeBuilder::kRoot, name,
        [&](const Tree&, const Node&) {
          ++made;
          return std::string(3, 'x');
        },
        name, [&](const Tree&, const Node&) { return counted; });
  }
  const auto tree = std::move(building).finish();
  const Node& first = at(*tree, {"first"});
  EXPECT_FALSE(tree->knows_size(first));
  EXPECT_EQ(tree->size_of(first), 3u);
  EXPECT_TRUE(tree->knows_size(first));
  EXPECT_EQ(made, 0);
  EXPECT_EQ(first.recipe(*tree, first).size(), 3u);
  EXPECT_EQ(made, 1);
  counted = 4;
  const Node& second = at(*tree, {"second"});
  EXPECT_EQ(tree->size_of(second), 4u);
  EXPECT_THROW((void)second.recipe(*tree, second), std::system_error);
}

TEST_F(TreeTest, KeepsItsNamesAndItsCatalog) {
  std::shared_ptr<const Tree> tree;
  {
    TreeBuilder building = builder();
    for (std::size_t i = 0; i < 1000; ++i) {
      building.text(TreeBuilder::kRoot, std::string(100, 'n') + number(i), "text");
    }
    tree = std::move(building).finish();
    catalog_.reset();
  }
  for (std::size_t i = 0; i < 1000; ++i) {
    ASSERT_TRUE(tree->lookup(tree->root(), std::string(100, 'n') + number(i)));
  }
  EXPECT_EQ(tree->catalog().models().size(), 2u);
}

}  // namespace
}  // namespace ollamafs::test
