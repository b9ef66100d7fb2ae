#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdint>
#include <filesystem>
#include <memory>
#include <stdexcept>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "src/say/human.h"
#include "store/catalog/catalog.h"
#include "store/catalog/model_query.h"
#include "store/model/manifest.h"
#include "tests/support/fault_texts.h"
#include "tests/support/store_builder.h"
#include "tests/support/temp_dir.h"

namespace ollamafs::test {
namespace {

namespace fs = std::filesystem;

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;

constexpr const char* kName = "gemma3:4b";

// A manifest of docs/store-format.md §12.5, byte for byte.
std::string sample(std::string_view name) {
  return read_file(fs::path{OLLAMAFS_FIXTURES} / "samples" / name);
}

// ---- what a list says ----

constexpr std::string_view kListHead =
    R"({"schemaVersion":2,"mediaType":"application/vnd.ollama.manifest.list.v2+json","manifests":[)";

ManifestList parsed(std::string_view json) {
  return std::get<ManifestList>(parse_manifest(json));
}

TEST(ManifestList, NamesItsChildrenInOrder) {
  const ManifestList read =
      parsed(std::string{kListHead} +
             R"({"mediaType":"m","digest":"sha256:aa","runner":"llamacpp","format":"gguf"},)"
             R"({"MediaType":"m","Digest":"sha256-BB","Runner":"mlx"},{}]})");
  EXPECT_EQ(read.media_type, kManifestListType);
  ASSERT_THAT(read.entries, SizeIs(3));
  EXPECT_EQ(read.entries[0].digest, "sha256:aa");
  EXPECT_EQ(read.entries[0].runner, "llamacpp");
  EXPECT_EQ(read.entries[0].media_type, "m");
  EXPECT_EQ(read.entries[1].digest, "sha256-BB");
  EXPECT_EQ(read.entries[1].runner, "mlx");
  EXPECT_EQ(read.entries[2].digest, "");
  for (const ListEntry& entry : read.entries) EXPECT_EQ(entry.inline_json, "");
}

TEST(ManifestList, IsKnownByItsMediaTypeOrByHavingNothingElse) {
  EXPECT_THAT(parsed(R"({"manifests":[{"digest":"d"}]})").entries, SizeIs(1));
  EXPECT_THAT(parsed(std::string{kListHead} + R"(],"layers":[]})").entries, IsEmpty());
  // A manifest with a field of that name is a manifest.
  EXPECT_TRUE(std::holds_alternative<Manifest>(
      parse_manifest(R"({"manifests":[{"digest":"d"}],"layers":[]})")));
}

TEST(ManifestList, TakesTheLastOfRepeatedKeys) {
  const ManifestList read =
      parsed(R"({"manifests":[{"digest":"a"},{"digest":"b"}],"manifests":[{"digest":"c"}]})");
  ASSERT_THAT(read.entries, SizeIs(1));
  EXPECT_EQ(read.entries[0].digest, "c");
}

// ---- what becomes of it ----

// The model that is shown under this name.
const Model& find(const Catalog& catalog, std::string_view shown) {
  const Model* model = find_model(catalog, shown);
  if (!model) throw std::runtime_error{"no model " + std::string{shown}};
  return *model;
}

// A store with one model, which is a list.
class ListManifest : public ::testing::Test {
 protected:
  [[nodiscard]] std::shared_ptr<const Catalog> read() const {
    return Catalog::read(StoreDir{store_.root(), OutsideLinks::refuse});
  }

  // A child whose blobs are in the store: a model of its own weights.
  [[nodiscard]] ManifestSpec child(const std::string& runner, std::uint64_t seed) const {
    ManifestSpec spec = store_.text_model(seed, 100);
    spec.runner = runner;
    spec.format = "gguf";
    return spec;
  }
  // As if the child had been pulled.
  StoreBuilder::Child pulled(const ManifestSpec& spec) const {
    const std::string json = spec.json();
    write_file(store_.blob_path(Digest::of(json)), json);
    return {Digest::of(json), spec.runner, spec.format};
  }
  static StoreBuilder::Child never_pulled(const std::string& runner) {
    return {Digest::of("never pulled " + runner), runner, "gguf"};
  }
  Digest write_list(const std::vector<StoreBuilder::Child>& children) const {
    return store_.v2_bytes(kName, StoreBuilder::list_json(children));
  }
  // The list with this text between its brackets.
  Digest write_entries(const std::string& entries) const {
    return store_.v2_bytes(kName, R"({"schemaVersion":2,"mediaType":")" +
                                      std::string{kManifestListType} + R"(","manifests":[)" +
                                      entries + "]}");
  }
  void remove_weights(const ManifestSpec& spec) const {
    fs::remove(store_.blob_path(*Digest::parse(spec.layers[0].digest)));
  }

  // The bytes of the child that the one model of the store shows; it must be whole.
  [[nodiscard]] std::string chosen() const {
    const auto catalog = read();
    EXPECT_THAT(catalog->models(), SizeIs(1));
    const Model& model = find(*catalog, kName);
    EXPECT_THAT(texts(model.faults), IsEmpty());
    EXPECT_EQ(model.manifest->digest, Digest::of(model.manifest->bytes));
    return model.manifest->bytes;
  }

  TempDir dir_;
  StoreBuilder store_{dir_ / "models"};
};

void make_sparse(const fs::path& path, std::uint64_t size) {
  write_file(path, "");
  fs::resize_file(path, size);
}

// ---- the sample of docs/store-format.md §12.5 ----

TEST_F(ListManifest, IsShownAsItsChild) {
  const std::string child_json = sample("list-child.json");
  const auto child = std::get<Manifest>(parse_manifest(child_json));
  write_file(store_.blob_path(Digest::of(child_json)), child_json);
  for (const Layer& layer : child.layers) {
    make_sparse(store_.blob_path(*Digest::parse(layer.digest)),
                static_cast<std::uint64_t>(layer.size));
  }
  make_sparse(store_.blob_path(*Digest::parse(child.config.digest)), 486);
  const Digest list = store_.v2_bytes("llama3.2:3b", sample("list.json"));
  store_.v1_bytes("llama3.2:3b", sample("list-anchor.json"));
  store_.v1_bytes("llamacpp:" + Digest::of(child_json).hex(), child_json);
  ASSERT_EQ(fs::read_symlink(store_.root() / "manifests-v2/ollama.com/library/llama3.2/3b"),
            "../../../../blobs/" + list.blob_name());

  const auto catalog = read();
  EXPECT_THAT(catalog->problems(), IsEmpty());
  ASSERT_THAT(catalog->models(), SizeIs(1));  // neither the anchor nor the shadow tag
  const Model& model = catalog->models()[0];
  EXPECT_EQ(model.shown, "llama3.2:3b");
  EXPECT_EQ(model.name.v1_path(), "registry.ollama.ai/library/llama3.2/3b");
  EXPECT_TRUE(model.whole());
  EXPECT_EQ(model.manifest->bytes, child_json);
  EXPECT_EQ(model.manifest->digest.id(), "564173d7643e");
  EXPECT_EQ(human_size(model.manifest->listed_size), "2.0 GB");
  EXPECT_THAT(catalog->blobs(), SizeIs(5));  // no manifest is among them
}

// ---- which child ----

// ggml is what every version can load, llamacpp what 0.40 makes of it (docs/store-format.md §3.4).
TEST_F(ListManifest, PrefersTheOriginalThenTheConvertedThenMlx) {
  const ManifestSpec ggml = child("ggml", 1), llamacpp = child("llamacpp", 2),
                     mlx = child("mlx", 3);
  write_list({pulled(llamacpp), pulled(ggml), pulled(mlx)});
  EXPECT_EQ(chosen(), ggml.json());
  write_list({pulled(mlx), pulled(llamacpp)});
  EXPECT_EQ(chosen(), llamacpp.json());
  write_list({pulled(mlx)});
  EXPECT_EQ(chosen(), mlx.json());
}

TEST_F(ListManifest, TakesTheFirstOfTwoOfOneKind) {
  const ManifestSpec one = child("ggml", 1), other = child("ggml", 2);
  write_list({pulled(one), pulled(other)});
  EXPECT_EQ(chosen(), one.json());
  write_list({pulled(other), pulled(one)});
  EXPECT_EQ(chosen(), other.json());
}

TEST_F(ListManifest, TakesAnUnknownKindLast) {
  const ManifestSpec unknown = child("quantum", 1), mlx = child("mlx", 2);
  write_list({pulled(unknown), pulled(mlx)});
  EXPECT_EQ(chosen(), mlx.json());
  write_list({pulled(unknown), never_pulled("mlx")});
  EXPECT_EQ(chosen(), unknown.json());
}

TEST_F(ListManifest, AsksTheChildWhereTheListDoesNotSayItsKind) {
  const ManifestSpec ggml = child("ggml", 1), llamacpp = child("llamacpp", 2);
  StoreBuilder::Child unsaid = pulled(ggml);
  unsaid.runner = "";
  write_list({pulled(llamacpp), unsaid});
  EXPECT_EQ(chosen(), ggml.json());
}

// A pull fetches one child only; the list still names the others.
TEST_F(ListManifest, MayNameChildrenThatWereNeverPulled) {
  const ManifestSpec mlx = child("mlx", 1);
  write_list({never_pulled("ggml"), never_pulled("llamacpp"), pulled(mlx)});
  EXPECT_EQ(chosen(), mlx.json());
  EXPECT_THAT(read()->problems(), IsEmpty());
}

TEST_F(ListManifest, PassesOverAChildThatLacksABlob) {
  const ManifestSpec ggml = child("ggml", 1), llamacpp = child("llamacpp", 2);
  write_list({pulled(ggml), pulled(llamacpp)});
  remove_weights(ggml);
  EXPECT_EQ(chosen(), llamacpp.json());
  // What only the other child needs is nothing that anybody is shown.
  const auto catalog = read();
  EXPECT_THAT(catalog->blobs(), SizeIs(4));
  for (const Blob& blob : catalog->blobs()) EXPECT_TRUE(blob.good());
}

TEST_F(ListManifest, PassesOverAChildWithABlobOfAnotherSize) {
  const ManifestSpec ggml = child("ggml", 1), llamacpp = child("llamacpp", 2);
  write_list({pulled(ggml), pulled(llamacpp)});
  fs::resize_file(store_.blob_path(*Digest::parse(ggml.layers[0].digest)), 50);
  EXPECT_EQ(chosen(), llamacpp.json());
}

TEST_F(ListManifest, PassesOverAChildThatIsDamaged) {
  const ManifestSpec ggml = child("ggml", 1), llamacpp = child("llamacpp", 2);
  write_list({pulled(ggml), pulled(llamacpp)});
  write_file(store_.blob_path(Digest::of(ggml.json())), child("ggml", 3).json());
  EXPECT_EQ(chosen(), llamacpp.json());
}

TEST_F(ListManifest, PassesOverAChildWhoseDigestIsNone) {
  const ManifestSpec mlx = child("mlx", 1);
  write_file(store_.root() / "evil", child("ggml", 2).json());
  write_entries(R"({"digest":"sha256:../../evil","runner":"ggml"},{"runner":"ggml"},)"
                R"({"digest":")" +
                pulled(mlx).digest.to_string() + R"(","runner":"mlx"})");
  EXPECT_EQ(chosen(), mlx.json());
}

TEST_F(ListManifest, DoesNotNest) {
  const ManifestSpec inner = child("ggml", 1), outer = child("mlx", 2);
  const std::string list = StoreBuilder::list_json({pulled(inner)});
  write_file(store_.blob_path(Digest::of(list)), list);
  write_list({{Digest::of(list), "ggml", "gguf"}, pulled(outer)});
  EXPECT_EQ(chosen(), outer.json());
  write_entries(list + R"(,{"digest":")" + pulled(outer).digest.to_string() + "\"}");
  EXPECT_EQ(chosen(), outer.json());
}

// ---- inline children ----

// Copied out of the list byte for byte: their hash is the ID that the target shows.
TEST_F(ListManifest, MayHoldAChildItself) {
  // Braces in strings, a list that is none, bytes that are not UTF-8, blanks: all of it counts.
  std::string inline_json = child("ggml", 1).json();
  inline_json.insert(
      1, " \"x\":{\"manifests\":[{}],\"y\":\"}]\\\"{\"},\"z\":\"caf\xE9\\u00e9\",\r\n\t");
  inline_json.insert(inline_json.size() - 1, " ");
  write_entries("\n  " + inline_json + "\n");
  EXPECT_EQ(chosen(), inline_json);
}

TEST_F(ListManifest, MayHoldAChildThatHasNoConfig) {
  ManifestSpec bare = child("ggml", 1);
  bare.config.reset();
  write_entries(bare.json());
  EXPECT_EQ(chosen(), bare.json());
}

TEST_F(ListManifest, WeighsInlineChildrenLikeTheOthers) {
  const ManifestSpec ggml = child("ggml", 1), llamacpp = child("llamacpp", 2);
  const std::string reference =
      R"({"digest":")" + pulled(llamacpp).digest.to_string() + R"(","runner":"llamacpp"})";
  write_entries(reference + "," + ggml.json());
  EXPECT_EQ(chosen(), ggml.json());
  remove_weights(ggml);
  EXPECT_EQ(chosen(), llamacpp.json());
}

// ---- when no child is complete ----

TEST_F(ListManifest, IsBrokenWithTheFaultsOfTheChildItWouldTake) {
  const ManifestSpec ggml = child("ggml", 1), llamacpp = child("llamacpp", 2);
  write_list({pulled(llamacpp), pulled(ggml)});
  remove_weights(ggml);
  remove_weights(llamacpp);
  const auto catalog = read();
  const Model& model = find(*catalog, kName);
  EXPECT_THAT(texts(model.faults),
              ElementsAre(AllOf(HasSubstr(Digest::parse(ggml.layers[0].digest)->blob_name()),
                                HasSubstr("is missing"))));
  EXPECT_EQ(model.manifest->bytes, ggml.json());
}

TEST_F(ListManifest, IsBrokenIfNoChildIsHere) {
  const Digest list = write_list({never_pulled("ggml"), never_pulled("mlx")});
  const auto catalog = read();
  const Model& model = find(*catalog, kName);
  EXPECT_THAT(texts(model.faults), ElementsAre(HasSubstr("none of the 2 manifests")));
  EXPECT_EQ(model.manifest->digest, list);
  write_entries("");
  EXPECT_FALSE(find(*read(), kName).whole());
}

// It is in the store, but it cannot be had: whoever repairs it must hear which file and why.
TEST_F(ListManifest, SaysWhichChildIsDamaged) {
  const ManifestSpec only = child("ggml", 1);
  write_list({pulled(only), never_pulled("mlx")});
  const Digest digest = Digest::of(only.json());
  write_file(store_.blob_path(digest), "{}");
  const auto catalog = read();
  EXPECT_THAT(texts(find(*catalog, kName).faults),
              ElementsAre(AllOf(HasSubstr(digest.blob_name()), HasSubstr("SHA-256"))));
}

// The list is there, so Ollama does not look into the older tree.
TEST_F(ListManifest, DoesNotGiveWayToItsAnchorIfNoChildIsComplete) {
  write_list({never_pulled("ggml")});
  store_.v1(kName, child("ggml", 1));
  const auto catalog = read();
  ASSERT_THAT(catalog->models(), SizeIs(1));
  EXPECT_FALSE(find(*catalog, kName).whole());
  EXPECT_THAT(find(*catalog, kName).tag_path, HasSubstr("manifests-v2/"));
}

// ---- when the list's own blob is gone ----

TEST_F(ListManifest, GivesWayToTheOlderTreeIfItIsGone) {
  const ManifestSpec old = child("ggml", 1);
  fs::remove(store_.blob_path(write_list({pulled(child("llamacpp", 2))})));
  store_.v1(kName, old);
  EXPECT_EQ(chosen(), old.json());
  const auto catalog = read();
  EXPECT_EQ(find(*catalog, kName).tag_path, "manifests/registry.ollama.ai/library/gemma3/4b");
  ASSERT_THAT(catalog->problems(), SizeIs(1));
  EXPECT_EQ(catalog->problems()[0].path, "manifests-v2/ollama.com/library/gemma3/4b");
  EXPECT_THAT(catalog->problems()[0].text, AllOf(HasSubstr("passed over"), HasSubstr("missing")));
}

// An anchor names the list's blob too, and a model is whole only with every blob it names.
TEST_F(ListManifest, LeavesABrokenAnchorIfItIsGone) {
  const ManifestSpec only = child("llamacpp", 1);
  const Digest list = write_list({pulled(only)});
  ManifestSpec anchor = only;
  anchor.layers.push_back({kListType, list.to_string(), 200});
  store_.v1(kName, anchor);
  fs::remove(store_.blob_path(list));
  const auto catalog = read();
  ASSERT_THAT(catalog->models(), SizeIs(1));
  EXPECT_THAT(texts(find(*catalog, kName).faults),
              ElementsAre(AllOf(HasSubstr(list.blob_name()), HasSubstr("missing"))));
}

TEST_F(ListManifest, IsABrokenModelIfItIsGoneAndNothingElseIsThere) {
  const Digest list = write_list({pulled(child("ggml", 1))});
  fs::remove(store_.blob_path(list));
  const auto catalog = read();
  const Model& model = find(*catalog, kName);
  EXPECT_THAT(texts(model.faults),
              ElementsAre(AllOf(HasSubstr(list.blob_name()), HasSubstr("missing"))));
  EXPECT_EQ(model.manifest->digest, list);
  EXPECT_THAT(catalog->problems(), IsEmpty());
}

}  // namespace
}  // namespace ollamafs::test
