#include "store/catalog/name_completion.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdint>
#include <initializer_list>
#include <memory>
#include <string>
#include <vector>

#include "store/catalog/model_query.h"
#include "tests/support/store_builder.h"
#include "tests/support/temp_dir.h"

namespace ollamafs::test {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::SizeIs;
using ::testing::StartsWith;

class NameCompletion : public ::testing::Test {
 protected:
  // Stores models at these paths below manifests/.
  void store(std::initializer_list<const char*> paths) {
    std::uint64_t seed = 0;
    for (const std::string path : paths) {
      write_file(store_.root() / "manifests" / path, store_.text_model(++seed, 100).json());
    }
    catalog_ = Catalog::read(StoreDir{store_.root(), OutsideLinks::refuse});
  }

  void SetUp() override {
    store({"registry.ollama.ai/library/llama3.2/3b", "registry.ollama.ai/library/llama3.2/latest",
           "registry.ollama.ai/mannix/tiny/latest", "hf.co/me/Tiny/Q4_0",
           "localhost:5000/library/tiny/x"});
  }

  TempDir dir_;
  StoreBuilder store_{dir_ / "store"};
  std::shared_ptr<const Catalog> catalog_;
};

TEST_F(NameCompletion, WithoutALetterIsEveryNameAsListed) {
  std::vector<std::string> shown;
  for (const Model& model : catalog_->models()) shown.push_back(model.shown);
  EXPECT_THAT(shown, SizeIs(5));
  EXPECT_EQ(complete_name(*catalog_, ""), shown);
}

TEST_F(NameCompletion, GoesOnInTheSpellingThatWasBegun) {
  const auto complete = [this](const char* typed) { return complete_name(*catalog_, typed); };
  EXPECT_THAT(complete("ll"), ElementsAre("llama3.2:3b", "llama3.2:latest"));
  EXPECT_THAT(complete("llama3.2+3"), ElementsAre("llama3.2+3b"));
  EXPECT_THAT(complete("library/llama3.2:l"), ElementsAre("library/llama3.2:latest"));
  EXPECT_THAT(complete("registry.ollama.ai/mannix/"),
              ElementsAre("registry.ollama.ai/mannix/tiny:latest"));
  EXPECT_THAT(complete("registry.ollama.ai/library/llama3.2+3"),
              ElementsAre("registry.ollama.ai/library/llama3.2+3b"));
  EXPECT_THAT(complete("hf"), ElementsAre("hf.co/me/Tiny:Q4_0"));
  EXPECT_THAT(complete("localhost%3a5"), ElementsAre("localhost%3a5000/library/tiny+x"));
  EXPECT_THAT(complete("https://hf.co/m"), ElementsAre("https://hf.co/me/Tiny:Q4_0"));
}

TEST_F(NameCompletion, KeepsTheCaseThatWasTyped) {
  EXPECT_THAT(complete_name(*catalog_, "LLAMA3.2:3"), ElementsAre("LLAMA3.2:3b"));
}

TEST_F(NameCompletion, OfAnotherNameIsNone) {
  EXPECT_THAT(complete_name(*catalog_, "qwen"), IsEmpty());
  EXPECT_THAT(complete_name(*catalog_, "llama3.2:3b "), IsEmpty());
}

TEST_F(NameCompletion, FindsTheModelOfEachResult) {
  for (const std::string typed : {"", "l", "m", "t", "h", "reg", "library/", "HF", "http://l"}) {
    for (const std::string& name : complete_name(*catalog_, typed)) {
      EXPECT_THAT(name, StartsWith(typed));
      EXPECT_NE(find_model(*catalog_, name), nullptr) << name;
    }
  }
}

// One of them typed in another case would be a guess.
TEST_F(NameCompletion, DoesNotGuessBetweenNamesThatDifferInCase) {
  store({"registry.ollama.ai/library/case/x", "registry.ollama.ai/library/Case/x"});
  EXPECT_THAT(complete_name(*catalog_, "Ca"), ElementsAre("Case:x"));
  EXPECT_THAT(complete_name(*catalog_, "CA"), IsEmpty());
}

}  // namespace
}  // namespace ollamafs::test
