#include "store/layout/oci_manifest.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>
#include <nlohmann/json.hpp>
#include <string>

#include "tests/support/store_builder.h"
#include "tests/support/temp_dir.h"

namespace ollamafs::test {
namespace {

using ::testing::ElementsAre;
using Json = nlohmann::json;

class OciManifest : public ::testing::Test {
 protected:
  void SetUp() override { builder.v1("me/llama:q4", builder.text_model(1)); }

  // The only model, and its texts.
  struct Made {
    Model model;
    ModelPack pack;
    Json index;
  };
  [[nodiscard]] Made make() const {
    const auto catalog = Catalog::read(StoreDir{builder.root(), OutsideLinks::refuse});
    const Model& model = catalog->models()[0];
    ModelPack pack = model_pack(model, file_names(*model.manifest, {}));
    Json index = Json::parse(oci_index(model, pack));
    return {model, std::move(pack), std::move(index)};
  }

  TempDir dir;
  StoreBuilder builder{dir / "store"};
};

TEST_F(OciManifest, NamesOllamasOwnBytesByTheTag) {
  const Made made = make();
  const Json& own = made.index.at("manifests").at(0);
  EXPECT_EQ(own.at("digest"), made.model.manifest->digest.to_string());
  EXPECT_EQ(own.at("size"), made.model.manifest->bytes.size());
  EXPECT_EQ(own.at("mediaType"), "application/vnd.docker.distribution.manifest.v2+json");
  EXPECT_EQ(own.at("annotations").at("org.opencontainers.image.ref.name"), "q4");
}

TEST_F(OciManifest, NamesTheOtherByItsOwnBytes) {
  const Made made = make();
  const Json& other = made.index.at("manifests").at(1);
  EXPECT_EQ(other.at("digest"), Digest::of(made.pack.manifest).to_string());
  EXPECT_EQ(other.at("size"), made.pack.manifest.size());
  EXPECT_EQ(other.at("annotations").at("org.opencontainers.image.ref.name"), "q4-modelpack");
}

TEST_F(OciManifest, HasEveryBlobOfTheModelUnderItsFileName) {
  const Made made = make();
  const Json manifest = Json::parse(made.pack.manifest);
  EXPECT_EQ(manifest.at("config").at("digest"), Digest::of(made.pack.config).to_string());
  EXPECT_EQ(manifest.at("config").at("mediaType"), "application/vnd.cncf.model.config.v1+json");
  ASSERT_EQ(manifest.at("layers").size(), made.model.manifest->blobs.size());
  std::map<std::string, std::string> digests;
  for (const Json& layer : manifest.at("layers")) {
    const std::string name = layer.at("annotations").at("org.cncf.model.filepath");
    EXPECT_EQ(layer.at("annotations").at("org.opencontainers.image.title"), name);
    digests[name] = layer.at("digest");
  }
  EXPECT_EQ(digests.at("config.json"), made.model.manifest->config->to_string());
  EXPECT_TRUE(digests.contains("model.gguf"));
}

TEST_F(OciManifest, SaysTheSameInEveryConfig) {
  const Made made = make();
  const Json config = Json::parse(made.pack.config);
  EXPECT_EQ(config.at("descriptor").at("name"), "llama");
  EXPECT_EQ(config.at("descriptor").at("version"), "q4");
  EXPECT_EQ(config.at("config").at("format"), "gguf");
  const Json manifest = Json::parse(made.pack.manifest);
  Json digests = Json::array();
  for (const Json& layer : manifest.at("layers")) digests.push_back(layer.at("digest"));
  EXPECT_EQ(config.at("modelfs").at("diffIds"), digests);
  EXPECT_EQ(make().pack.manifest, made.pack.manifest);
}

// A layer that claims to be a manifest would be followed by what copies images.
TEST_F(OciManifest, ClaimsNothingOfALayerThatItDoesNotKnow) {
  ManifestSpec model = builder.text_model(2);
  model.layers.push_back(builder.layer("application/vnd.oci.image.manifest.v1+json", "anything"));
  builder.v1("me/llama:q4", model);
  const Json layers = Json::parse(make().pack.manifest).at("layers");
  for (const Json& layer : layers) {
    EXPECT_NE(layer.at("mediaType"), "application/vnd.oci.image.manifest.v1+json");
  }
}

}  // namespace
}  // namespace ollamafs::test
