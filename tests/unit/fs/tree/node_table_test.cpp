#include "fs/tree/node_table.h"

#include <gtest/gtest.h>

#include <atomic>
#include <memory>
#include <optional>
#include <random>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "fs/tree/tree_builder.h"
#include "tests/support/store_builder.h"
#include "tests/support/temp_dir.h"

namespace ollamafs::test {
namespace {

class NodeTableTest : public ::testing::Test {
 protected:
  NodeTableTest() {
    const StoreBuilder store{dir_ / "models"};
    catalog_ = Catalog::read(StoreDir{store.root(), OutsideLinks::refuse});
  }

  // A snapshot of one text file for each of `texts`. A text has the same number in all of them.
  [[nodiscard]] std::shared_ptr<const Tree> tree(const std::vector<std::string>& texts) const {
    TreeBuilder building{catalog_, catalog_, TreeOptions{}};
    for (const std::string& text : texts) building.text(TreeBuilder::kRoot, text, text);
    return std::move(building).finish();
  }

  TempDir dir_;
  std::shared_ptr<const Catalog> catalog_;
};

InodeNumber number(const std::shared_ptr<const Tree>& tree, const std::string& name) {
  return tree->lookup(tree->root(), name)->ino;
}

TEST_F(NodeTableTest, FindsWhatTheSnapshotHolds) {
  const auto shown = tree({"a", "b"});
  const NodeTable table{shown};
  EXPECT_EQ(table.current(), shown);
  const NodeRef found = table.find(number(shown, "a"));
  ASSERT_TRUE(found);
  EXPECT_EQ(found.tree, shown);
  EXPECT_EQ(found.node, shown->lookup(shown->root(), "a"));
  EXPECT_EQ(table.find(kRootInode).node, &shown->root());
}

TEST_F(NodeTableTest, HasNothingForAnyOtherNumber) {
  const auto shown = tree({"a"});
  const NodeTable table{shown};
  for (const InodeNumber ino :
       {InodeNumber{0}, InodeNumber{2}, number(shown, "a") + 1, ~InodeNumber{0}}) {
    const NodeRef found = table.find(ino);
    EXPECT_FALSE(found);
    EXPECT_EQ(found.tree, nullptr);
  }
}

TEST_F(NodeTableTest, ShowsTheNewSnapshotFromThenOn) {
  const auto first = tree({"stays", "goes"}), second = tree({"stays", "comes"});
  NodeTable table{first};
  EXPECT_FALSE(table.find(number(second, "comes")));
  table.publish(second);
  EXPECT_EQ(table.current(), second);
  EXPECT_EQ(table.find(number(first, "stays")).tree, second);
  EXPECT_TRUE(table.find(number(second, "comes")));
  EXPECT_FALSE(table.find(number(first, "goes"))) << "stale";
}

TEST_F(NodeTableTest, LetsAnOldSnapshotGo) {
  auto first = tree({"a"});
  const std::weak_ptr<const Tree> watch = first;
  NodeTable table{std::move(first)};
  table.publish(tree({"b"}));
  EXPECT_TRUE(watch.expired());
}

// fstat on an open file must answer although the file is gone (fs/CONSISTENCY.md).
TEST_F(NodeTableTest, KeepsAPinnedNodeAndTheSnapshotItIsPartOf) {
  auto first = tree({"pinned", "other"});
  const std::weak_ptr<const Tree> watch = first;
  const InodeNumber pinned = number(first, "pinned"), other = number(first, "other");
  NodeTable table{std::move(first)};
  {
    const NodeTable::Pin pin = table.pin(table.find(pinned));
    table.publish(tree({"new"}));
    const NodeRef found = table.find(pinned);
    ASSERT_TRUE(found);
    EXPECT_EQ(found->ino, pinned);
    EXPECT_EQ(found.tree->late_content(*found)->generated(), "pinned");
    EXPECT_EQ(pin.ref().node, found.node);
    EXPECT_FALSE(table.find(other)) << "only the node itself is pinned";
  }
  EXPECT_FALSE(table.find(pinned));
  EXPECT_TRUE(watch.expired());
}

TEST_F(NodeTableTest, ForgetsANodeWithItsLastPin) {
  const auto first = tree({"a"});
  const InodeNumber ino = number(first, "a");
  NodeTable table{first};
  std::optional<NodeTable::Pin> one{table.pin(table.find(ino))}, two{table.pin(table.find(ino))};
  table.publish(tree({}));
  one.reset();
  EXPECT_TRUE(table.find(ino));
  two.reset();
  EXPECT_FALSE(table.find(ino));
}

TEST_F(NodeTableTest, PinsThatMoveCountOnce) {
  const auto first = tree({"a"});
  const InodeNumber ino = number(first, "a");
  NodeTable table{first};
  {
    NodeTable::Pin pin = table.pin(table.find(ino));
    const NodeTable::Pin moved{std::move(pin)};
    table.publish(tree({}));
    EXPECT_EQ(moved.ref()->ino, ino);
    EXPECT_TRUE(table.find(ino));
  }
  EXPECT_FALSE(table.find(ino));
  const NodeTable::Pin again = table.pin({first, first->find(ino)});
  EXPECT_TRUE(table.find(ino));
}

TEST_F(NodeTableTest, PrefersTheCurrentSnapshotToAPin) {
  const auto first = tree({"a"}), second = tree({"a", "b"});
  const InodeNumber ino = number(first, "a");
  NodeTable table{first};
  const NodeTable::Pin pin = table.pin(table.find(ino));
  table.publish(second);
  EXPECT_EQ(table.find(ino).tree, second);
  EXPECT_EQ(pin.ref().tree, first);
}

TEST_F(NodeTableTest, ServesManyThreadsWhileSnapshotsChange) {
  const std::vector<std::string> names = {"a", "b", "c", "d", "e", "f"};
  // Every snapshot lacks one of the names.
  std::vector<std::shared_ptr<const Tree>> trees;
  for (std::size_t missing = 0; missing < names.size(); ++missing) {
    std::vector<std::string> some = names;
    some.erase(some.begin() + static_cast<std::ptrdiff_t>(missing));
    trees.push_back(tree(some));
  }
  const auto all = tree(names);
  NodeTable table{all};
  std::atomic<int> wrong = 0;
  std::vector<std::thread> threads;
  for (unsigned thread = 0; thread < 6; ++thread) {
    threads.emplace_back([&, thread] {
      std::mt19937_64 random{thread};
      for (int i = 0; i < 3000; ++i) {
        const std::string& name = names[random() % names.size()];
        NodeRef found = table.find(number(all, name));
        if (!found) continue;
        if (found.tree->late_content(*found)->generated() != name) ++wrong;
        const NodeTable::Pin pin = table.pin(std::move(found));
        // Whatever is published meanwhile: what this thread has pinned is there.
        for (int again = 0; again < 3; ++again) {
          const NodeRef pinned = table.find(number(all, name));
          if (!pinned || pinned.tree->late_content(*pinned)->generated() != name) ++wrong;
        }
      }
    });
  }
  std::mt19937_64 random{99};
  for (int i = 0; i < 5000; ++i) table.publish(trees[random() % trees.size()]);
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(wrong, 0);
  table.publish(tree({}));
  for (const std::string& name : names) EXPECT_FALSE(table.find(number(all, name))) << name;
}

// ---- directories of models that were led on ----

class LedOn : public NodeTableTest {
 protected:
  LedOn() {
    const StoreBuilder store{dir_ / "models"};
    store.v1("m:a", store.text_model(1, 100));
    catalog_ = Catalog::read(StoreDir{store.root(), OutsideLinks::refuse});
  }

  // A snapshot with the model m+a in a version, or without.
  [[nodiscard]] std::shared_ptr<const Tree> version(const std::string& identity) const {
    TreeBuilder building{catalog_, catalog_, TreeOptions{}};
    const auto models = building.group(TreeBuilder::kRoot, "models");
    if (!identity.empty()) building.model_directory(models, "m+a", 0, identity);
    return std::move(building).finish();
  }
  static InodeNumber own(const std::shared_ptr<const Tree>& tree) {
    return tree->model_directory("m+a")->ino;
  }
};

TEST_F(LedOn, StandForTheVersionThatIsShown) {
  const auto first = version("1"), second = version("2");
  NodeTable table{first};
  table.publish(second);
  EXPECT_FALSE(table.find(own(first)));
  table.lead_on(own(first), "m+a");
  EXPECT_EQ(table.find(own(first)).node, second->model_directory("m+a"));
}

// A tool that stands in the old directory must not be led from one version to the next, and so to a
// mixture of them.
TEST_F(LedOn, AreStaleWhenThatVersionGoes) {
  for (const char* const next : {"3", ""}) {
    const auto first = version("1"), second = version("2");
    NodeTable table{first};
    table.publish(second);
    table.lead_on(own(first), "m+a");
    table.publish(version(next));
    EXPECT_FALSE(table.find(own(first))) << next;
    table.publish(second);
    EXPECT_FALSE(table.find(own(first))) << next;
  }
}

TEST_F(LedOn, AreLeftAloneWhereNothingElseIsShown) {
  const auto first = version("1");
  NodeTable table{first};
  table.lead_on(own(first), "m+a");
  EXPECT_EQ(table.find(own(first)).node, first->model_directory("m+a"));
  table.publish(version(""));
  table.lead_on(own(first), "m+a");
  EXPECT_FALSE(table.find(own(first)));
}

}  // namespace
}  // namespace ollamafs::test
