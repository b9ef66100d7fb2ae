#include "store/catalog/tag_choice.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "store/catalog/tags.h"
#include "tests/support/store_builder.h"
#include "tests/support/temp_dir.h"

namespace ollamafs::test {
namespace {

namespace fs = std::filesystem;

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Key;
using ::testing::StartsWith;

class TagChoiceTest : public ::testing::Test {
 protected:
  void choose() {
    const StoreDir store{store_.root(), OutsideLinks::refuse};
    TagReader reader{store};
    StoreTags tags = list_all_tags(store);
    names_ = group_by_name(std::move(tags.v1.tags), std::move(tags.v2.tags), reader, problems_);
    for (const auto& [name, of_name] : names_) {
      for (const ChosenTag& chosen : read_chosen(of_name, reader, problems_)) {
        const bool is_file = std::holds_alternative<TagFile>(chosen.result);
        chosen_.push_back((is_file ? "" : "failed: ") + chosen.tag->path);
      }
    }
  }

  [[nodiscard]] std::vector<std::string> problems() const {
    std::vector<std::string> lines;
    for (const Problem& problem : problems_) lines.push_back(problem.path + " " + problem.text);
    return lines;
  }

  [[nodiscard]] std::string v1(const std::string& host) const {
    return "manifests/" + host + "/library/m/a";
  }
  [[nodiscard]] std::string v2(const std::string& host) const {
    return "manifests-v2/" + host + "/library/m/a";
  }

  TempDir dir_;
  StoreBuilder store_{dir_ / "models"};
  ManifestSpec model_ = store_.text_model(1, 100);
  TagsByName names_;
  std::vector<Problem> problems_;
  std::vector<std::string> chosen_;  // paths
};

TEST_F(TagChoiceTest, TakesTheOnlyTag) {
  store_.v1("m:a", model_);
  store_.v2("m:b", model_);
  choose();
  EXPECT_THAT(names_, ElementsAre(Key("registry.ollama.ai/library/m:a"),
                                  Key("registry.ollama.ai/library/m:b")));
  EXPECT_THAT(chosen_,
              ElementsAre(v1("registry.ollama.ai"), "manifests-v2/ollama.com/library/m/b"));
  EXPECT_THAT(problems(), IsEmpty());
}

TEST_F(TagChoiceTest, PrefersTheNewerTree) {
  store_.v1("m:a", model_);
  store_.v2("m:a", model_);
  choose();
  EXPECT_THAT(chosen_, ElementsAre(v2("ollama.com")));
  EXPECT_THAT(problems(), IsEmpty());
}

TEST_F(TagChoiceTest, PassesOverADanglingTag) {
  store_.v1("m:a", model_);
  fs::remove(store_.blob_path(store_.v2("m:a", model_)));
  choose();
  EXPECT_THAT(chosen_, ElementsAre(v1("registry.ollama.ai")));
  EXPECT_THAT(problems(),
              ElementsAre(AllOf(StartsWith(v2("ollama.com") + " is passed over for " +
                                           v1("registry.ollama.ai") + ": manifest blob"),
                                HasSubstr("is missing"))));
}

TEST_F(TagChoiceTest, PassesOverADirectory) {
  store_.v1("m:a", model_);
  fs::create_directories(store_.root() / v2("ollama.com"));
  choose();
  EXPECT_THAT(chosen_, ElementsAre(v1("registry.ollama.ai")));

  fs::remove(store_.root() / v2("ollama.com"));
  fs::create_directory_symlink(store_.root(), store_.root() / v2("ollama.com"));
  problems_.clear();
  choose();
  EXPECT_THAT(problems(), ElementsAre(v2("ollama.com") + " " + kDirectoryForManifest));
}

TEST_F(TagChoiceTest, TakesADanglingTagIfThereIsNoOther) {
  fs::remove(store_.blob_path(store_.v2("m:a", model_)));
  choose();
  EXPECT_THAT(chosen_, ElementsAre("failed: " + v2("ollama.com")));
  EXPECT_THAT(problems(), IsEmpty());
}

// A damaged tag is that of a broken model: the older tree has perhaps another one.
TEST_F(TagChoiceTest, DoesNotPassOverADamagedTag) {
  store_.v1("m:a", model_);
  write_file(store_.blob_path(store_.v2("m:a", model_)), "damaged");
  choose();
  EXPECT_THAT(chosen_, ElementsAre("failed: " + v2("ollama.com")));
}

TEST_F(TagChoiceTest, DoesNotPassOverATagThatGoesRoundInACircle) {
  store_.v1("m:a", model_);
  const fs::path blob = store_.blob_path(store_.v2("m:a", model_));
  fs::remove(blob);
  fs::create_symlink(blob.filename(), blob);
  choose();
  EXPECT_THAT(chosen_, ElementsAre("failed: " + v2("ollama.com")));
}

TEST_F(TagChoiceTest, TakesEverySpellingInTheOlderTree) {
  store_.v1("m:a", model_);
  write_file(store_.root() / v1("ollama.com"), model_.json());
  choose();
  EXPECT_THAT(names_, ElementsAre(Key("registry.ollama.ai/library/m:a")));
  EXPECT_THAT(chosen_, ElementsAre(v1("ollama.com"), v1("registry.ollama.ai")));
}

TEST_F(TagChoiceTest, TakesTheSpellingThatOllamaWritesInTheNewerTree) {
  store_.v2("m:a", model_);
  for (const char* host : {"Ollama.com", "registry.ollama.ai"}) {
    write_file(store_.root() / v2(host), model_.json());
  }
  choose();
  EXPECT_THAT(chosen_, ElementsAre(v2("ollama.com")));
  const std::string why = " is hidden by " + v2("ollama.com") + ", which stands for the same name";
  EXPECT_THAT(problems(), ElementsAre(v2("Ollama.com") + why, v2("registry.ollama.ai") + why));
}

TEST_F(TagChoiceTest, TakesAnotherSpellingInsteadOfADirectory) {
  write_file(store_.root() / v2("registry.ollama.ai"), model_.json());
  fs::create_directories(store_.root() / v2("ollama.com").substr(0, v2("ollama.com").rfind('/')));
  fs::create_directory_symlink(store_.root(), store_.root() / v2("ollama.com"));
  choose();
  EXPECT_THAT(chosen_, ElementsAre(v2("registry.ollama.ai")));
  EXPECT_THAT(problems(), ElementsAre(v2("ollama.com") + " " + kDirectoryForManifest));
}

}  // namespace
}  // namespace ollamafs::test
