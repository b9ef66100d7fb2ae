#include "store/layout/repositories.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdint>
#include <filesystem>
#include <initializer_list>
#include <map>
#include <string>
#include <vector>

#include "tests/support/store_builder.h"
#include "tests/support/temp_dir.h"

namespace ollamafs::test {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::Pair;
using ::testing::UnorderedElementsAre;

class Repositories : public ::testing::Test {
 protected:
  // Another text model under each of these names.
  void write(std::initializer_list<const char*> names) {
    for (const char* const name : names) builder.v1(name, builder.text_model(++seed_));
  }

  // The names of the files by OWNER/NAME.
  [[nodiscard]] std::map<std::string, std::vector<std::string>> all() const {
    const auto catalog = Catalog::read(StoreDir{builder.root(), OutsideLinks::refuse});
    std::map<std::string, std::vector<std::string>> files;
    for (const Repository& repository : repositories(*catalog)) {
      auto& names = files[repository.owner + "/" + repository.name];
      EXPECT_TRUE(names.empty()) << "a repository twice: " << repository.name;
      for (const RepositoryFile& file : repository.files) names.push_back(file.name);
    }
    return files;
  }

  [[nodiscard]] std::vector<std::string> names() const {
    std::vector<std::string> found;
    for (const auto& [name, files] : all()) found.push_back(name);
    return found;
  }

  TempDir dir;
  StoreBuilder builder{dir / "store"};

 private:
  std::uint64_t seed_ = 0;
};

TEST_F(Repositories, HaveAllTagsOfAModelSideBySide) {
  write({"llama3.2:1b", "llama3.2:3b", "mannix/tiny:q4"});
  EXPECT_THAT(all(), UnorderedElementsAre(Pair("library/llama3.2",
                                               ElementsAre("llama3.2-1b.gguf", "llama3.2-3b.gguf")),
                                          Pair("mannix/tiny", ElementsAre("tiny-q4.gguf"))));
}

TEST_F(Repositories, OfHuggingFaceHaveTheirTrueNamesAndFilesWithoutGguf) {
  write({"hf.co/bartowski/Llama-3.2-1B-GGUF:Q4_K_M",
         "huggingface.co/bartowski/Llama-3.2-1B-GGUF:Q8"});
  EXPECT_THAT(
      all(),
      ElementsAre(Pair("bartowski/Llama-3.2-1B-GGUF",
                       UnorderedElementsAre("Llama-3.2-1B-Q4_K_M.gguf", "Llama-3.2-1B-Q8.gguf"))));
}

TEST_F(Repositories, OfOtherHostsAreNamedByTheirHost) {
  write({"registry.local:5000/me/llama:1b"});
  EXPECT_THAT(names(), ElementsAre("registry.local_5000/me.llama"));
}

TEST_F(Repositories, ThatWouldBeCalledAlikeAreToldApart) {
  write({"me/x:a", "hf.co/me/X:a"});
  EXPECT_THAT(names(), UnorderedElementsAre("me/X", "registry.ollama.ai/me.x"));
}

// "--" parts owner and name in a hub cache.
TEST_F(Repositories, HaveNoTwoMarksInARow) {
  write({"me/a--b.-c:x", "me/d-:x"});
  EXPECT_THAT(names(), UnorderedElementsAre("me/a-b.c", "me/d"));
}

TEST_F(Repositories, NumberShardsAndProjectors) {
  ManifestSpec model = builder.text_model(1);
  model.layers.push_back(builder.layer(kModelType, "second"));
  model.layers.push_back(builder.layer(kProjectorType, "eyes"));
  model.layers.push_back(builder.layer(kProjectorType, "ears"));
  builder.v1("m:x", model);
  EXPECT_THAT(all()["library/m"], ElementsAre("m-x-00001-of-00002.gguf", "m-x-00002-of-00002.gguf",
                                              "mmproj-m-x.gguf", "mmproj-m-x-2.gguf"));
}

TEST_F(Repositories, AreOfWholeModelsWithWeightsAlone) {
  ManifestSpec cloud;
  cloud.config = builder.layer(kConfigType, "{}");
  builder.v1("cloud:x", cloud);
  const ManifestSpec broken = builder.text_model(1);
  builder.v1("broken:x", broken);
  std::filesystem::remove(builder.blob_path(*Digest::parse(broken.layers[0].digest)));
  EXPECT_THAT(all(), IsEmpty());
}

}  // namespace
}  // namespace ollamafs::test
