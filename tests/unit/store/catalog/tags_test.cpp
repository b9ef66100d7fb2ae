#include "store/catalog/tags.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <system_error>

#include "store/catalog/tag_reader.h"
#include "tests/support/faulty_calls.h"
#include "tests/support/store_builder.h"
#include "tests/support/temp_dir.h"

namespace ollamafs::test {
namespace {

namespace fs = std::filesystem;

using ::testing::ElementsAre;
using ::testing::Field;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

auto tag_at(const std::string& path) {
  return Field(&Tag::path, path);
}

class TagsTest : public ::testing::Test {
 protected:
  TempDir dir_;
  StoreBuilder store_{dir_ / "models"};
};

TEST_F(TagsTest, AreThoseOfBothTreesWhicheverCount) {
  const ManifestSpec model = store_.text_model(1, 100);
  store_.v1("m:a", model);
  store_.v2("m:a", model);
  store_.v1("m:b", model);
  store_.v2("m:c", model);
  const StoreTags tags = list_all_tags(StoreDir{store_.root(), OutsideLinks::refuse});
  EXPECT_THAT(tags.v1.tags, ElementsAre(tag_at("manifests/registry.ollama.ai/library/m/a"),
                                        tag_at("manifests/registry.ollama.ai/library/m/b")));
  EXPECT_THAT(tags.v2.tags, ElementsAre(tag_at("manifests-v2/ollama.com/library/m/a"),
                                        tag_at("manifests-v2/ollama.com/library/m/c")));
}

TEST_F(TagsTest, AreReadWhicheverCount) {
  const Digest v1 = store_.v1("m:a", store_.text_model(1, 100));
  const Digest v2 = store_.v2("m:a", store_.text_model(2, 100));
  const StoreDir store{store_.root(), OutsideLinks::refuse};
  const StoreTags tags = list_all_tags(store);
  TagReader reader{store};
  const auto digest_of = [&](const Tag& tag) {
    const TagFile file = std::get<TagFile>(reader.read(tag));
    return std::get<std::shared_ptr<const StoredManifest>>(file.content)->digest;
  };
  EXPECT_EQ(digest_of(tags.v1.tags.at(0)), v1);
  EXPECT_EQ(digest_of(tags.v2.tags.at(0)), v2);
}

// They keep a manifest blob, so that who deletes blobs must know them.
TEST_F(TagsTest, HaveTheShadowTagsApart) {
  const std::string shadow = "llamacpp:" + std::string(64, 'a');
  store_.v1(shadow, store_.text_model(1, 100));
  store_.v1("llamacpp:latest", store_.text_model(1, 100));
  store_.v1("me/" + shadow, store_.text_model(1, 100));
  store_.v2(shadow, store_.text_model(1, 100));
  const StoreTags tags = list_all_tags(StoreDir{store_.root(), OutsideLinks::refuse});
  const std::string hex(64, 'a');
  EXPECT_THAT(tags.v1.shadows,
              ElementsAre(tag_at("manifests/registry.ollama.ai/library/llamacpp/" + hex)));
  EXPECT_THAT(tags.v1.tags,
              ElementsAre(tag_at("manifests/registry.ollama.ai/library/llamacpp/latest"),
                          tag_at("manifests/registry.ollama.ai/me/llamacpp/" + hex)));
  EXPECT_THAT(tags.v2.shadows, IsEmpty());
  EXPECT_THAT(tags.v2.tags, ElementsAre(tag_at("manifests-v2/ollama.com/library/llamacpp/" + hex)));
}

TEST_F(TagsTest, AreNoneWithoutATree) {
  const StoreTags tags = list_all_tags(StoreDir{store_.root(), OutsideLinks::refuse});
  EXPECT_THAT(tags.v1.tags, IsEmpty());
  EXPECT_THAT(tags.v2.tags, IsEmpty());
}

TEST_F(TagsTest, HaveTheProblemsOfTheirTree) {
  write_file(store_.root() / "manifests/stray", "x");
  write_file(store_.root() / "manifests-v2", "x");
  const StoreTags tags = list_all_tags(StoreDir{store_.root(), OutsideLinks::refuse});
  EXPECT_THAT(tags.v1.problems, ElementsAre(Field(&Problem::path, "manifests/stray")));
  EXPECT_THAT(tags.v2.problems, ElementsAre(Field(&Problem::path, "manifests-v2")));
}

TEST_F(TagsTest, AreNotFewerBecauseATreeCannotBeListed) {
  store_.v1("m:a", store_.text_model(1, 100));
  FaultPlan plan;
  const FaultyCalls calls{plan};
  const StoreDir store{store_.root(), OutsideLinks::refuse, {}, calls};
  plan.fail(call::kOpens, EACCES);
  try {
    (void)list_all_tags(store);
    FAIL() << "a store without tags";
  } catch (const std::system_error& error) {
    EXPECT_EQ(error.code().value(), EACCES);
    EXPECT_THAT(error.what(), HasSubstr("models/manifests"));
  }
}

}  // namespace
}  // namespace ollamafs::test
