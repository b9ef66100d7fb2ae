#include "fs/serve/gone_directories.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <memory>
#include <string>

#include "fs/views/views.h"
#include "tests/support/store_builder.h"
#include "tests/support/temp_dir.h"

namespace ollamafs::test {
namespace {

namespace fs = std::filesystem;
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

TEST_F(GoneDirectoriesTest, KnowsOfWhichModelBlobsAreMissed) {
  const auto first = next_version(), second = next_version();
  const auto in = [](const TreePtr& tree, const char* model, const char* below) {
    return number_of(tree, fs::path{"models"} / model / below);
  };
  GoneDirectories gone;
  gone.changed(*first, *second);
  const auto own = in(first, "changes+t", ""), blobs = in(first, "changes+t", "blobs");
  EXPECT_EQ(gone.model_missed(own, ""), "changes+t");
  EXPECT_EQ(gone.model_missed(own, "blobs"), "changes+t");
  EXPECT_EQ(gone.model_missed(blobs, ""), "changes+t");
  EXPECT_EQ(gone.model_missed(blobs, "sha256-0"), "changes+t");
  EXPECT_FALSE(gone.model_missed(in(second, "changes+t", ""), ""));
  EXPECT_FALSE(gone.model_missed(in(first, "stays+t", ""), ""));

  fs::remove(store_.v1_path(*ModelName::parse("stays:t")));
  gone.changed(*second, *tree());
  EXPECT_EQ(gone.model_missed(in(first, "stays+t", "blobs"), ""), "stays+t");
  EXPECT_EQ(gone.model_missed(own, ""), "changes+t");
}

// They would be refused a manifest that they find by another way.
TEST_F(GoneDirectoriesTest, TakesNobodyForOneWhoMissesBlobsThatLooksForOtherThings) {
  const auto first = next_version(), second = next_version();
  GoneDirectories gone;
  gone.changed(*first, *second);
  const fs::path model = "models/changes+t";
  EXPECT_FALSE(gone.model_missed(number_of(first, model), "manifests"));
  EXPECT_FALSE(gone.model_missed(number_of(first, model / "manifests"), "registry.ollama.ai"));
  EXPECT_FALSE(gone.model_missed(number_of(first, model / "manifests"), ""));
  for (const char* const handle : {".", ".."}) {
    EXPECT_FALSE(gone.model_missed(number_of(first, model), handle));
    EXPECT_FALSE(gone.model_missed(number_of(first, model / "blobs"), handle));
  }
}

}  // namespace
}  // namespace ollamafs::test
