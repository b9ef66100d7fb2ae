#include "store/catalog/model_query.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <initializer_list>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "tests/support/store_builder.h"
#include "tests/support/temp_dir.h"

namespace ollamafs::test {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::SizeIs;

class ModelQuery : public ::testing::Test {
 protected:
  // Stores models at these paths below manifests/.
  void store(std::initializer_list<const char*> paths) {
    std::uint64_t seed = 0;
    for (const std::string path : paths) {
      write_file(store_.root() / "manifests" / path, store_.text_model(++seed, 100).json());
    }
    catalog_ = Catalog::read(StoreDir{store_.root(), OutsideLinks::refuse});
  }

  // The names of the models that are found, behind a "?" for each that may not be guessed.
  [[nodiscard]] std::vector<std::string> find(std::string_view typed) const {
    const ModelQueryResult result = find_models(*catalog_, typed);
    std::vector<std::string> names;
    if (const auto* found = std::get_if<FoundModels>(&result)) {
      for (const Model* model : *found) names.push_back(model->shown);
    } else if (const auto* ambiguous = std::get_if<AmbiguousName>(&result)) {
      for (const Model* model : ambiguous->candidates) names.push_back("?" + model->shown);
    }
    return names;
  }

  // What "did you mean" would say; throws if something was found.
  [[nodiscard]] std::vector<std::string> nearest(std::string_view typed) const {
    return std::get<UnknownName>(find_models(*catalog_, typed)).nearest;
  }

  TempDir dir_;
  StoreBuilder store_{dir_ / "models"};
  std::shared_ptr<const Catalog> catalog_;
};

class ModelQueryOfAFewModels : public ModelQuery {
 protected:
  ModelQueryOfAFewModels() {
    store({"registry.ollama.ai/library/llama3.2/latest", "registry.ollama.ai/library/llama3.2/3b",
           "registry.ollama.ai/library/qwen3/4b", "registry.ollama.ai/me/Describer/latest",
           "hf.co/someone/Model-GGUF/Q4_K_M", "localhost:5000/team/tiny/q4"});
  }
};

// ---- spellings ----

TEST_F(ModelQueryOfAFewModels, FindsTheShownName) {
  for (const Model& model : catalog_->models()) {
    EXPECT_THAT(find(model.shown), ElementsAre(model.shown));
    EXPECT_EQ(find_model(*catalog_, model.shown), &model);
  }
}

TEST_F(ModelQueryOfAFewModels, TakesAMissingTagForLatest) {
  EXPECT_THAT(find("llama3.2"), ElementsAre("llama3.2:latest"));
  EXPECT_THAT(find("me/Describer"), ElementsAre("me/Describer:latest"));
  EXPECT_THAT(find("qwen3"), IsEmpty());
}

TEST_F(ModelQueryOfAFewModels, FindsTheSpellingOfTheView) {
  for (const Model& model : catalog_->models()) {
    EXPECT_THAT(find(model.view_name), ElementsAre(model.shown));
  }
  EXPECT_THAT(find("localhost%3a5000/team/tiny+q4"), ElementsAre("localhost:5000/team/tiny:q4"));
  EXPECT_THAT(find("localhost%3A5000/team/tiny:q4"), ElementsAre("localhost:5000/team/tiny:q4"));
}

TEST_F(ModelQueryOfAFewModels, FindsFullNames) {
  for (const char* const host : {"registry.ollama.ai", "ollama.com", "OLLAMA.com"}) {
    const std::string prefix = std::string{host} + "/";
    EXPECT_THAT(find(prefix + "library/llama3.2:3b"), ElementsAre("llama3.2:3b"));
    EXPECT_THAT(find(prefix + "library/llama3.2"), ElementsAre("llama3.2:latest"));
    EXPECT_THAT(find(prefix + "Library/llama3.2+3b"), ElementsAre("llama3.2:3b"));
    EXPECT_THAT(find(prefix + "me/Describer"), ElementsAre("me/Describer:latest"));
  }
  EXPECT_THAT(find("library/llama3.2:3b"), ElementsAre("llama3.2:3b"));
  EXPECT_THAT(find("hf.co/library/llama3.2:3b"), IsEmpty());
}

TEST_F(ModelQueryOfAFewModels, FindsAddresses) {
  EXPECT_THAT(find("https://ollama.com/library/llama3.2:3b"), ElementsAre("llama3.2:3b"));
  EXPECT_THAT(find("http://localhost:5000/team/tiny:q4"),
              ElementsAre("localhost:5000/team/tiny:q4"));
  EXPECT_THAT(find("https://hf.co/someone/Model-GGUF:Q4_K_M"),
              ElementsAre("hf.co/someone/Model-GGUF:Q4_K_M"));
  EXPECT_THAT(find("https://hf.co/someone/*"), ElementsAre("hf.co/someone/Model-GGUF:Q4_K_M"));
  EXPECT_THAT(nearest("https://hf.co/someone/ModelGGUF"),
              ElementsAre("hf.co/someone/Model-GGUF:Q4_K_M"));
}

TEST_F(ModelQueryOfAFewModels, FoldsCase) {
  EXPECT_THAT(find("LLAMA3.2:3B"), ElementsAre("llama3.2:3b"));
  EXPECT_THAT(find("me/describer"), ElementsAre("me/Describer:latest"));
  EXPECT_THAT(find("HF.co/Someone/model-gguf:q4_k_m"),
              ElementsAre("hf.co/someone/Model-GGUF:Q4_K_M"));
}

TEST_F(ModelQueryOfAFewModels, FindsNothingThatIsNoName) {
  for (const char* const typed :
       {"", ":", "/", "llama3.2:", ":3b", "llama3.2:3b:3b", "llama3.2/3b", "+", "a/b/c/d:e", "%",
        "%3", "://", "llama3.2 :3b", "llama3.2:3b/", "\xC3\xBC", "llama3.2@sha256"}) {
    EXPECT_THAT(find(typed), IsEmpty()) << typed;
    EXPECT_EQ(find_model(*catalog_, typed), nullptr) << typed;
  }
}

// ---- several spellings in the store ----

TEST_F(ModelQuery, TakesTheCanonicalSpellingOfAModel) {
  store({"registry.ollama.ai/library/m/a", "ollama.com/library/m/a", "Ollama.COM/Library/m/a"});
  ASSERT_THAT(catalog_->models(), SizeIs(3));
  const Model* const canonical = find_model(*catalog_, "m:a");
  ASSERT_NE(canonical, nullptr);
  EXPECT_EQ(canonical->tag_path, "manifests/registry.ollama.ai/library/m/a");
  for (const char* const typed : {"M:A", "library/m:a", "registry.ollama.ai/library/m:a",
                                  "OLLAMA.com/LIBRARY/m:a", "https://OLLAMA.com/library/m+A"}) {
    EXPECT_EQ(find_model(*catalog_, typed), canonical) << typed;
  }
  // The others as they are shown.
  EXPECT_THAT(find("ollama.com/library/m:a"), ElementsAre("ollama.com/library/m:a"));
  EXPECT_THAT(find("Ollama.COM/Library/m+a"), ElementsAre("Ollama.COM/Library/m:a"));
}

TEST_F(ModelQuery, DoesNotGuessBetweenModels) {
  store({"registry.ollama.ai/library/Foo/a", "registry.ollama.ai/library/foo/a",
         "registry.ollama.ai/library/foo/b"});
  EXPECT_THAT(find("FOO:a"), ElementsAre("?Foo:a", "?foo:a"));
  EXPECT_EQ(find_model(*catalog_, "FOO:a"), nullptr);
  EXPECT_THAT(find("Foo:a"), ElementsAre("Foo:a"));
  EXPECT_THAT(find("foo:a"), ElementsAre("foo:a"));
  EXPECT_THAT(find("FOO:b"), ElementsAre("foo:b"));
  EXPECT_THAT(find("library/Foo:a"), ElementsAre("Foo:a"));
  EXPECT_THAT(find("ollama.com/library/foo+a"), ElementsAre("foo:a"));
}

// ---- patterns ----

TEST_F(ModelQueryOfAFewModels, FindsWhatAPatternMatchesInTheirOrder) {
  EXPECT_THAT(find("llama*"), ElementsAre("llama3.2:3b", "llama3.2:latest"));
  EXPECT_THAT(find("*:?b"), ElementsAre("llama3.2:3b", "qwen3:4b"));
  EXPECT_THAT(find("*"), SizeIs(catalog_->models().size()));
  EXPECT_THAT(find("[lq]*:[34]b"), ElementsAre("llama3.2:3b", "qwen3:4b"));
  EXPECT_THAT(find("*tiny*"), ElementsAre("localhost:5000/team/tiny:q4"));
  EXPECT_THAT(find("LLAMA*+3B"), ElementsAre("llama3.2:3b"));
  EXPECT_THAT(find("llama?.?"), ElementsAre("llama3.2:latest"));
  EXPECT_THAT(find("*5000/team/*"), ElementsAre("localhost:5000/team/tiny:q4"));
}

TEST_F(ModelQueryOfAFewModels, FindsNothingIfAPatternMatchesNothing) {
  for (const char* const typed : {"x*", "?", "llama3.2:?", "[", "\\*"}) {
    EXPECT_THAT(nearest(typed), IsEmpty()) << typed;
  }
  EXPECT_EQ(find_model(*catalog_, "llama*"), nullptr);  // two
  EXPECT_NE(find_model(*catalog_, "qwen*"), nullptr);
}

// ---- the nearest names ----

TEST_F(ModelQueryOfAFewModels, NamesTheNearest) {
  EXPECT_THAT(nearest("lama3.2:3b"), ElementsAre("llama3.2:3b", "llama3.2:latest"));
  EXPECT_THAT(nearest("llama32"), ElementsAre("llama3.2:3b", "llama3.2:latest"));
  EXPECT_THAT(nearest("lamma3.2:latst"), ElementsAre("llama3.2:latest", "llama3.2:3b"));
  EXPECT_THAT(nearest("QWEN2:4b"), ElementsAre("qwen3:4b"));
  EXPECT_THAT(nearest("localhost:5000/team/tinny"), ElementsAre("localhost:5000/team/tiny:q4"));
  EXPECT_THAT(nearest("hf.co/someone/ModelGGUF:Q4_K_M"),
              ElementsAre("hf.co/someone/Model-GGUF:Q4_K_M"));
}

TEST_F(ModelQueryOfAFewModels, NamesOtherTagsOfAModel) {
  EXPECT_THAT(nearest("qwen3"), ElementsAre("qwen3:4b"));
  EXPECT_THAT(nearest("qwen3:235b-a22b-thinking"), ElementsAre("qwen3:4b"));
}

TEST_F(ModelQueryOfAFewModels, NamesModelsWhoseNamespaceWasLeftOut) {
  EXPECT_THAT(nearest("describer"), ElementsAre("me/Describer:latest"));
  EXPECT_THAT(nearest("somebody/describer"), IsEmpty());
}

TEST_F(ModelQueryOfAFewModels, NamesNoneThatIsNotNear) {
  for (const char* const typed : {"phi4", "llama", "somebody/else", ""}) {
    EXPECT_THAT(nearest(typed), IsEmpty()) << typed;
  }
  EXPECT_THAT(nearest(std::string(1'000'000, 'x')), IsEmpty());
}

TEST_F(ModelQuery, NamesAFewOfManyThatAreNear) {
  store({"registry.ollama.ai/library/m1/a", "registry.ollama.ai/library/m2/a",
         "registry.ollama.ai/library/m3/a", "registry.ollama.ai/library/m4/a",
         "registry.ollama.ai/library/m5/a", "registry.ollama.ai/library/m6/a"});
  EXPECT_THAT(nearest("m0:a"), ElementsAre("m1:a", "m2:a", "m3:a", "m4:a", "m5:a"));
}

TEST_F(ModelQuery, FindsNothingInAnEmptyStore) {
  store({});
  EXPECT_THAT(find("*"), IsEmpty());
  EXPECT_THAT(nearest("m:a"), IsEmpty());
}

}  // namespace
}  // namespace ollamafs::test
