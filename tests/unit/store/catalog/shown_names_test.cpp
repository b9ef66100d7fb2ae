#include "store/catalog/shown_names.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <set>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

#include "store/catalog/model_query.h"
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
using ::testing::Pair;
using ::testing::SizeIs;
using ::testing::StartsWith;
using ::testing::UnorderedElementsAre;

Model model(const ModelName& name) {
  return {.name = name, .tag_path = "manifests/" + name.v1_path()};
}

// What becomes of models that are stored at these v1 paths.
struct Shown {
  std::map<std::string, std::string> names;  // shown name by tag path
  std::map<std::string, std::string> views;  // view name by shown name
  std::vector<std::string> problems;         // path and reason
};

Shown show(const std::vector<ModelName>& stored) {
  std::vector<Model> models;
  for (const ModelName& name : stored) models.push_back(model(name));
  std::vector<Problem> problems;
  assign_shown_names(models, problems);
  Shown shown;
  for (const Model& m : models) {
    shown.names[m.tag_path] = m.shown;
    shown.views[m.shown] = m.view_name;
  }
  for (const Problem& p : problems) shown.problems.push_back(p.path + " " + p.text);
  return shown;
}

ModelName name(std::string_view host, std::string_view name_space, std::string_view model_part,
               std::string_view tag) {
  const auto made = ModelName::from_parts(host, name_space, model_part, tag);
  if (!made) throw std::invalid_argument{"outside of the grammar"};
  return *made;
}

const ModelName kPlain = name("registry.ollama.ai", "library", "foo", "latest");
const ModelName kOtherHost = name("REGISTRY.ollama.ai", "library", "foo", "latest");
const ModelName kOtherNamespace = name("registry.ollama.ai", "Library", "foo", "latest");
const ModelName kNewHost = name("ollama.com", "library", "foo", "latest");

TEST(ShownNames, AreWhatOllamaListsAndTheSameForFiles) {
  const Shown shown = show({kPlain, name("localhost:5000", "me", "tiny", "q4")});
  EXPECT_THAT(shown.names,
              UnorderedElementsAre(
                  Pair("manifests/registry.ollama.ai/library/foo/latest", "foo:latest"),
                  Pair("manifests/localhost:5000/me/tiny/q4", "localhost:5000/me/tiny:q4")));
  EXPECT_THAT(shown.views, UnorderedElementsAre(
                               Pair("foo:latest", "foo+latest"),
                               Pair("localhost:5000/me/tiny:q4", "localhost%3A5000/me/tiny+q4")));
  EXPECT_THAT(shown.problems, IsEmpty());
}

TEST(ShownNames, StayWithTheCanonicalSpelling) {
  for (const ModelName& other : {kOtherHost, kOtherNamespace, kNewHost}) {
    const std::string path = "manifests/" + other.v1_path();
    const Shown shown = show({other, kPlain});
    EXPECT_THAT(
        shown.names,
        UnorderedElementsAre(Pair("manifests/registry.ollama.ai/library/foo/latest", "foo:latest"),
                             Pair(path, other.full())));
    EXPECT_EQ(shown.views.at(other.full()), view_name(other.full()));
    EXPECT_THAT(shown.problems, ElementsAre(AllOf(StartsWith(path + " is shown as " + other.full()),
                                                  HasSubstr("foo:latest"))));
  }
}

TEST(ShownNames, AreTakenByAnotherSpellingIfTheCanonicalOneIsNotThere) {
  for (const ModelName& only : {kOtherHost, kOtherNamespace, kNewHost}) {
    const Shown shown = show({only});
    EXPECT_THAT(shown.names, ElementsAre(Pair("manifests/" + only.v1_path(), "foo:latest")));
    EXPECT_THAT(shown.problems, IsEmpty());
  }
}

// Several spellings of one name, and every one of them must still be found.
TEST(ShownNames, AreUniqueHoweverManyAreAlike) {
  const Shown shown = show({kOtherNamespace, kNewHost, kPlain, kOtherHost});
  EXPECT_THAT(
      shown.names,
      UnorderedElementsAre(Pair("manifests/" + kPlain.v1_path(), "foo:latest"),
                           Pair("manifests/" + kOtherHost.v1_path(), kOtherHost.full()),
                           Pair("manifests/" + kOtherNamespace.v1_path(), kOtherNamespace.full()),
                           Pair("manifests/" + kNewHost.v1_path(), kNewHost.full())));
  std::set<std::string> views;
  for (const auto& [display, view] : shown.views) views.insert(view);
  EXPECT_THAT(views, SizeIs(4));
  EXPECT_THAT(shown.problems, SizeIs(3));
}

// Whatever order a directory is read in, a script finds the same model under the same name.
TEST(ShownNames, DoNotDependOnTheOrder) {
  std::vector<ModelName> stored = {kNewHost, kOtherHost, kOtherNamespace};
  std::ranges::sort(stored);
  const Shown first = show(stored);
  while (std::ranges::next_permutation(stored).found) {
    EXPECT_EQ(show(stored).names, first.names);
  }
}

TEST(ShownNames, DifferInTheCaseOfEverythingElse) {
  const Shown shown =
      show({name("registry.ollama.ai", "me", "Foo", "latest"),
            name("registry.ollama.ai", "me", "foo", "latest"),
            name("registry.ollama.ai", "Me", "foo", "latest"),
            name("registry.ollama.ai", "me", "foo", "Latest"), name("hf.co", "me", "foo", "latest"),
            name("HF.co", "me", "foo", "latest")});
  EXPECT_THAT(shown.views, SizeIs(6));
  EXPECT_THAT(shown.problems, IsEmpty());
}

TEST(ShownNames, NeverHaveAPartTooLongForAFileName) {
  const std::string longest(255, 'h'), longer(256, 'h');
  const Shown shown = show({name(longest, "n", "m", "t"), name(longer, "n", "m", "t"), kPlain});
  EXPECT_THAT(shown.names, SizeIs(2));
  EXPECT_TRUE(shown.names.contains("manifests/" + longest + "/n/m/t"));
  EXPECT_THAT(shown.problems,
              ElementsAre(StartsWith("manifests/" + longer + "/n/m/t cannot be shown")));
}

// A colon takes three bytes in the view, so a host that fits on the disk may not fit there.
TEST(ShownNames, CountTheEscapedColons) {
  const std::string colons(64, ':');
  const std::string fits = "h" + colons + std::string(255 - 1 - 3 * 64, 'h'),
                    not_quite = fits + "h";
  const Shown shown = show({name(fits, "n", "m", "t"), name(not_quite, "n", "m", "t")});
  EXPECT_THAT(shown.names, ElementsAre(Pair("manifests/" + fits + "/n/m/t", fits + "/n/m:t")));
  EXPECT_THAT(shown.problems, ElementsAre(HasSubstr("cannot be shown")));
}

// ---- the same in a store, which has two trees (docs/store-format.md §3.2) ----

// The model that is shown under this name.
const Model& find(const Catalog& catalog, std::string_view shown) {
  const Model* found = find_model(catalog, shown);
  if (!found) throw std::runtime_error{"no model " + std::string{shown}};
  return *found;
}

class ShownNamesInAStore : public ::testing::Test {
 protected:
  // Writes a manifest at a path of the older tree.
  void store_at(const ModelName& name, std::uint64_t seed) const {
    write_file(store_.root() / "manifests" / name.v1_path(), store_.text_model(seed, 100).json());
  }
  [[nodiscard]] std::shared_ptr<const Catalog> read() const {
    return Catalog::read(StoreDir{store_.root(), OutsideLinks::refuse});
  }

  [[nodiscard]] static std::vector<std::string> shown(const Catalog& catalog) {
    std::vector<std::string> names;
    for (const Model& m : catalog.models()) names.push_back(m.shown);
    return names;
  }
  [[nodiscard]] static std::vector<std::string> problems(const Catalog& catalog) {
    std::vector<std::string> lines;
    for (const Problem& p : catalog.problems()) lines.push_back(p.path + " " + p.text);
    return lines;
  }

  TempDir dir_;
  StoreBuilder store_{dir_ / "models"};
};

TEST_F(ShownNamesInAStore, LeadEachToItsOwnModel) {
  store_at(kPlain, 1);
  store_at(kOtherNamespace, 2);
  store_at(kNewHost, 3);
  const auto catalog = read();
  ASSERT_THAT(catalog->models(), SizeIs(3));
  const auto bytes = [&](const std::string& shown) {
    return find(*catalog, shown).manifest->bytes;
  };
  EXPECT_EQ(bytes("foo:latest"), store_.text_model(1, 100).json());
  EXPECT_EQ(bytes("registry.ollama.ai/Library/foo:latest"), store_.text_model(2, 100).json());
  EXPECT_EQ(bytes("ollama.com/library/foo:latest"), store_.text_model(3, 100).json());
  EXPECT_THAT(catalog->problems(), SizeIs(2));
}

TEST_F(ShownNamesInAStore, BelongToTheNewerTree) {
  const ManifestSpec older = store_.text_model(1, 100), newer = store_.text_model(2, 100);
  for (const char* const name :
       {"a:latest", "ollama.com/library/a:latest", "localhost:5000/me/b:x"}) {
    store_.v1(name, older);
  }
  store_.v2("a:latest", newer);
  store_.v2("localhost:5000/me/b:x", newer);
  const auto catalog = read();
  EXPECT_THAT(shown(*catalog), UnorderedElementsAre("a:latest", "localhost:5000/me/b:x"));
  for (const Model& model : catalog->models()) EXPECT_EQ(model.manifest->bytes, newer.json());
  EXPECT_THAT(problems(*catalog), IsEmpty());  // so it is after every pull
}

// The newer tag is damaged, not dangling: an older Ollama would run another model under its name.
TEST_F(ShownNamesInAStore, DoNotGoBackToTheOlderTreeForABadTag) {
  store_.v1("a:latest", store_.text_model(1, 100));
  const Digest digest = store_.v2("a:latest", store_.text_model(2, 100));
  write_file(store_.blob_path(digest), "{\"layers\":[]}");
  const auto damaged = read();
  ASSERT_THAT(shown(*damaged), ElementsAre("a:latest"));
  EXPECT_THAT(texts(damaged->models()[0].faults), ElementsAre(HasSubstr("its SHA-256 is another")));
  EXPECT_EQ(damaged->models()[0].manifest->digest, digest);

  store_.v2_bytes("a:latest", "no manifest", true);
  const auto refused = read();
  EXPECT_THAT(shown(*refused), IsEmpty());
  EXPECT_THAT(problems(*refused), ElementsAre(HasSubstr("is not a manifest")));
}

TEST_F(ShownNamesInAStore, GoBackToTheOlderTreeForADanglingTag) {
  const ManifestSpec older = store_.text_model(1, 100);
  store_.v1("a:latest", older);
  fs::remove(store_.blob_path(store_.v2("a:latest", store_.text_model(2, 100))));
  const auto catalog = read();
  ASSERT_THAT(shown(*catalog), ElementsAre("a:latest"));
  EXPECT_TRUE(catalog->models()[0].whole());
  EXPECT_EQ(catalog->models()[0].manifest->bytes, older.json());
  EXPECT_THAT(problems(*catalog),
              ElementsAre(AllOf(StartsWith("manifests-v2/ollama.com/library/a/latest "),
                                HasSubstr("manifests/registry.ollama.ai/library/a/latest"))));
}

// A tag of the newer tree has the canonical host whatever the folder is called.
TEST_F(ShownNamesInAStore, PreferTheDefaultNamespaceOverTheTree) {
  store_at(kPlain, 1);
  store_.v2("Library/foo:latest", store_.text_model(2, 100));
  const auto catalog = read();
  ASSERT_THAT(catalog->models(), SizeIs(2));
  EXPECT_EQ(find(*catalog, "foo:latest").tag_path,
            "manifests/registry.ollama.ai/library/foo/latest");
  EXPECT_EQ(find(*catalog, "registry.ollama.ai/Library/foo:latest").tag_path,
            "manifests-v2/ollama.com/Library/foo/latest");
}

TEST_F(ShownNamesInAStore, AreNotTakenByASymlinkToADirectory) {
  store_.v2("a:latest", store_.text_model(2, 100), true);
  const fs::path written = store_.v2_path(*ModelName::parse("a:latest"));
  const fs::path tag = store_.root() / "manifests-v2/registry.ollama.ai/library/a/latest";
  fs::create_directories(tag.parent_path());
  fs::rename(written, tag);
  fs::create_directory_symlink(".", written);
  const auto catalog = read();
  ASSERT_THAT(shown(*catalog), ElementsAre("a:latest"));
  EXPECT_THAT(problems(*catalog),
              ElementsAre(HasSubstr("is a directory where a manifest belongs")));
}

// Two folders of the newer tree for one host: the one that Ollama writes is the model's.
TEST_F(ShownNamesInAStore, BelongToTheFolderThatOllamaWouldWrite) {
  struct {
    const char *canonical, *other, *shown;
  } const cases[] = {
      {"ollama.com/library/foo", "OLLAMA.com/library/foo", "foo:latest"},
      {"ollama.com/library/foo", "registry.ollama.ai/library/foo", "foo:latest"},
      {"ollama.com/library/foo", "REGISTRY.ollama.ai/library/foo", "foo:latest"},
      {"h%3A5000/me/foo", "h%3a5000/me/foo", "h:5000/me/foo:latest"},
      {"h%3A5000/me/foo", "h:5000/me/foo", "h:5000/me/foo:latest"},
  };
  for (const auto& [canonical, other, shown] : cases) {
    const std::string tree = "manifests-v2/";
    fs::remove_all(store_.root() / tree);
    const std::string taken = tree + canonical + "/latest", hidden = tree + other + "/latest";
    write_file(store_.root() / taken, store_.text_model(1, 100).json());
    write_file(store_.root() / hidden, store_.text_model(2, 100).json());
    const auto catalog = read();
    ASSERT_THAT(catalog->models(), SizeIs(1)) << other;
    EXPECT_EQ(catalog->models()[0].shown, shown);
    EXPECT_EQ(catalog->models()[0].tag_path, taken);
    ASSERT_THAT(catalog->problems(), SizeIs(1)) << other;
    EXPECT_EQ(catalog->problems()[0].path, hidden);
    EXPECT_THAT(catalog->problems()[0].text, HasSubstr("is hidden by " + taken));
  }
}

TEST_F(ShownNamesInAStore, LeaveOutAModelThatNoNameCanShow) {
  const std::string host = "h" + std::string(100, ':');
  store_at(name(host, "n", "m", "t"), 1);
  store_at(kPlain, 2);
  const auto catalog = read();
  ASSERT_THAT(catalog->models(), SizeIs(1));
  EXPECT_EQ(catalog->models()[0].shown, "foo:latest");
  ASSERT_THAT(catalog->problems(), SizeIs(1));
  EXPECT_EQ(catalog->problems()[0].path, "manifests/" + host + "/n/m/t");
  // Nor are the blobs there that only it needs.
  EXPECT_THAT(catalog->blobs(), SizeIs(4));
  for (std::uint32_t i = 0; i < catalog->blobs().size(); ++i) {
    EXPECT_THAT(catalog->users(i), ElementsAre(0u));
  }
}

}  // namespace
}  // namespace ollamafs::test
