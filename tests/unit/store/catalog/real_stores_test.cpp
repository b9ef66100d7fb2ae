// Two stores that real Ollama servers wrote, and what `ollama list` of those servers printed
// (tests/fixtures/README.md).
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "src/say/human.h"
#include "store/catalog/catalog.h"
#include "store/catalog/model_config.h"
#include "store/catalog/model_query.h"
#include "tests/support/fault_texts.h"
#include "tests/support/real_store.h"
#include "tests/support/store_builder.h"
#include "tests/support/temp_dir.h"

namespace ollamafs::test {
namespace {

namespace fs = std::filesystem;

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::SizeIs;
using ::testing::UnorderedElementsAre;

class RealStores : public ::testing::Test {
 protected:
  void unpack_v1() const { unpack_real_store_v1(root()); }
  void unpack_v2() const { unpack_real_store_v2(root()); }

  [[nodiscard]] fs::path root() const { return dir_ / "models"; }
  [[nodiscard]] std::shared_ptr<const Catalog> read() const {
    return Catalog::read(StoreDir{root(), OutsideLinks::refuse});
  }

  TempDir dir_;
};

// NAME, ID and SIZE of every model, as `ollama list` has them.
std::vector<std::string> listed(const Catalog& catalog) {
  std::vector<std::string> lines;
  for (const Model& model : catalog.models()) {
    EXPECT_THAT(texts(model.faults), IsEmpty()) << model.shown;
    lines.push_back(model.shown + " " + model.manifest->digest.id() + " " +
                    human_size(model.manifest->listed_size));
  }
  return lines;
}

// Whose model every one of the blobs with these weights is.
std::vector<std::string> users(const Catalog& catalog, const Weights& weights) {
  std::vector<std::string> names;
  const auto digest = Digest::parse_hex(weights.hex);
  const auto blob = std::ranges::find(catalog.blobs(), digest, &Blob::digest);
  if (blob == catalog.blobs().end()) return {"no such blob"};
  const auto index = static_cast<std::uint32_t>(blob - catalog.blobs().begin());
  for (const std::uint32_t model : catalog.users(index)) {
    names.push_back(catalog.models()[model].shown);
  }
  return names;
}

TEST_F(RealStores, OfTheOlderTreeAreListedAsOllamaListsThem) {
  unpack_v1();
  const auto catalog = read();
  EXPECT_THAT(
      listed(*catalog),
      UnorderedElementsAre("localhost:5000/team/tiny:q8 f8fc7bbdc61b 2.7 MB",
                           "hf.co/someuser/Tiny-Random-GGUF:Q4_0 801ab2caf9e2 1.5 MB",
                           "mannix/tiny:q4 801ab2caf9e2 1.5 MB",
                           "chatty:latest 4c30d5a81258 5.1 MB", "chatty:v1.5 4c30d5a81258 5.1 MB"));
  EXPECT_THAT(catalog->problems(), IsEmpty());
}

TEST_F(RealStores, OfTheNewerTreeAreListedAsOllamaListsThem) {
  unpack_v2();
  const auto catalog = read();
  EXPECT_THAT(
      listed(*catalog),
      UnorderedElementsAre(
          "vision:latest 49f7259cc8e1 5.4 MB", "lora:latest eb8fd786b22d 5.1 MB",
          "derived:latest c9118675eba2 5.1 MB",
          "hf.co/someuser/Tiny-Random-GGUF:Q4_0 d03527731c85 1.5 MB",
          "localhost:5000/team/tiny:q4 d03527731c85 1.5 MB", "mannix/tiny:q4 d03527731c85 1.5 MB",
          "chatty:latest d88ef4792650 5.1 MB", "chatty:v1.5 d88ef4792650 5.1 MB",
          "mannix/tiny:f16 34fee50e683a 5.1 MB", "plain:latest 34fee50e683a 5.1 MB"));
  EXPECT_THAT(catalog->problems(), IsEmpty());
}

TEST_F(RealStores, ShareTheirWeights) {
  unpack_v1();
  const auto older = read();
  EXPECT_THAT(users(*older, kTiny),
              ElementsAre("hf.co/someuser/Tiny-Random-GGUF:Q4_0", "mannix/tiny:q4"));
  EXPECT_THAT(users(*older, kChatty), ElementsAre("chatty:latest", "chatty:v1.5"));
}

// The adapter's and the projector's model each need the plain model's weights too.
TEST_F(RealStores, ShareTheirWeightsOverDerivedModels) {
  unpack_v2();
  const auto newer = read();
  EXPECT_THAT(users(*newer, kPlain),
              ElementsAre("chatty:latest", "chatty:v1.5", "derived:latest", "lora:latest",
                          "mannix/tiny:f16", "plain:latest", "vision:latest"));
  EXPECT_THAT(users(*newer, kProjector), ElementsAre("vision:latest"));
  EXPECT_THAT(users(*newer, kAdapter), ElementsAre("lora:latest"));
  // Manifests are blobs in this store, one of them of no model; no model names any of them.
  EXPECT_THAT(newer->blobs(), SizeIs(19));
}

// For a store of the older tree, whatever tree the model came from.
TEST_F(RealStores, KeepTheirPortsInThePortablePath) {
  unpack_v2();
  const auto catalog = read();
  const Model* model = find_model(*catalog, "localhost:5000/team/tiny:q4");
  ASSERT_NE(model, nullptr);
  EXPECT_EQ(model->tag_path, "manifests-v2/localhost%3A5000/team/tiny/q4");
  EXPECT_EQ(model->name.v1_path(), "localhost:5000/team/tiny/q4");
  EXPECT_EQ(model->view_name, "localhost%3A5000/team/tiny+q4");
  EXPECT_EQ(model->manifest->bytes, read_file(root() / model->tag_path));
}

TEST_F(RealStores, HaveConfigsThatSayTheModelsRunHere) {
  unpack_v2();
  const StoreDir store{root(), OutsideLinks::refuse};
  const auto catalog = Catalog::read(store);
  for (const Model& model : catalog->models()) {
    const auto config = read_config(store, model);
    ASSERT_TRUE(config) << model.shown;
    EXPECT_EQ(config->remote_model, "") << model.shown;
  }
}

// Only sizes are looked at when a store is read: one byte less is noticed.
TEST_F(RealStores, AreBrokenWhereWeightsAreCutShort) {
  unpack_v1();
  fs::resize_file(root() / "blobs" / ("sha256-" + std::string{kTiny.hex}), kTiny.size - 1);
  const auto catalog = read();
  std::vector<std::string> broken;
  for (const Model& model : catalog->models()) {
    if (!model.whole()) broken.push_back(model.shown);
  }
  EXPECT_THAT(broken,
              UnorderedElementsAre("mannix/tiny:q4", "hf.co/someuser/Tiny-Random-GGUF:Q4_0"));
}

}  // namespace
}  // namespace ollamafs::test
