#include "src/mount/store_report.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <memory>
#include <string>

#include "tests/support/sample_store.h"
#include "tests/support/store_builder.h"
#include "tests/support/temp_dir.h"

namespace ollamafs::test {
namespace {

namespace fs = std::filesystem;

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;
using ::testing::StartsWith;

class StoreNews : public ::testing::Test {
 protected:
  StoreNews() { store_.v1("whole:latest", store_.text_model(1)); }

  [[nodiscard]] std::shared_ptr<const Catalog> read() const {
    return Catalog::read(StoreDir{store_.root(), OutsideLinks::refuse});
  }

  // A file among the manifests that is none.
  void stray(const std::string& name) const {
    write_file(store_.root() / "manifests/registry.ollama.ai/library" / name, "x");
  }

  TempDir dir_;
  StoreBuilder store_{dir_ / "models"};
};

TEST_F(StoreNews, AreNoneOfAStoreInWhichNothingIsWrong) {
  EXPECT_THAT(store_news(*Catalog::empty(), *read()), IsEmpty());
}

TEST_F(StoreNews, TellBrokenModelsAndStrayFilesByName) {
  const ManifestSpec manifest = store_.text_model(2);
  store_.v1("broken:latest", manifest);
  fs::remove(store_.blob_path(*Digest::parse(manifest.layers.front().digest)));
  stray("str\nay");
  EXPECT_THAT(store_news(*Catalog::empty(), *read()),
              ElementsAre(StartsWith("broken:latest is broken: blob sha256-"),
                          StartsWith("manifests/registry.ollama.ai/library/str\\x0aay ")));
}

TEST_F(StoreNews, LeaveOutWhatWasWrongBefore) {
  write_broken_models(store_);
  const auto before = read();
  EXPECT_THAT(store_news(*before, *read()), IsEmpty());
  stray("another");
  EXPECT_THAT(store_news(*before, *read()), ElementsAre(HasSubstr("library/another ")));
}

TEST_F(StoreNews, CountWhatIsMoreThanAPersonReads) {
  for (int i = 0; i < 25; ++i) stray("stray" + std::to_string(i));
  const auto lines = store_news(*Catalog::empty(), *read());
  ASSERT_THAT(lines, SizeIs(21));
  EXPECT_EQ(lines.back(), "and 5 more: see `ollamafs list`");
}

}  // namespace
}  // namespace ollamafs::test
