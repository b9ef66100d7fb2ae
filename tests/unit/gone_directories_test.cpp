#include "fs/gone_directories.h"

#include <gtest/gtest.h>

#include <chrono>
#include <filesystem>
#include <memory>
#include <string>
#include <thread>

#include "fs/views.h"
#include "tests/support/store_builder.h"
#include "tests/support/temp_dir.h"

namespace ollamafs::test {
namespace {

namespace fs = std::filesystem;
using namespace std::chrono_literals;
using TreePtr = std::shared_ptr<const Tree>;

class GoneDirectoriesTest : public ::testing::Test {
 protected:
  TreePtr tree() { return build_tree(Catalog::read(dir_), {}, {"/view", store_.root()}, nullptr); }

  // Of two models, of which one is another version each time.
  TreePtr next_version() {
    store_.v1("stays:t", store_.text_model(1));
    store_.v1("changes:t", store_.text_model(++version_));
    return tree();
  }

  static InodeNumber number_of(const TreePtr& tree, const fs::path& path) {
    const Node* node = tree->find(kRootInode);
    for (const fs::path& name : path) {
      if (!name.empty()) node = tree->lookup(*node, name.string());
    }
    return node->ino;
  }

  TempDir temp_;
  StoreBuilder store_{temp_ / "models"};
  StoreDir dir_{temp_ / "models", OutsideLinks::refuse};
  std::uint64_t version_ = 1;
};

TEST_F(GoneDirectoriesTest, KnowsTheModelOfEveryDirectoryThatWent) {
  const auto first = next_version(), second = next_version();
  GoneDirectories gone{1h};
  gone.changed(*first, *second);
  for (const char* const below : {"", "blobs", "manifests/registry.ollama.ai/library/changes"})
    EXPECT_EQ(gone.model_of(number_of(first, fs::path{"models/changes+t"} / below)), "changes+t");
  EXPECT_FALSE(gone.model_of(number_of(second, "models/changes+t")));
  EXPECT_FALSE(gone.model_of(number_of(first, "models/stays+t")));
  EXPECT_FALSE(gone.model_of(number_of(first, "models")));

  fs::remove(store_.v1_path(*ModelName::parse("stays:t")));
  gone.changed(*second, *tree());
  EXPECT_EQ(gone.model_of(number_of(first, "models/stays+t/blobs")), "stays+t");
  EXPECT_EQ(gone.model_of(number_of(first, "models/changes+t")), "changes+t");
}

TEST_F(GoneDirectoriesTest, ForgetsThemAtTheFirstChangeBehindTheHold) {
  const auto first = next_version(), second = next_version(), third = next_version();
  GoneDirectories gone{50ms};
  gone.changed(*first, *second);
  EXPECT_TRUE(gone.model_of(number_of(first, "models/changes+t")));
  std::this_thread::sleep_for(60ms);
  gone.changed(*second, *third);
  EXPECT_FALSE(gone.model_of(number_of(first, "models/changes+t")));
  EXPECT_TRUE(gone.model_of(number_of(second, "models/changes+t")));
}

TEST_F(GoneDirectoriesTest, KnowsNoneWhereNothingIsHeld) {
  const auto first = next_version(), second = next_version();
  GoneDirectories gone{0ms};
  gone.changed(*first, *second);
  EXPECT_FALSE(gone.model_of(number_of(first, "models/changes+t")));
}

}  // namespace
}  // namespace ollamafs::test
