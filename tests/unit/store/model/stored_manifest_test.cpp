#include "store/model/stored_manifest.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdint>
#include <filesystem>
#include <limits>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "src/say/human.h"
#include "store/base/text.h"
#include "tests/support/fault_texts.h"
#include "tests/support/store_builder.h"

namespace ollamafs::test {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;

constexpr std::int64_t kMax = std::numeric_limits<std::int64_t>::max();

// A manifest of docs/store-format.md §12, byte for byte.
std::string sample(std::string_view name) {
  return read_file(std::filesystem::path{OLLAMAFS_FIXTURES} / "samples" / name);
}

std::shared_ptr<const StoredManifest> stored(const std::string& json) {
  return StoredManifest::from(json, std::get<Manifest>(parse_manifest(json)));
}

std::shared_ptr<const StoredManifest> stored(const ManifestSpec& spec) {
  return stored(spec.json());
}

// Its layers as lines.
std::vector<std::string> layers(const StoredManifest& manifest) {
  std::vector<std::string> lines;
  for (const StoredLayer& layer : manifest.layers) {
    lines.push_back(std::to_string(static_cast<int>(layer.kind)) + " " +
                    std::string{layer.media_type} + " " +
                    (layer.digest ? layer.digest->to_string() : "none") + " " +
                    std::to_string(layer.size) + " " + std::string{layer.name});
  }
  return lines;
}

std::string line(LayerKind kind, const LayerSpec& layer) {
  return std::to_string(static_cast<int>(kind)) + " " + layer.media_type + " " + layer.digest +
         " " + std::to_string(layer.size) + " " + layer.name;
}

// A layer of made-up content.
LayerSpec layer(std::string_view content, std::int64_t size) {
  return {kModelType, Digest::of(content).to_string(), size};
}

ManifestSpec model(std::vector<LayerSpec> layers) {
  ManifestSpec spec;
  spec.layers = std::move(layers);
  return spec;
}

struct Sample {
  const char* file;
  std::size_t bytes;
  const char* digest;
  std::int64_t listed_size;
  std::size_t blobs;
};

// What docs/store-format.md §12 says about each.
constexpr Sample kSamples[] = {
    {"text.json", 854, "01d83b49f826f41c03020027cbcdb1b0de22661c40ddb966ac81477546d1dfdd",
     2019378105, 5},
    {"vision.json", 1098, "4d209a9d97edb23ac7de4b2f1695645f9c54f797031457df0f716cb7e144859d",
     6037237450, 6},
    {"cloud.json", 267, "006f6c2339d2ff3730fab64f7d0d9f086e3cb1c4680846d988339d66a3c1bc0f", 316, 1},
    {"tensors.json", 1682, "7cc6bf0e0bb72aeddd078e4424e72bfaab86c3017a1b3011b0ce6dadfd892525",
     482743556, 9},
    {"list-child.json", 890, "564173d7643e2428f2396787ad47953274beac4971cbb62668ad58419afcfcb1",
     2019378105, 5},
    {"list-anchor.json", 1208, "d0ef8171ba8dac3dfbae35ace4e65fef7fd7a1f16f3e05565e380ac12c52d12f",
     2019378105 + 470 + 890, 7},
};

TEST(SampleManifests, HaveTheIdsAndSizesThatOllamaLists) {
  for (const Sample& expected : kSamples) {
    const std::string json = sample(expected.file);
    const auto manifest = stored(json);
    EXPECT_EQ(json.size(), expected.bytes) << expected.file;
    EXPECT_EQ(manifest->bytes, json) << expected.file;
    EXPECT_EQ(manifest->digest.hex(), expected.digest) << expected.file;
    EXPECT_EQ(manifest->listed_size, expected.listed_size) << expected.file;
    EXPECT_THAT(manifest->blobs, SizeIs(expected.blobs)) << expected.file;
    EXPECT_THAT(texts(manifest->faults), IsEmpty()) << expected.file;
  }
}

TEST(SampleManifests, AreListedAsOllamaPrintsThem) {
  EXPECT_EQ(stored(sample("text.json"))->digest.id(), "01d83b49f826");
  EXPECT_EQ(human_size(stored(sample("text.json"))->listed_size), "2.0 GB");
  EXPECT_EQ(human_size(stored(sample("vision.json"))->listed_size), "6.0 GB");
  EXPECT_EQ(human_size(stored(sample("tensors.json"))->listed_size), "482 MB");
}

TEST(SampleManifests, KeepTheirRunners) {
  EXPECT_EQ(stored(sample("list-child.json"))->runner, "llamacpp");
  EXPECT_EQ(stored(sample("text.json"))->runner, "");
}

TEST(SampleManifests, IncludeAListWithOneChildPerRunner) {
  const std::string json = sample("list.json");
  EXPECT_EQ(json.size(), 470u);
  EXPECT_EQ(Digest::of(json).hex(),
            "77ebb4ddfa7cf13a12e136341db51a781d9661fddd97cbb0857e8ec2f9f71873");
  const auto list = std::get<ManifestList>(parse_manifest(json));
  ASSERT_THAT(list.entries, SizeIs(2));
  EXPECT_EQ(list.entries[0].digest,
            "sha256:564173d7643e2428f2396787ad47953274beac4971cbb62668ad58419afcfcb1");
  EXPECT_EQ(list.entries[0].runner, "llamacpp");
  EXPECT_EQ(list.entries[1].runner, "mlx");
}

// The config is not among the layers; a model without it does not run.
TEST(StoredManifest, NeedsItsConfigToo) {
  ManifestSpec spec = model({layer("weights", 5)});
  spec.config = layer("config", 3);
  const auto manifest = stored(spec);
  EXPECT_EQ(manifest->config, Digest::of("config"));
  EXPECT_THAT(manifest->blobs, ::testing::UnorderedElementsAre(BlobRef{Digest::of("config"), 3},
                                                               BlobRef{Digest::of("weights"), 5}));
  EXPECT_EQ(manifest->listed_size, 8);
}

TEST(StoredManifest, MayHaveNoConfig) {
  EXPECT_FALSE(stored(model({layer("weights", 5)}))->config);
  const auto empty = stored(std::string{R"({"config":{"digest":"","size":0},"layers":null})"});
  EXPECT_FALSE(empty->config);
  EXPECT_THAT(empty->blobs, IsEmpty());
  EXPECT_THAT(texts(empty->faults), IsEmpty());
}

TEST(StoredManifest, SortsItsBlobsByDigest) {
  std::vector<LayerSpec> layers;
  for (int i = 0; i < 50; ++i) layers.push_back(layer(std::to_string(i), i));
  const auto manifest = stored(model(layers));
  ASSERT_THAT(manifest->blobs, SizeIs(50));
  EXPECT_TRUE(std::ranges::is_sorted(manifest->blobs, {}, &BlobRef::digest));
}

// Ollama counts a repeated layer twice in SIZE; on disk it is one file (docs/store-format.md §6,
// §10.5).
TEST(StoredManifest, NamesABlobOnceButListsItTwice) {
  ManifestSpec spec = model({layer("same", 100), layer("same", 100), layer("other", 1)});
  spec.config = layer("other", 1);
  const auto manifest = stored(spec);
  EXPECT_THAT(manifest->blobs, SizeIs(2));
  EXPECT_EQ(manifest->listed_size, 202);
  EXPECT_THAT(texts(manifest->faults), IsEmpty());
}

TEST(StoredManifest, KnowsADigestInEverySpelling) {
  const std::string hex = Digest::of("same").hex();
  std::string upper = hex;
  std::ranges::transform(upper, upper.begin(), [](char c) { return c >= 'a' ? char(c - 32) : c; });
  const auto manifest = stored(model({{kModelType, "sha256:" + hex, 4},
                                      {kModelType, "sha256-" + hex, 4},
                                      {kModelType, "sha256:" + upper, 4},
                                      {kModelType, "sha256-" + upper, 4}}));
  EXPECT_THAT(manifest->blobs, ElementsAre(BlobRef{Digest::of("same"), 4}));
  EXPECT_THAT(texts(manifest->faults), IsEmpty());
}

TEST(StoredManifest, FindsFaultWithADigestThatIsNone) {
  for (const std::string digest :
       {"", "sha256:../../x", "sha256:12", "../../../etc/passwd", "sha512:00"}) {
    const auto manifest = stored(model({layer("good", 1), {kModelType, digest, 1}}));
    EXPECT_THAT(texts(manifest->faults),
                ElementsAre(AllOf(HasSubstr("layer 2"), HasSubstr(digest))));
    EXPECT_THAT(manifest->blobs, ElementsAre(BlobRef{Digest::of("good"), 1})) << digest;
  }
  ManifestSpec spec = model({});
  spec.config = LayerSpec{kConfigType, "sha256:../../x", 1};
  EXPECT_THAT(texts(stored(spec)->faults), ElementsAre(HasSubstr("config")));
}

TEST(StoredManifest, FindsFaultWithANegativeSize) {
  const auto manifest = stored(model({layer("good", 7), layer("bad", -5)}));
  EXPECT_THAT(texts(manifest->faults), ElementsAre(AllOf(HasSubstr("layer 2"), HasSubstr("-5"))));
  EXPECT_EQ(manifest->listed_size, 7);
}

TEST(StoredManifest, FindsFaultWithTwoSizesForOneBlob) {
  const auto manifest = stored(model({layer("same", 10), layer("same", 11), layer("same", 10)}));
  EXPECT_THAT(texts(manifest->faults), ElementsAre(AllOf(HasSubstr(Digest::of("same").blob_name()),
                                                         HasSubstr("10"), HasSubstr("11"))));
  EXPECT_THAT(manifest->blobs, SizeIs(1));
}

// Sums that overflow would make an archive of the wrong size.
TEST(StoredManifest, FindsFaultWithSizesThatNoFileCouldHold) {
  for (const auto& layers :
       {std::vector{layer("a", kMax)}, std::vector{layer("a", kMax), layer("b", kMax)},
        std::vector{layer("a", kMax / 2), layer("b", kMax / 2)},
        std::vector{layer("a", kMax / 2), layer("b", 1)}}) {
    const auto manifest = stored(model(layers));
    EXPECT_THAT(texts(manifest->faults), SizeIs(1));
    EXPECT_GT(manifest->listed_size, 0);
  }
  EXPECT_EQ(stored(model({layer("a", kMax), layer("b", kMax)}))->listed_size, kMax);
  EXPECT_THAT(texts(stored(model({layer("a", kMax / 2)}))->faults), IsEmpty());
}

TEST(StoredManifest, HasNoFaultForAnEmptyBlob) {
  const auto manifest = stored(model({layer("", 0)}));
  EXPECT_THAT(manifest->blobs, ElementsAre(BlobRef{Digest::of(""), 0}));
  EXPECT_THAT(texts(manifest->faults), IsEmpty());
}

// `from` names another model or a file on somebody's disk; it leads to nothing in the store.
TEST(StoredManifest, NeverTakesFromForAReference) {
  LayerSpec only = layer("weights", 5);
  only.from = "sha256:" + Digest::of("elsewhere").hex();
  const auto manifest = stored(model({only}));
  EXPECT_THAT(manifest->blobs, ElementsAre(BlobRef{Digest::of("weights"), 5}));
  EXPECT_THAT(texts(manifest->faults), IsEmpty());
}

// Whatever Ollama's decoder puts up with, the bytes are the ones whose hash is the ID.
TEST(StoredManifest, HashesTheBytesAsTheyAre) {
  const std::string odd = "{ \"layers\":[],\n\"name\":\"caf\xE9\" }\n\n";
  EXPECT_EQ(stored(odd)->bytes, odd);
  EXPECT_EQ(stored(odd)->digest, Digest::of(odd));
}

TEST(StoredManifest, HasFaultsOfOnePrintableLine) {
  const auto manifest =
      stored(std::string{R"({"layers":[{"mediaType":"\u001b[31mm\n","digest":"a\u009bb\n\u0007"},)"
                         R"({"mediaType":")"} +
             std::string(5000, 'x') + R"(","digest":")" + std::string(5000, 'y') + "\"}]}");
  ASSERT_THAT(manifest->faults, SizeIs(2));
  for (const std::string& fault : texts(manifest->faults)) {
    EXPECT_LT(fault.size(), 400u);
    EXPECT_TRUE(is_valid_utf8(fault));
    EXPECT_EQ(fault.find_first_of("\n\x1b\x07\xC2"), std::string::npos) << printable(fault);
  }
}

TEST(LostManifest, IsKnownByItsDigestAndFaults) {
  const auto lost = StoredManifest::lost(
      Digest::of("gone"),
      {{ProblemKind::missing, {}, "it is gone"}, {ProblemKind::missing, {}, "so is its copy"}});
  EXPECT_EQ(lost->digest, Digest::of("gone"));
  EXPECT_THAT(texts(lost->faults), ElementsAre("it is gone", "so is its copy"));
  EXPECT_THAT(lost->blobs, IsEmpty());
  EXPECT_EQ(lost->listed_size, 0);
}

// ---- its layers ----

TEST(StoredManifest, KeepsItsLayersInTheirOrder) {
  const LayerSpec tensor{kTensorType, Digest::of("t").to_string(), 7, "model.norm.weight"};
  const LayerSpec json{kJsonType, Digest::of("a").to_string(), 8, "config.json"};
  const LayerSpec shard = layer("shard", 9);
  const LayerSpec foreign{"application/vnd.other.thing", Digest::of("f").to_string(), 1,
                          "x/\u00e9"};
  const auto manifest = stored(model({tensor, json, shard, foreign, shard, tensor}));
  LayerSpec read = foreign;
  read.name = "x/\xC3\xA9";
  EXPECT_THAT(layers(*manifest),
              ElementsAre(line(LayerKind::tensor, tensor), line(LayerKind::json, json),
                          line(LayerKind::model, shard), line(LayerKind::unknown, read),
                          line(LayerKind::model, shard), line(LayerKind::tensor, tensor)));
  EXPECT_THAT(manifest->blobs, SizeIs(4));
}

TEST(StoredManifest, KeepsLayersThatCannotBeRight) {
  LayerSpec bad = layer("bad", 3);
  bad.digest = "sha256:../../x";
  LayerSpec negative = layer("negative", -5);
  const auto manifest = stored(model({bad, negative}));
  ASSERT_THAT(manifest->layers, SizeIs(2));
  EXPECT_EQ(manifest->layers[0].digest, std::nullopt);
  EXPECT_EQ(manifest->layers[0].size, 3);
  EXPECT_EQ(manifest->layers[1].digest, Digest::of("negative"));
  EXPECT_EQ(manifest->layers[1].size, -5);
}

TEST(StoredManifest, HasNoLayersIfItNamesNone) {
  EXPECT_THAT(stored(R"({"layers":null})")->layers, IsEmpty());
  EXPECT_THAT(StoredManifest::lost(Digest::of("x"), {})->layers, IsEmpty());
}

TEST(StoredManifest, HasTheTextOfItsLayersInACopyToo) {
  StoredManifest copy;
  {
    const auto manifest =
        stored(model({{"some/type", Digest::of("t").to_string(), 7, "a.weight"}}));
    copy = *manifest;
  }
  ASSERT_THAT(copy.layers, SizeIs(1));
  EXPECT_EQ(copy.layers[0].name, "a.weight");
  EXPECT_EQ(copy.layers[0].media_type, "some/type");
}

// The text of the types that Ollama has is not kept with every layer.
TEST(StoredManifest, KeepsNoMoreThanNamesOfLayersOfKnownTypes) {
  const auto manifest = stored(model({{kTensorType, Digest::of("t").to_string(), 7, "a.weight"},
                                      {kTensorType, Digest::of("u").to_string(), 7, "b.weight"}}));
  EXPECT_EQ(*manifest->layer_text, "a.weightb.weight");
  EXPECT_EQ(manifest->layers[0].media_type.data(), manifest->layers[1].media_type.data());
  EXPECT_LE(sizeof(StoredLayer), 80U);
}

}  // namespace
}  // namespace ollamafs::test
