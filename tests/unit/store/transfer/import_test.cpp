// Round trips: what was exported, packed or copied by whatever means arrives with its names, IDs
// and bytes.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <ctime>
#include <string>
#include <tuple>
#include <vector>

#include "store/base/text.h"
#include "store/layout/archive.h"
#include "store/layout/open_archive.h"
#include "tests/support/sample_store.h"
#include "tests/unit/store/transfer/import_fixture.h"

namespace ollamafs::test {
namespace {

namespace fs = std::filesystem;
using ::testing::HasSubstr;
using ::testing::SizeIs;

// The bytes of archives/NAME.tar.
std::string archive_of(const fs::path& store, const std::string& name) {
  const StoreDir dir{store, OutsideLinks::follow};
  const auto catalog = Catalog::read(dir);
  for (const Model& model : catalog->models()) {
    if (model.shown != name) continue;
    BlobPool pool{dir, {}};
    std::optional<OpenLayout::Failure> failure;
    const auto open = open_archive(pool, *catalog, model, failure);
    std::string bytes(open->layout().size(), '\0');
    EXPECT_FALSE(open->read(bytes.data(), bytes.size(), 0));
    return bytes;
  }
  throw std::runtime_error{"no model " + name};
}

class ImportTest : public ImportFixture {
 protected:
  ImportTest() {
    write_sample_models(source_);
    expected_ = models_of(source_.root());
  }

  StoreBuilder source_{dir_ / "source"};
  std::map<std::string, std::string> expected_;
};

TEST_F(ImportTest, TakesAStoreAsAFolder) {
  const ImportResult result = import({source_.root()});
  EXPECT_EQ(models_of(target()), expected_);
  EXPECT_EQ(result.models.size(), expected_.size());
  // In the portable form, with nothing that no model needs.
  const auto catalog = Catalog::read(StoreDir{target(), OutsideLinks::follow});
  for (const Model& model : catalog->models()) {
    EXPECT_EQ(model.tag_path, "manifests/" + model.name.v1_path());
    EXPECT_EQ(read_file(target() / model.tag_path), model.manifest->bytes);
  }
  std::size_t files = 0;
  for (const auto& entry : fs::directory_iterator{target() / "blobs"}) {
    files += entry.is_regular_file() ? 1 : 0;
  }
  EXPECT_EQ(files, catalog->blobs().size());
}

class ImportFormatTest
    : public ImportTest,
      public ::testing::WithParamInterface<std::tuple<std::string, std::string, bool>> {};

TEST_P(ImportFormatTest, TakesAPackedStore) {
  const auto& [format, filter, is_piped] = GetParam();
  const std::string archive = make_archive(pack_directory(source_.root()), format, filter);
  is_piped ? import_piped(archive) : import_bytes(archive);
  EXPECT_EQ(models_of(target()), expected_);
}

INSTANTIATE_TEST_SUITE_P(
    All, ImportFormatTest,
    ::testing::Values(std::tuple{"pax", "none", false}, std::tuple{"pax", "none", true},
                      std::tuple{"gnutar", "none", false}, std::tuple{"ustar", "none", true},
                      std::tuple{"pax", "gzip", false}, std::tuple{"pax", "gzip", true},
                      std::tuple{"pax", "zstd", false}, std::tuple{"pax", "zstd", true},
                      std::tuple{"zip", "none", false}, std::tuple{"zip", "none", true}),
    [](const auto& value) {
      return std::get<0>(value.param) + "_" + std::get<1>(value.param) +
             (std::get<2>(value.param) ? "_piped" : "");
    });

TEST_F(ImportTest, TakesItsOwnArchives) {
  const auto catalog = Catalog::read(StoreDir{source_.root(), OutsideLinks::follow});
  for (const Model& model : catalog->models()) {
    const std::string archive = archive_of(source_.root(), model.shown);
    const ImportResult result = import_bytes(archive);
    ASSERT_THAT(result.models, SizeIs(1));
    EXPECT_EQ(result.models[0].digest, model.manifest->digest);
    EXPECT_EQ(archive_of(target(), model.shown), archive);
  }
  EXPECT_EQ(models_of(target()), expected_);
}

TEST_F(ImportTest, FindsAStoreBelowOtherFolders) {
  import_bytes(make_archive(pack_directory(source_.root(), "backup/models/")));
  EXPECT_EQ(models_of(target()), expected_);
  fs::remove_all(target());
  fs::create_directories(dir_ / "around/top");
  fs::rename(source_.root(), dir_ / "around/top/models");
  import({dir_ / "around"});
  EXPECT_EQ(models_of(target()), expected_);
}

TEST_F(ImportTest, TakesBlobsThatAreNamedWithAColon) {
  auto members = pack_directory(source_.root());
  for (Packed& member : members) {
    if (member.path.starts_with("blobs/sha256-")) member.path[12] = ':';
  }
  import_bytes(make_archive(members));
  EXPECT_EQ(models_of(target()), expected_);
}

TEST_F(ImportTest, TakesTheManifestFirst) {
  auto members = pack_directory(source_.root());
  std::ranges::reverse(members);
  import_piped(make_archive(members));
  EXPECT_EQ(models_of(target()), expected_);
}

TEST_F(ImportTest, PutsThePartsOfAnArchiveTogether) {
  const std::string archive = archive_of(source_.root(), "me/describer:latest");
  constexpr std::size_t part = 1'000'001;
  int number = 0;
  for (std::size_t at = 0; at < archive.size(); at += part) {
    write_file(dir_ / ("m.tar.part0" + std::to_string(number++)), archive.substr(at, part));
  }
  ASSERT_GT(number, 2);
  EXPECT_THAT(import({dir_ / "m.tar.part00"}).models, SizeIs(1));
  fs::remove_all(target());
  EXPECT_THAT(import({dir_ / "m.tar.part00", dir_ / "m.tar.part01"}).models, SizeIs(1));
  fs::remove_all(target());
  fs::remove(dir_ / "m.tar.part01");
  const auto failure = failure_of([&] { import({dir_ / "m.tar.part00"}); });
  EXPECT_EQ(failure.first, TransferError::Kind::broken);
}

TEST_F(ImportTest, TakesArchivesAndFoldersThatAreNamedLikePartsForWhole) {
  write_file(dir_ / "x.01", archive_of(source_.root(), "me/describer:latest"));
  write_file(dir_ / "x.02", archive_of(source_.root(), "llama3.2:3b"));
  EXPECT_THAT(import({dir_ / "x.01", dir_ / "x.02"}).models, SizeIs(2));
  fs::remove_all(target());
  EXPECT_THAT(import({dir_ / "x.01"}).models, SizeIs(1));
  fs::remove_all(target());
  fs::remove(dir_ / "x.02");
  fs::rename(source_.root(), dir_ / "x.02");
  EXPECT_THAT(import({dir_ / "x.02", dir_ / "x.01"}).models, SizeIs(expected_.size()));
  fs::remove_all(target());
  EXPECT_EQ(import({dir_ / "x.01", dir_ / "x.02"}).models.size(), expected_.size());
}

// Each member of this tar is a part of its own.
TEST_F(ImportTest, PutsPartsTogetherThatBeginWithAHeader) {
  std::vector<Packed> members = pack_directory(source_.root());
  const std::string whole = make_archive(members, "ustar");
  members.resize(1);
  const std::string one = make_archive(members, "ustar");
  const std::size_t cut = 512 + (members[0].bytes.size() + 511) / 512 * 512;
  ASSERT_EQ(one.substr(0, cut), whole.substr(0, cut));
  write_file(dir_ / "x.01", whole.substr(0, cut));
  write_file(dir_ / "x.02", whole.substr(cut));
  import({dir_ / "x.01", dir_ / "x.02"});
  EXPECT_EQ(models_of(target()), expected_);
}

TEST_F(ImportTest, IgnoresWhatIsNoneOfAStore) {
  auto members = pack_directory(source_.root(), "top/");
  members.insert(members.begin(), {"README", "hello"});
  members.push_back({"top/blobs/.DS_Store", "x"});
  members.push_back({"top/blobs/sha256-" + std::string(64, 'b') + "-partial", "x"});
  members.push_back({"top/manifests/registry.ollama.ai/library/llama3.2/.hidden", "x"});
  members.push_back({"top", "", Packed::Type::directory});
  import_bytes(make_archive(members));
  EXPECT_EQ(models_of(target()), expected_);
}

TEST_F(ImportTest, TakesHardLinksOfBlobsThatCameBefore) {
  auto members = pack_directory(source_.root(), "a/");
  for (const Packed& member : pack_directory(source_.root(), "b/")) {
    if (member.path.starts_with("b/blobs/")) {
      members.push_back({member.path, "a" + member.path.substr(1), Packed::Type::hardlink});
    }
  }
  import_bytes(make_archive(members, "gnutar"));
  EXPECT_EQ(models_of(target()), expected_);
}

// ---- what is there already ----

TEST_F(ImportTest, WritesNothingTwice) {
  import({source_.root()});
  const DirectoryContent before = content_of(target());
  const ImportResult again = import({source_.root()});
  EXPECT_EQ(again.blobs_written, 0U);
  EXPECT_GT(again.blobs_there, 0U);
  for (const ImportedModel& model : again.models) {
    EXPECT_EQ(model.state, ImportedModel::State::there) << model.name.display();
  }
  EXPECT_EQ(content_of(target()), before);
}

TEST_F(ImportTest, MendsABlobThatIsDamagedThere) {
  import({source_.root()});
  for (const auto& entry : fs::directory_iterator{target() / "blobs"}) {
    std::string bytes = read_file(entry.path());
    bytes.front() = static_cast<char>(~bytes.front());
    write_file(entry.path(), bytes);
  }
  const ImportResult again = import_piped(make_archive(pack_directory(source_.root())));
  EXPECT_EQ(again.blobs_there, 0U);
  for (const auto& entry : fs::directory_iterator{target() / "blobs"}) {
    EXPECT_EQ(Digest::of(read_file(entry.path())).blob_name(), entry.path().filename());
  }
}

TEST_F(ImportTest, TrustsWhatIsThereOnlyIfAsked) {
  import({source_.root()});
  const Digest digest = Catalog::read(StoreDir{target(), OutsideLinks::follow})->blobs()[0].digest;
  const fs::path blob = target() / digest.blob_path();
  const std::string right = read_file(blob);
  write_file(blob, std::string(right.size(), 'x'));
  EXPECT_EQ(import({source_.root()}, {.trust_existing = true}).blobs_written, 0U);
  EXPECT_NE(read_file(blob), right);
  EXPECT_EQ(import({source_.root()}).blobs_written, 1U);
  EXPECT_EQ(read_file(blob), right);
  // By its size alone it is known to be wrong.
  write_file(blob, "x");
  EXPECT_EQ(import({source_.root()}, {.trust_existing = true}).blobs_written, 1U);
  EXPECT_EQ(read_file(blob), right);
}

// A delta: the archive has only what the target lacks.
TEST_F(ImportTest, TakesABlobThatOnlyTheTargetHas) {
  auto members = pack_directory(source_.root());
  const auto blob = std::ranges::max_element(members, {}, [](const Packed& member) {
    return member.path.starts_with("blobs/") ? member.bytes.size() : 0;
  });
  write_file(target() / blob->path, blob->bytes);
  const fs::path path = target() / blob->path;
  const timespec old[2] = {{1'000'000, 0}, {1'000'000, 0}};
  ASSERT_EQ(::utimensat(AT_FDCWD, path.c_str(), old, 0), 0);
  members.erase(blob);
  import_piped(make_archive(members));
  EXPECT_EQ(models_of(target()), expected_);
  // A server's clean-up must not take it for one that was left behind.
  struct stat st {};
  ASSERT_EQ(::stat(path.c_str(), &st), 0);
  EXPECT_LT(std::time(nullptr) - st.st_mtim.tv_sec, 600);
}

TEST_F(ImportTest, GivesBlobsAFreshTime) {
  import_bytes(archive_of(source_.root(), "me/describer:latest"));
  for (const auto& entry : fs::directory_iterator{target() / "blobs"}) {
    struct stat st {};
    ASSERT_EQ(::stat(entry.path().c_str(), &st), 0);
    EXPECT_LT(std::time(nullptr) - st.st_mtim.tv_sec, 600);
  }
}

TEST_F(ImportTest, OnlySaysWhatItWouldDo) {
  const std::string archive = make_archive(pack_directory(source_.root()));
  for (const bool is_piped : {false, true}) {
    const ImportOptions options{.dry_run = true};
    const ImportResult result =
        is_piped ? import_piped(archive, options) : import_bytes(archive, options);
    EXPECT_EQ(result.models.size(), expected_.size());
    EXPECT_FALSE(fs::exists(target()));
  }
}

// ---- names ----

TEST_F(ImportTest, TakesAnotherName) {
  import_bytes(archive_of(source_.root(), "me/describer:latest"),
               {.name = ModelName::parse("x:y")});
  EXPECT_THAT(models_of(target()), SizeIs(1));
  EXPECT_TRUE(models_of(target()).contains("registry.ollama.ai/library/x:y"));
  const auto failure =
      failure_of([&] { import({source_.root()}, {.name = ModelName::parse("x:y")}); });
  EXPECT_EQ(failure.first, TransferError::Kind::usage);
}

// ---- files that a browser has downloaded ----

class LooseImportTest : public ImportTest {
 protected:
  // The files of one model, named as browsers do.
  void download(const std::string& name) const {
    const auto catalog = Catalog::read(StoreDir{source_.root(), OutsideLinks::follow});
    int number = 0;
    for (const Model& model : catalog->models()) {
      if (model.shown != name) continue;
      write_file(dir_ / "loose/manifest", model.manifest->bytes);
      for (const BlobRef& ref : model.manifest->blobs) {
        const std::string suffix = number == 0 ? "" : "(" + std::to_string(number) + ")";
        fs::copy_file(source_.root() / ref.digest.blob_path(), dir_ / "loose" / ("data" + suffix));
        ++number;
      }
    }
    write_file(dir_ / "loose/holiday.jpg", "x");
  }
};

TEST_F(LooseImportTest, MatchesFilesByTheirHash) {
  download("me/describer:latest");
  const ImportOptions options{.name = ModelName::parse("me/describer")};
  EXPECT_THAT(import({dir_ / "loose"}, options).models, SizeIs(1));
  EXPECT_EQ(models_of(target()).at("registry.ollama.ai/me/describer:latest"),
            expected_.at("registry.ollama.ai/me/describer:latest"));
  fs::remove_all(target());
  std::vector<fs::path> files;
  for (const auto& entry : fs::directory_iterator{dir_ / "loose"}) files.push_back(entry.path());
  EXPECT_THAT(import(files, options).models, SizeIs(1));
}

TEST_F(LooseImportTest, AsksForAName) {
  download("me/describer:latest");
  const auto failure = failure_of([&] { import({dir_ / "loose"}); });
  EXPECT_EQ(failure.first, TransferError::Kind::usage);
  EXPECT_THAT(failure.second, HasSubstr("--name"));
}

TEST_F(LooseImportTest, NamesWhatLacks) {
  download("me/describer:latest");
  const std::string lost = read_file(dir_ / "loose/data(1)");
  fs::remove(dir_ / "loose/data(1)");
  const auto failure =
      failure_of([&] { import({dir_ / "loose"}, {.name = ModelName::parse("me/describer")}); });
  EXPECT_EQ(failure.first, TransferError::Kind::broken);
  EXPECT_THAT(failure.second, HasSubstr(Digest::of(lost).blob_name()));
  EXPECT_THAT(failure.second, HasSubstr(std::to_string(lost.size()) + " bytes"));
}

TEST_F(ImportTest, RefusesWhatIsNoSource) {
  write_file(dir_ / "text", "hello");
  write_file(dir_ / "empty", "");
  fs::create_directory(dir_ / "folder");
  for (const char* const name : {"text", "empty", "folder"}) {
    EXPECT_EQ(failure_of([&] { import({dir_ / name}); }).first, TransferError::Kind::broken)
        << name;
  }
  EXPECT_EQ(failure_of([&] { import({dir_ / "nothing"}); }).first, TransferError::Kind::not_found);
  EXPECT_FALSE(fs::exists(target()));
}

}  // namespace
}  // namespace ollamafs::test
