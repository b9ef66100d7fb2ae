// What others do in the store while an import runs: Ollama's clean-up, a prune, another import.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <ctime>
#include <functional>
#include <string>
#include <utility>

#include "store/base/text.h"
#include "tests/unit/store/transfer/import_fixture.h"

namespace ollamafs::test {
namespace {

namespace fs = std::filesystem;
using ::testing::HasSubstr;

// Does something else as soon as a file has got the name that is waited for.
class AfterName final : public WriteCalls {
 public:
  AfterName(std::string name, std::function<void()> work)
      : name_{std::move(name)}, work_{std::move(work)} {}

  [[nodiscard]] int linkat(int from_directory, const char* from, int to_directory, const char* to,
                           int flags) const noexcept override {
    const int status = WriteCalls::linkat(from_directory, from, to_directory, to, flags);
    if (status == 0 && to == name_) work_();
    return status;
  }

 private:
  std::string name_;
  std::function<void()> work_;
};

class ImportMeanwhileTest : public ImportFixture {
 protected:
  ImportMeanwhileTest() {
    const ManifestSpec model = source_.text_model(1, 3000);
    source_.v1("m", model);
    there_ = *Digest::parse(model.layers[0].digest);
    missing_ = *Digest::parse(model.layers[1].digest);
    write_file(blob(), read_file(source_.blob_path(there_)));
  }

  // The one that the store has from the beginning.
  [[nodiscard]] fs::path blob() const { return target() / there_.blob_path(); }

  [[nodiscard]] std::pair<TransferError::Kind, std::string> failure_if_gone_after(
      const std::string& name) const {
    const AfterName calls{name, [this] { fs::remove(blob()); }};
    return failure_of([&] { import({source_.root()}, {}, calls); });
  }

  StoreBuilder source_{dir_ / "source"};
  Digest there_ = Digest::of(""), missing_ = there_;
  const fs::path manifest_ = target() / "manifests/registry.ollama.ai/library/m/latest";
};

TEST_F(ImportMeanwhileTest, WritesNoManifestIfABlobWentBefore) {
  const auto [kind, text] = failure_if_gone_after(missing_.blob_name());
  EXPECT_EQ(kind, TransferError::Kind::failed);
  EXPECT_THAT(text, HasSubstr(there_.blob_name()));
  EXPECT_THAT(text, HasSubstr("same command again"));
  EXPECT_FALSE(fs::exists(manifest_));
  (void)import({source_.root()});
  EXPECT_EQ(models_of(target()), models_of(source_.root()));
}

TEST_F(ImportMeanwhileTest, SaysSoIfABlobWentWithTheManifest) {
  const auto [kind, text] = failure_if_gone_after("latest");
  EXPECT_EQ(kind, TransferError::Kind::failed);
  EXPECT_THAT(text, HasSubstr(there_.blob_name()));
  EXPECT_THAT(text, HasSubstr("same command again"));
  (void)import({source_.root()});
  EXPECT_EQ(models_of(target()), models_of(source_.root()));
}

// Also one that a model of the store names, which may be removed any moment.
TEST_F(ImportMeanwhileTest, GivesWhatItFindsThereAFreshTime) {
  const StoreBuilder store{target()};
  store.v1("other", source_.text_model(1, 3000));
  const timespec old[2] = {{1'000'000, 0}, {1'000'000, 0}};
  ASSERT_EQ(::utimensat(AT_FDCWD, blob().c_str(), old, 0), 0);
  (void)import({source_.root()}, {.trust_existing = true});
  struct stat st {};
  ASSERT_EQ(::stat(blob().c_str(), &st), 0);
  EXPECT_LT(std::time(nullptr) - st.st_mtim.tv_sec, 600);
}

// Another import may have opened the folders that this one has made.
TEST_F(ImportMeanwhileTest, LeavesFoldersThatAnotherMayUse) {
  fs::remove_all(target());
  auto members = pack_directory(source_.root());
  for (Packed& member : members) {
    if (member.path.starts_with("blobs/")) member.bytes += "x";
  }
  (void)failure_of([&] { import_piped(make_archive(members)); });
  EXPECT_TRUE(fs::is_directory(target() / "blobs"));
}

}  // namespace
}  // namespace ollamafs::test
