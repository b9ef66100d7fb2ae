#include "src/store/had_blobs.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <string>
#include <vector>

#include "src/say/exit_status.h"
#include "tests/support/store_builder.h"
#include "tests/support/temp_dir.h"

namespace ollamafs::test {
namespace {

namespace fs = std::filesystem;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

class HadBlobs : public ::testing::Test {
 protected:
  void SetUp() override {
    const ManifestSpec manifest = store_.text_model(1, 1000);
    store_.v1("m:latest", manifest);
    weights_ = Digest::parse(manifest.layers[0].digest).value();
    catalog_ = Catalog::read(dir_of_store_);
    for (const Model& model : catalog_->models()) models_.push_back(&model);
  }

  std::pair<ExitStatus, std::string> failure(const std::string& have) {
    try {
      (void)had_blobs(have, models_);
    } catch (const CommandError& error) {
      return {error.status(), error.what()};
    }
    return {ExitStatus::ok, ""};
  }

  TempDir dir_;
  StoreBuilder store_{dir_ / "models"};
  StoreDir dir_of_store_{store_.root(), OutsideLinks::refuse};
  std::shared_ptr<const Catalog> catalog_;
  std::vector<const Model*> models_;
  Digest weights_;
};

TEST_F(HadBlobs, OfAFolderAreThoseOfTheRightSize) {
  const StoreBuilder target{dir_ / "target"};
  EXPECT_THAT(had_blobs(target.root(), models_), ::testing::IsEmpty());
  fs::copy_file(store_.blob_path(weights_), target.blob_path(weights_));
  EXPECT_THAT(had_blobs(target.root(), models_), ElementsAre(weights_));
  fs::resize_file(target.blob_path(weights_), 999);
  EXPECT_THAT(had_blobs(target.root(), models_), ::testing::IsEmpty());
}

TEST_F(HadBlobs, OfAListAreTheDigestsInEverySpelling) {
  const std::string path = (dir_ / "list").string();
  const Digest a = Digest::of("a"), b = Digest::of("b"), c = Digest::of("c"), d = Digest::of("d");
  write_file(path, a.blob_name() + "\n" + b.to_string() + "\r\n\n" + c.hex() + "  \n./blobs/" +
                       d.blob_name() + "\n" + weights_.blob_name() + "-partial\n" +
                       weights_.blob_name() + "-partial-12\n");
  EXPECT_EQ(had_blobs(path, models_), (std::set<Digest>{a, b, c, d}));
}

TEST_F(HadBlobs, RefuseALineThatIsNoDigest) {
  const std::string path = (dir_ / "list").string();
  write_file(path, Digest::of("a").blob_name() + "\nsha256-12\x1b[2J\n");
  const auto [status, message] = failure(path);
  EXPECT_EQ(status, ExitStatus::usage);
  EXPECT_THAT(message, HasSubstr("line 2"));
  EXPECT_THAT(message, HasSubstr("sha256-12\\x1b"));
}

TEST_F(HadBlobs, RefuseWhatIsNotThere) {
  const auto [status, message] = failure((dir_ / "none").string());
  EXPECT_EQ(status, ExitStatus::not_found);
  EXPECT_THAT(message, HasSubstr((dir_ / "none").string()));
}

}  // namespace
}  // namespace ollamafs::test
