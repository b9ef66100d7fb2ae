#include "store/catalog/store_scanner.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <algorithm>
#include <chrono>
#include <filesystem>
#include <functional>
#include <iterator>
#include <memory>
#include <string>
#include <system_error>
#include <vector>

#include "store/catalog/model_query.h"
#include "tests/support/inotify_watches.h"
#include "tests/support/process.h"
#include "tests/support/store_builder.h"
#include "tests/support/temp_dir.h"

namespace ollamafs::test {
namespace {

namespace fs = std::filesystem;
using namespace std::chrono_literals;
using ::testing::ElementsAre;
using ::testing::IsEmpty;

using CatalogPtr = std::shared_ptr<const Catalog>;

// Everything that a change needs to know of the store.
struct Place {
  fs::path parent, store, v1, v2, blob;
  std::string json;  // another version, whose blobs are there, and the manifest's own too
};

class StoreScannerTest : public ::testing::Test {
 protected:
  StoreScannerTest() {
    builder_.v1("one:t", builder_.text_model(1, 100));
    builder_.v2("two:t", builder_.text_model(2, 100));
    const std::string json = builder_.text_model(3, 10).json();
    write_file(builder_.blob_path(Digest::of(json)), json);
    const auto weights = builder_.layer(kModelType, "GGUF" + random_bytes(1, 100));
    at_ = {temp_ / "parent",
           builder_.root(),
           builder_.v1_path(*ModelName::parse("one:t")),
           builder_.v2_path(*ModelName::parse("two:t")),
           builder_.blob_path(Digest::parse(weights.digest).value()),
           json};
  }

  static std::vector<std::string> shown(const CatalogPtr& catalog) {
    std::vector<std::string> names;
    for (const Model& model : catalog->models()) names.push_back(model.shown);
    return names;
  }

  TempDir temp_;
  StoreBuilder builder_{temp_ / "parent/models"};
  Place at_;
};

// ---- that a change is seen ----

struct Step {
  const char* name;
  std::function<void(const Place&)> act;
};

class SeenChange : public StoreScannerTest, public ::testing::WithParamInterface<Step> {};

void replace(const fs::path& path, const std::string& bytes) {
  write_file(path.parent_path() / "new", bytes);
  fs::rename(path.parent_path() / "new", path);
}

INSTANTIATE_TEST_SUITE_P(
    Every, SeenChange,
    ::testing::Values(
        Step{"ManifestCreated",
             [](const Place& at) { write_file(at.v1.parent_path() / "fresh", read_file(at.v1)); }},
        Step{"ManifestWrittenInPlace",
             [](const Place& at) {
               write_file(at.v1, at.json);
             }},
        Step{"ManifestReplaced",
             [](const Place& at) { replace(at.v1, at.json); }},
        Step{"ManifestRenamed",
             [](const Place& at) { fs::rename(at.v1, at.v1.parent_path() / "renamed"); }},
        Step{"ManifestRemoved", [](const Place& at) { fs::remove(at.v1); }},
        Step{"ManifestMode",
             [](const Place& at) { fs::permissions(at.v1, fs::perms::owner_read); }},
        Step{"ManifestTime",
             [](const Place& at) { fs::last_write_time(at.v1, fs::file_time_type{}); }},
        Step{"LinkSwapped",
             [](const Place& at) {
               const Digest digest = Digest::of(at.json);
               fs::create_symlink("../../../../blobs/" + digest.blob_name(),
                                  at.v2.parent_path() / "new");
               fs::rename(at.v2.parent_path() / "new", at.v2);
             }},
        Step{"LinkRemoved", [](const Place& at) { fs::remove(at.v2); }},
        Step{"BlobRemoved", [](const Place& at) { fs::remove(at.blob); }},
        Step{"BlobReplaced", [](const Place& at) { replace(at.blob, "x"); }},
        Step{"BlobCutShort", [](const Place& at) { fs::resize_file(at.blob, 1); }},
        Step{"BlobWrittenInPlace", [](const Place& at) { write_file(at.blob, "x"); }},
        Step{"BlobMode", [](const Place& at) { fs::permissions(at.blob, fs::perms::none); }},
        Step{"BlobMovedAway",
             [](const Place& at) { fs::rename(at.blob, at.parent / at.blob.filename()); }},
        Step{"NewModelFolder",
             [](const Place& at) {
               write_file(at.v1.parent_path().parent_path() / "m/t", read_file(at.v1));
             }},
        Step{"NewNamespaceFolder",
             [](const Place& at) {
               write_file(at.store / "manifests/registry.ollama.ai/n/m/t", read_file(at.v1));
             }},
        Step{"NewHostFolder",
             [](const Place& at) { write_file(at.store / "manifests/h/n/m/t", read_file(at.v1)); }},
        Step{"ModelFolderRemoved",
             [](const Place& at) { fs::remove_all(at.v1.parent_path()); }},
        Step{"HostFolderMode",
             [](const Place& at) {
               fs::permissions(at.store / "manifests/registry.ollama.ai", fs::perms::owner_all);
             }},
        Step{"TreeMode",
             [](const Place& at) {
               fs::permissions(at.store / "manifests", fs::perms::owner_all);
             }},
        Step{"TreeRemoved", [](const Place& at) { fs::remove_all(at.store / "manifests"); }},
        Step{"NewerTreeRemoved", [](const Place& at) { fs::remove_all(at.store / "manifests-v2"); }},
        Step{"TreeReplaced",
             [](const Place& at) {
               fs::rename(at.store / "manifests", at.parent / "old");
               write_file(at.store / "manifests/h/n/m/t", read_file(at.parent / "old" /
                                                  fs::relative(at.v1, at.store / "manifests")));
             }},
        Step{"BlobsRemoved", [](const Place& at) { fs::remove_all(at.store / "blobs"); }},
        Step{"BlobsReplacedByALink",
             [](const Place& at) {
               fs::create_directory(at.store / "elsewhere");
               fs::rename(at.store / "blobs", at.store / "old");
               fs::create_symlink("elsewhere", at.store / "blobs");
             }},
        Step{"StoreRenamed",
             [](const Place& at) { fs::rename(at.store, at.parent / "renamed"); }},
        Step{"StoreReplaced",
             [](const Place& at) {
               fs::rename(at.store, at.parent / "old");
               fs::create_directories(at.store / "manifests");
             }},
        Step{"StoreRemoved", [](const Place& at) { fs::remove_all(at.store); }},
        Step{"ParentRenamed",
             [](const Place& at) { fs::rename(at.parent, at.parent.parent_path() / "p2"); }}),
    [](const auto& test) { return std::string{test.param.name}; });

TEST_P(SeenChange, IsSeenAndThenRead) {
  StoreDir store{builder_.root(), OutsideLinks::refuse};
  StoreScanner scanner{store, true};
  const auto before = scanner.scan();
  ASSERT_THAT(shown(before), ElementsAre("one:t", "two:t"));
  ASSERT_FALSE(scanner.watch()->has_changed());
  GetParam().act(at_);
  EXPECT_TRUE(scanner.watch()->has_changed());
  const auto now = scanner.scan();
  // The same as is read without having read it before.
  if (fs::exists(builder_.root())) {
    EXPECT_TRUE(*now == *Catalog::read(StoreDir{builder_.root(), OutsideLinks::refuse}));
  } else {
    EXPECT_TRUE(*now == *Catalog::gone());
  }
  (void)scanner.watch()->has_changed();  // what reading it has left behind
  EXPECT_TRUE(*scanner.scan() == *now);
  EXPECT_FALSE(scanner.watch()->has_changed());
}

TEST_F(StoreScannerTest, SeesNothingOfWhatDoesNotMatter) {
  StoreDir store{builder_.root(), OutsideLinks::refuse};
  StoreScanner scanner{store, true};
  (void)scanner.scan();
  const std::string blob = Digest::of("x").blob_name();
  for (const std::string& name :
       {blob + "-partial", blob + "-partial-3", std::string{"sha256-abc"}}) {
    write_file(at_.store / "blobs" / name, "x");
    fs::remove(at_.store / "blobs" / name);
  }
  write_file(at_.v1.parent_path() / ".manifest-123", "x");
  fs::remove(at_.v1.parent_path() / ".manifest-123");
  write_file(at_.store / "history", "x");
  write_file(at_.parent / "another", "x");
  (void)read_file(at_.v1);
  EXPECT_FALSE(scanner.watch()->has_changed());
}

// A store grows as a pull makes it grow: a folder, and at once what is in it.
TEST_F(StoreScannerTest, SeesAFolderAndWhatCameIntoItAtOnce) {
  StoreDir store{builder_.root(), OutsideLinks::refuse};
  StoreScanner scanner{store, true};
  (void)scanner.scan();
  for (int i = 0; i < 50; ++i) {
    builder_.v1_bytes("h" + std::to_string(i) + ".org/n/m:t", at_.json);
    ASSERT_TRUE(scanner.watch()->has_changed());
    (void)scanner.scan();
    (void)scanner.watch()->has_changed();
    builder_.v1_bytes("h" + std::to_string(i) + ".org/n/m:u", at_.json);
    ASSERT_TRUE(scanner.watch()->has_changed()) << "the new folder is watched";
  }
  EXPECT_EQ(scanner.scan()->models().size(), 102u);
}

// ---- the path ----

TEST_F(StoreScannerTest, FollowsAPathThatIsALink) {
  StoreBuilder other{temp_ / "other"};
  other.v1("else:t", other.text_model(1, 100));
  fs::create_directory_symlink(builder_.root(), temp_ / "link");
  StoreDir store{temp_ / "link", OutsideLinks::refuse};
  StoreScanner scanner{store, true};
  EXPECT_THAT(shown(scanner.scan()), ElementsAre("one:t", "two:t"));
  fs::create_directory_symlink(other.root(), temp_ / "new");
  fs::rename(temp_ / "new", temp_ / "link");
  EXPECT_TRUE(scanner.watch()->has_changed());
  EXPECT_THAT(shown(scanner.scan()), ElementsAre("else:t"));
  fs::rename(temp_ / "other", temp_ / "moved");
  EXPECT_TRUE(scanner.watch()->has_changed()) << "what the link leads to matters too";
  EXPECT_THAT(shown(scanner.scan()), IsEmpty());
}

TEST_F(StoreScannerTest, FollowsALinkThatLeadsToALink) {
  StoreBuilder other{temp_ / "other"};
  other.v1("else:t", other.text_model(1, 100));
  fs::create_directory(temp_ / "between");
  fs::create_directory_symlink("../parent/models", temp_ / "between/second");
  fs::create_directory_symlink("between/second", temp_ / "first");
  StoreDir store{temp_ / "first", OutsideLinks::refuse};
  StoreScanner scanner{store, true};
  EXPECT_THAT(shown(scanner.scan()), ElementsAre("one:t", "two:t"));
  fs::create_directory_symlink(other.root(), temp_ / "between/new");
  fs::rename(temp_ / "between/new", temp_ / "between/second");
  EXPECT_TRUE(scanner.watch()->has_changed());
  EXPECT_THAT(shown(scanner.scan()), ElementsAre("else:t"));
}

TEST_F(StoreScannerTest, TakesAMissingPathForAStoreThatIsGoneUntilItIsBack) {
  StoreDir store{builder_.root(), OutsideLinks::refuse};
  StoreScanner scanner{store, true};
  const auto before = scanner.scan();
  for (const fs::path& moved : {builder_.root(), builder_.root().parent_path()}) {
    fs::rename(moved, temp_ / "away");
    EXPECT_TRUE(scanner.watch()->has_changed()) << moved;
    EXPECT_TRUE(*scanner.scan() == *Catalog::gone());
    fs::rename(temp_ / "away", moved);
    EXPECT_TRUE(scanner.watch()->has_changed()) << moved;
    EXPECT_TRUE(*scanner.scan() == *before);
  }
}

TEST_F(StoreScannerTest, WatchesAPathThatIsMadeStepByStep) {
  StoreDir store{builder_.root(), OutsideLinks::refuse};
  StoreScanner scanner{store, true};
  const auto before = scanner.scan();
  fs::rename(temp_ / "parent", temp_ / "away");
  EXPECT_TRUE(*scanner.scan() == *Catalog::gone());
  (void)scanner.watch()->has_changed();
  fs::create_directory(temp_ / "parent");
  EXPECT_TRUE(scanner.watch()->has_changed());
  EXPECT_TRUE(*scanner.scan() == *Catalog::gone());
  fs::rename(temp_ / "away/models", temp_ / "parent/models");
  EXPECT_TRUE(scanner.watch()->has_changed());
  EXPECT_TRUE(*scanner.scan() == *before);
}

TEST_F(StoreScannerTest, TakesAFileInThePlaceOfTheStoreForAMissingOne) {
  StoreDir store{builder_.root(), OutsideLinks::refuse};
  StoreScanner scanner{store, false};
  EXPECT_EQ(scanner.watch(), nullptr);
  EXPECT_THAT(shown(scanner.scan()), ElementsAre("one:t", "two:t"));
  fs::rename(builder_.root(), temp_ / "away");
  write_file(builder_.root(), "");
  EXPECT_TRUE(*scanner.scan() == *Catalog::gone());
}

// As of a disk that is unmounted: what is left at the path is the directory it was mounted on.
TEST_F(StoreScannerTest, TakesAFolderOfOtherThingsForAStoreThatIsGone) {
  StoreDir store{builder_.root(), OutsideLinks::refuse};
  StoreScanner scanner{store, true};
  const auto before = scanner.scan();
  fs::rename(builder_.root(), temp_ / "away");
  write_file(builder_.root() / "lost+found/x", "");
  EXPECT_TRUE(*scanner.scan() == *Catalog::gone());
  fs::remove_all(builder_.root());
  fs::rename(temp_ / "away", builder_.root());
  EXPECT_TRUE(*scanner.scan() == *before);
}

TEST_F(StoreScannerTest, TakesAFolderThatIsALinkToNowhereForAStoreThatIsGone) {
  for (const char* const folder : {"manifests", "manifests-v2", "blobs"}) {
    SCOPED_TRACE(folder);
    const fs::path path = builder_.root() / folder;
    StoreDir store{builder_.root(), OutsideLinks::follow};
    StoreScanner scanner{store, true};
    fs::rename(path, temp_ / "disk");
    fs::create_directory_symlink(temp_ / "disk", path);
    EXPECT_FALSE(scanner.scan()->is_gone());
    fs::rename(temp_ / "disk", temp_ / "unmounted");
    EXPECT_TRUE(*scanner.scan() == *Catalog::gone());
    fs::remove(path);
    fs::rename(temp_ / "unmounted", path);
    EXPECT_FALSE(scanner.scan()->is_gone());
  }
}

TEST_F(StoreScannerTest, TakesAStoreWithOneOfItsFoldersForAnEmptyOne) {
  for (const char* const folder : {"manifests", "manifests-v2", "blobs"}) {
    fs::remove_all(builder_.root());
    fs::create_directories(builder_.root() / folder);
    StoreDir store{builder_.root(), OutsideLinks::refuse};
    StoreScanner scanner{store, false};
    EXPECT_TRUE(*scanner.scan() == *Catalog::empty()) << folder;
  }
}

TEST_F(StoreScannerTest, ThrowsIfThePathCannotBeOpened) {
  StoreDir store{builder_.root(), OutsideLinks::refuse};
  StoreScanner scanner{store, true};
  const auto before = scanner.scan();
  fs::rename(builder_.root(), temp_ / "away");
  fs::create_symlink("models", builder_.root());  // leads to itself
  EXPECT_THROW((void)scanner.scan(), std::system_error);
  fs::remove(builder_.root());
  fs::rename(temp_ / "away", builder_.root());
  EXPECT_TRUE(*scanner.scan() == *before);
  (void)scanner.watch()->has_changed();
  fs::remove(at_.v1);
  EXPECT_TRUE(scanner.watch()->has_changed()) << "it is watched again";
}

// ---- manifests that are being written ----

TEST_F(StoreScannerTest, KeepsTheVersionOfAManifestThatIsBeingWritten) {
  StoreDir store{builder_.root(), OutsideLinks::refuse};
  StoreScanner scanner{store, true};
  const fs::path tag = at_.v1;
  fs::last_write_time(tag, fs::file_time_type::clock::now() - 1h);
  const auto before = scanner.scan();
  EXPECT_FALSE(scanner.is_unsettled());
  const std::string& json = at_.json;
  for (const std::size_t written : {std::size_t{0}, json.size() / 2, json.size() - 1}) {
    write_file(tag, json.substr(0, written));
    EXPECT_TRUE(*scanner.scan() == *before) << written;
    EXPECT_TRUE(scanner.is_unsettled());
  }
  write_file(tag, json);
  const auto now = scanner.scan();
  EXPECT_EQ(find_model(*now, "one:t")->manifest->bytes, json);
  EXPECT_FALSE(scanner.is_unsettled());
}

TEST_F(StoreScannerTest, WaitsForTheManifestOfANewModel) {
  StoreDir store{builder_.root(), OutsideLinks::refuse};
  StoreScanner scanner{store, false};
  const auto before = scanner.scan();
  const fs::path tag = at_.v1.parent_path() / "fresh";
  write_file(tag, "{\"schema");
  EXPECT_TRUE(*scanner.scan() == *before) << "neither a model nor a problem";
  EXPECT_TRUE(scanner.is_unsettled());
  write_file(tag, read_file(at_.v1));
  EXPECT_THAT(shown(scanner.scan()), ElementsAre("one:fresh", "one:t", "two:t"));
  EXPECT_FALSE(scanner.is_unsettled());
}

TEST_F(StoreScannerTest, SaysInTheEndThatAFileIsNoManifest) {
  StoreDir store{builder_.root(), OutsideLinks::refuse};
  StoreScanner scanner{store, false};
  (void)scanner.scan();
  write_file(at_.v1, "nonsense");
  EXPECT_THAT(shown(scanner.scan()), ElementsAre("one:t", "two:t"));
  fs::last_write_time(at_.v1, fs::file_time_type::clock::now() - 1min);
  const auto now = scanner.scan();
  EXPECT_THAT(shown(now), ElementsAre("two:t"));
  EXPECT_EQ(now->problems().size(), 1u);
  EXPECT_FALSE(scanner.is_unsettled());
}

// ---- what it takes ----

TEST_F(StoreScannerTest, WatchesNoMoreAfterManyChanges) {
  StoreDir store{builder_.root(), OutsideLinks::refuse};
  StoreScanner scanner{store, true};
  const ManifestSpec manifest = builder_.text_model(1, 100);
  (void)scanner.scan();
  const auto before = inotify_watches();
  EXPECT_GT(before, 8);
  for (int i = 0; i < 500; ++i) {  // two each
    const std::string name = "host" + std::to_string(i % 7) + ".org/n/m" + std::to_string(i) + ":t";
    builder_.v1(name, manifest);
    ASSERT_TRUE(scanner.watch()->has_changed());
    ASSERT_EQ(scanner.scan()->models().size(), 3u);
    ASSERT_EQ(inotify_watches(), before + 3);
    fs::remove_all(builder_.root() / "manifests" / ("host" + std::to_string(i % 7) + ".org"));
    ASSERT_TRUE(scanner.watch()->has_changed());
    ASSERT_EQ(scanner.scan()->models().size(), 2u);
  }
  EXPECT_EQ(inotify_watches(), before);
}

}  // namespace
}  // namespace ollamafs::test
