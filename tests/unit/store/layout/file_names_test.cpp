#include "store/layout/file_names.h"

#include <gmock/gmock.h>

#include <algorithm>
#include <cctype>
#include <set>
#include <string>
#include <vector>

#include "store/model/manifest.h"
#include "tests/support/store_builder.h"

namespace ollamafs::test {
namespace {

using ::testing::ElementsAre;

std::string digest(std::size_t seed) {
  return "sha256:" + Digest::of(std::to_string(seed)).hex();
}

// The names of layers of these media types and names, each of another digest.
struct Named {
  std::string media_type;
  std::string name{};
};

FileNames names_of(const std::vector<Named>& layers, bool with_config = true,
                   const std::vector<std::string>& taken = {}) {
  Manifest manifest;
  if (with_config) manifest.config = {kConfigType, digest(0), 1, ""};
  for (const Named& layer : layers) {
    manifest.layers.push_back(
        {layer.media_type, digest(manifest.layers.size() + 1), 1, layer.name});
  }
  return file_names(*StoredManifest::from("{}", manifest), taken);
}

TEST(FileNames, TellWhatALayerIs) {
  const FileNames names = names_of({{kModelType},
                                    {kProjectorType},
                                    {kAdapterType},
                                    {kTemplateType},
                                    {kSystemType},
                                    {kParamsType},
                                    {kLicenseType},
                                    {kLicenseType},
                                    {"application/x-new"}});
  EXPECT_THAT(names.layers, ElementsAre("model.gguf", "mmproj.gguf", "extra/adapter.gguf",
                                        "template.txt", "system.txt", "params.json", "license.txt",
                                        "license-2.txt", "layer-9.bin"));
  EXPECT_EQ(names.config, "config.json");
}

TEST(FileNames, OfShardsAreThoseThatLlamaCppFinds) {
  EXPECT_THAT(names_of({{kModelType}, {kModelType}}).layers,
              ElementsAre("model-00001-of-00002.gguf", "model-00002-of-00002.gguf"));
}

TEST(FileNames, OfTheModelsOwnFilesComeBeforeOllamasConfig) {
  const FileNames names =
      names_of({{kTensorType, "model.norm.weight"}, {kJsonType, "config.json"}});
  EXPECT_THAT(names.layers, ElementsAre("tensors/model.norm.weight.safetensors", "config.json"));
  EXPECT_EQ(names.config, "config-2.json");
}

TEST(FileNames, OfOneLayerThatIsThereTwiceIsOne) {
  Manifest manifest;
  manifest.layers = {{kLicenseType, digest(1), 1, ""}, {kLicenseType, digest(1), 1, ""}};
  EXPECT_THAT(file_names(*StoredManifest::from("{}", manifest)).layers,
              ElementsAre("license.txt", "license.txt"));
}

TEST(FileNames, NoManifestLeadsAstray) {
  const std::vector<std::string> hostile = {"../../x",
                                            "/etc/passwd",
                                            "con",
                                            "NUL.txt",
                                            "com1.json",
                                            "",
                                            ".",
                                            "..",
                                            "...",
                                            std::string(300, 'a'),
                                            std::string(300, 'a') + "b",
                                            "a\nb",
                                            "a\\b",
                                            "a:b",
                                            "a*b",
                                            "ä",
                                            "twice",
                                            "twice",
                                            "TWICE",
                                            "config",
                                            "x.json",
                                            "x",
                                            "Modelfile",
                                            "manifest.json",
                                            std::string("nul\0l", 5),
                                            "-rf",
                                            "end.",
                                            " blank "};
  for (const char* const type : {kTensorType, kJsonType}) {
    std::vector<Named> layers;
    layers.reserve(hostile.size());
    for (const std::string& name : hostile) layers.push_back({type, name});
    const FileNames names = names_of(layers, true, {"Modelfile", "manifest.json"});
    std::set<std::string> seen = {"modelfile", "manifest.json", names.config};
    const std::string folder = type == std::string{kTensorType} ? "tensors/" : "";
    for (const std::string& name : names.layers) {
      ASSERT_TRUE(name.starts_with(folder)) << name;
      const std::string own = name.substr(folder.size());
      EXPECT_LE(own.size(), 255U);
      EXPECT_EQ(own.find_first_not_of("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
                                      "0123456789._-+="),
                std::string::npos)
          << own;
      EXPECT_FALSE(own.starts_with('.')) << own;
      EXPECT_FALSE(own.starts_with('-')) << own;
      for (const char* const device : {"con.", "nul.", "com1."}) {
        EXPECT_FALSE(own.starts_with(device)) << own;
      }
      std::string folded = name;
      std::ranges::transform(folded, folded.begin(),
                             [](unsigned char c) { return std::tolower(c); });
      EXPECT_TRUE(seen.insert(folded).second) << name;
    }
  }
}

}  // namespace
}  // namespace ollamafs::test
