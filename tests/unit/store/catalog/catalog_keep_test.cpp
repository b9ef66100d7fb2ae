// Catalog::keep and the comparison of catalogs.

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <stdexcept>
#include <string>
#include <vector>

#include "store/catalog/catalog.h"
#include "store/catalog/model_query.h"
#include "tests/support/sample_store.h"
#include "tests/support/store_builder.h"
#include "tests/support/temp_dir.h"

namespace ollamafs::test {
namespace {

namespace fs = std::filesystem;
using ::testing::ElementsAre;
using ::testing::IsEmpty;

using CatalogPtr = std::shared_ptr<const Catalog>;
using Contents = std::vector<std::string>;  // of a model's blobs

class CatalogKeepTest : public ::testing::Test {
 protected:
  void write(const std::string& name, const Contents& contents) const {
    ManifestSpec manifest;
    for (const std::string& content : contents)
      manifest.layers.push_back(store_.layer(kModelType, content));
    store_.v1(name, manifest);
  }
  [[nodiscard]] fs::path path(const std::string& name) const {
    return store_.v1_path(*ModelName::parse(name));
  }
  [[nodiscard]] fs::path blob(const std::string& content) const {
    return store_.blob_path(Digest::of(content));
  }
  // As `ollama rm` does.
  void remove(const std::string& name, const Contents& contents) const {
    fs::remove(path(name));
    for (const std::string& content : contents) fs::remove(blob(content));
  }
  [[nodiscard]] CatalogPtr read() const { return Catalog::read(dir_); }

  [[nodiscard]] static CatalogPtr keep(const CatalogPtr& now, const CatalogPtr& before,
                                       const std::vector<std::string>& names) {
    std::vector<std::uint32_t> kept;
    for (std::uint32_t i = 0; i < before->models().size(); ++i) {
      if (std::ranges::find(names, before->models()[i].shown) != names.end()) kept.push_back(i);
    }
    EXPECT_EQ(kept.size(), names.size());
    CatalogPtr result = Catalog::keep(*now, *before, kept);
    expect_sound(*result);
    return result;
  }

  // What holds of every catalog.
  static void expect_sound(const Catalog& catalog) {
    EXPECT_TRUE(std::ranges::is_sorted(catalog.models(), {}, &Model::view_name));
    EXPECT_TRUE(std::ranges::is_sorted(catalog.blobs(), std::ranges::less_equal{}, &Blob::digest));
    for (const Model& model : catalog.models()) {
      ASSERT_EQ(model.blobs.size(), model.manifest->blobs.size());
      for (std::size_t i = 0; i < model.blobs.size(); ++i)
        EXPECT_EQ(catalog.blobs()[model.blobs[i]].digest, model.manifest->blobs[i].digest);
    }
    for (std::uint32_t b = 0; b < catalog.blobs().size(); ++b) {
      std::vector<std::uint32_t> users;
      for (std::uint32_t m = 0; m < catalog.models().size(); ++m) {
        if (std::ranges::find(catalog.models()[m].blobs, b) != catalog.models()[m].blobs.end())
          users.push_back(m);
      }
      EXPECT_FALSE(users.empty()) << "a blob that nobody needs";
      EXPECT_TRUE(std::ranges::equal(catalog.users(b), users));
    }
  }

  static std::vector<std::string> shown(const CatalogPtr& catalog) {
    std::vector<std::string> names;
    for (const Model& model : catalog->models()) names.push_back(model.shown);
    return names;
  }
  static const Model& model(const CatalogPtr& catalog, const std::string& name) {
    const Model* found = find_model(*catalog, name);
    if (!found) throw std::runtime_error{"no model " + name};
    return *found;
  }
  static const Blob& blob_of(const CatalogPtr& catalog, const std::string& content) {
    const auto it = std::ranges::find(catalog->blobs(), Digest::of(content), &Blob::digest);
    if (it == catalog->blobs().end()) throw std::runtime_error{"no blob"};
    return *it;
  }

  TempDir temp_;
  StoreBuilder store_{temp_ / "models"};
  StoreDir dir_{temp_ / "models", OutsideLinks::refuse};
};

// ---- keep ----

TEST_F(CatalogKeepTest, IsWhatThereIsNowIfNothingIsKept) {
  write("a:t", {"a"});
  const auto before = read();
  remove("a:t", {"a"});
  write("b:t", {"b"});
  const auto now = read();
  EXPECT_TRUE(*keep(now, before, {}) == *now);
}

TEST_F(CatalogKeepTest, HasAModelThatIsGoneWithItsBlobs) {
  write("a:t", {"a", "shared"});
  write("b:t", {"b", "shared"});
  const auto before = read();
  remove("a:t", {"a"});
  const auto kept = keep(read(), before, {"a:t"});
  EXPECT_THAT(shown(kept), ElementsAre("a:t", "b:t"));
  EXPECT_TRUE(model(kept, "a:t").whole());
  EXPECT_EQ(blob_of(kept, "a"), blob_of(before, "a"));
  EXPECT_TRUE(*kept == *before);
}

TEST_F(CatalogKeepTest, HasTheOldVersionOfAModelThatChanged) {
  write("a:t", {"shared", "old"});
  const auto before = read();
  write("a:t", {"shared", "new"});
  fs::remove(blob("old"));
  const auto kept = keep(read(), before, {"a:t"});
  EXPECT_EQ(model(kept, "a:t"), model(before, "a:t"));
  EXPECT_EQ(blob_of(kept, "old"), blob_of(before, "old"));
  EXPECT_EQ(kept->blobs().size(), 2u) << "the new blob is of no model that is shown";
}

TEST_F(CatalogKeepTest, TakesAModelThatIsTheSameAsItIsNow) {
  write("a:t", {"a"});
  const auto before = read();
  write_file(blob("a").string() + ".new", "a");
  fs::rename(blob("a").string() + ".new", blob("a"));
  fs::last_write_time(path("a:t"), fs::file_time_type{} + std::chrono::hours{24});
  const auto now = read();
  const auto kept = keep(now, before, {"a:t"});
  EXPECT_TRUE(*kept == *now);
  EXPECT_FALSE(*kept == *before);
}

// It is the same version, but Ollama has begun to remove it.
TEST_F(CatalogKeepTest, HasAModelThatLostABlobAsItWas) {
  write("a:t", {"a", "shared"});
  const auto before = read();
  fs::remove(blob("a"));
  const auto now = read();
  ASSERT_FALSE(model(now, "a:t").whole());
  EXPECT_TRUE(*keep(now, before, {"a:t"}) == *before);
}

TEST_F(CatalogKeepTest, TakesAModelThatWasBrokenAndIsWholeNow) {
  write("a:t", {"a", "shared"});
  fs::remove(blob("a"));
  const auto before = read();
  write_file(blob("a"), "a");
  const auto now = read();
  EXPECT_TRUE(*keep(now, before, {"a:t"}) == *now);
}

TEST_F(CatalogKeepTest, LeavesOtherModelsBrokenThatMissTheBlob) {
  write("a:t", {"own", "shared"});
  write("b:t", {"shared"});
  const auto before = read();
  fs::remove(blob("shared"));
  const auto kept = keep(read(), before, {"a:t"});
  EXPECT_TRUE(model(kept, "a:t").whole());
  EXPECT_FALSE(model(kept, "b:t").whole());
  EXPECT_TRUE(blob_of(kept, "shared").good());
}

TEST_F(CatalogKeepTest, TakesABlobThatIsStillThereAsItIsNow) {
  write("a:t", {"a", "shared"});
  write("b:t", {"b", "shared"});
  const auto before = read();
  remove("a:t", {"a"});
  write_file(blob("shared").string() + ".new", "shared");
  fs::rename(blob("shared").string() + ".new", blob("shared"));
  const auto now = read();
  const auto kept = keep(now, before, {"a:t"});
  EXPECT_EQ(blob_of(kept, "shared"), blob_of(now, "shared"));
  EXPECT_NE(blob_of(kept, "shared"), blob_of(before, "shared"));
}

TEST_F(CatalogKeepTest, HasABlobAsItWasIfItHasAnotherSizeNow) {
  write("a:t", {"a"});
  const auto before = read();
  fs::resize_file(blob("a"), 0);
  EXPECT_TRUE(*keep(read(), before, {"a:t"}) == *before);
}

TEST_F(CatalogKeepTest, PutsEveryModelInItsPlace) {
  for (const char* name : {"b:t", "d:t", "f:t", "h:t"}) write(name, {name});
  const auto before = read();
  for (const char* name : {"b:t", "d:t", "h:t"}) remove(name, {name});
  for (const char* name : {"a:t", "c:t", "g:t", "i:t"}) write(name, {name});
  const auto kept = keep(read(), before, {"b:t", "d:t", "h:t"});
  EXPECT_THAT(shown(kept), ElementsAre("a:t", "b:t", "c:t", "d:t", "f:t", "g:t", "h:t", "i:t"));
}

// Two that display alike: what is kept has the name that the other has got by now.
TEST_F(CatalogKeepTest, ShowsADisplacedModelUnderItsFullName) {
  const char* const full = "registry.ollama.ai/Library/a:t";
  write("a:t", {"a"});
  write("Library/a:t", {"b"});
  const auto before = read();
  ASSERT_THAT(shown(before), ElementsAre("a:t", full));
  remove("a:t", {"a"});
  const auto now = read();
  ASSERT_THAT(shown(now), ElementsAre("a:t"));
  for (const auto& names : {std::vector<std::string>{"a:t"}, {"a:t", full}}) {
    const auto kept = keep(now, before, names);
    EXPECT_THAT(shown(kept), ElementsAre("a:t", full));
    EXPECT_EQ(model(kept, "a:t").manifest->digest, model(before, "a:t").manifest->digest);
    EXPECT_EQ(model(kept, full).manifest->digest, model(now, "a:t").manifest->digest);
    EXPECT_TRUE(*keep(now, kept, names) == *kept);
  }
}

TEST_F(CatalogKeepTest, HasAModelOfAStoreThatIsNotThere) {
  write("a:t", {"a"});
  write("b:t", {"b"});
  const auto before = read();
  const auto kept = keep(Catalog::empty(), before, {"b:t"});
  EXPECT_THAT(shown(kept), ElementsAre("b:t"));
  EXPECT_TRUE(blob_of(kept, "b").good());
}

// As long as a model is in use, each reading is compared with what is shown.
TEST_F(CatalogKeepTest, ComesToTheSameWhenItIsDoneAgain) {
  write("a:t", {"a", "shared"});
  write("b:t", {"b", "shared"});
  const auto before = read();
  remove("a:t", {"a"});
  write("b:t", {"another b", "shared"});
  write("c:t", {"c", "shared"});
  const auto now = read();
  const auto kept = keep(now, before, {"a:t", "b:t"});
  EXPECT_TRUE(*keep(now, kept, {"a:t", "b:t"}) == *kept);
  EXPECT_FALSE(*keep(now, kept, {"a:t"}) == *kept);
}

TEST_F(CatalogKeepTest, HasTheProblemsThatThereAreNow) {
  write("a:t", {"a"});
  write_file(store_.root() / "manifests/stray", "");
  const auto before = read();
  fs::remove(store_.root() / "manifests/stray");
  ASSERT_FALSE(before->problems().empty());
  EXPECT_THAT(keep(read(), before, {"a:t"})->problems(), IsEmpty());
}

// ---- comparison ----

TEST_F(CatalogKeepTest, EqualsAnotherReadingOfTheSameStore) {
  write_sample_models(store_);
  write_broken_models(store_);
  EXPECT_TRUE(*read() == *read());
  EXPECT_TRUE(*Catalog::empty() == *Catalog::empty());
  EXPECT_FALSE(*Catalog::empty() == *Catalog::gone());
  EXPECT_FALSE(*read() == *Catalog::empty());
}

struct Change {
  const char* name;
  std::function<void(const StoreBuilder&, const fs::path& tag, const fs::path& blob)> act;
};

class ChangedCatalog : public CatalogKeepTest, public ::testing::WithParamInterface<Change> {};

INSTANTIATE_TEST_SUITE_P(
    Every, ChangedCatalog,
    ::testing::Values(
        Change{"Model",
               [](auto& store, auto&, auto&) { store.v1("b:t", store.text_model(2, 10)); }},
        Change{"Version",
               [](auto& store, auto&, auto&) { store.v1("a:t", store.text_model(2, 10)); }},
        Change{"Removal", [](auto&, auto& tag, auto&) { fs::remove(tag); }},
        Change{"Name",
               [](auto&, auto& tag, auto&) { fs::rename(tag, tag.parent_path() / "other"); }},
        Change{"Time",
               [](auto&, auto& tag, auto&) {
                 fs::last_write_time(tag, fs::file_time_type::clock::now() + std::chrono::hours{1});
               }},
        Change{"Owner", [](auto&, auto& tag, auto&) { EXPECT_EQ(::chown(tag.c_str(), 12, 0), 0); }},
        Change{"Group", [](auto&, auto& tag, auto&) { EXPECT_EQ(::chown(tag.c_str(), 0, 12), 0); }},
        Change{"Blob", [](auto&, auto&, auto& blob) { fs::remove(blob); }},
        Change{"BlobSize", [](auto&, auto&, auto& blob) { fs::resize_file(blob, 0); }},
        Change{"BlobFile",
               [](auto&, auto&, auto& blob) {
                 write_file(blob.string() + ".new", read_file(blob));
                 fs::rename(blob.string() + ".new", blob);
               }},
        Change{"BlobOwner",
               [](auto&, auto&, auto& blob) { EXPECT_EQ(::chown(blob.c_str(), 12, 0), 0); }},
        Change{"Problem",
               [](auto& store, auto&, auto&) { write_file(store.root() / "manifests/stray", ""); }},
        Change{"Tree",
               [](auto& store, auto& tag, auto&) {
                 store.v2_bytes("a:t", read_file(tag));
                 fs::remove(tag);
               }}),
    [](const auto& test) { return std::string{test.param.name}; });

TEST_P(ChangedCatalog, EqualsNoOther) {
  write("a:t", {"a", "another"});
  const auto before = read();
  GetParam().act(store_, path("a:t"), blob("a"));
  EXPECT_FALSE(*read() == *before);
}

}  // namespace
}  // namespace ollamafs::test
