// contents/ and layouts/ (docs/view.md §9, §10), which are there when somebody looks into them.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cerrno>
#include <filesystem>
#include <sstream>
#include <string>

#include "tests/mounted/broken_model.h"
#include "tests/mounted/life.h"
#include "tests/mounted/mount.h"
#include "tests/mounted/shown.h"
#include "tests/mounted/walk.h"
#include "tests/support/real_store.h"
#include "tests/support/sample_store.h"

namespace ollamafs::test {
namespace {

namespace fs = std::filesystem;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::UnorderedElementsAre;

// The directories of contents/ that hold a model.
std::vector<fs::path> models_of(const fs::path& contents) {
  std::vector<fs::path> models;
  for (const auto& entry : fs::recursive_directory_iterator{contents}) {
    if (entry.path().filename() == "SHA256SUMS") models.push_back(entry.path().parent_path());
  }
  return models;
}

class Contents : public ::testing::Test {
 protected:
  TempDir dir;
  StoreBuilder store{dir / "store"};
};

TEST_F(Contents, AreNamedByWhatTheyAre) {
  write_sample_models(store);
  const Mount mount{store.root()};
  const auto names = [&](const char* model) { return names_in(mount / "contents" / model); };
  EXPECT_THAT(names("llama3.2+3b"),
              UnorderedElementsAre("Modelfile", "SHA256SUMS", "config.json", "license.txt",
                                   "manifest.json", "model.gguf", "params.json", "template.txt"));
  EXPECT_THAT(names("gpt-oss+120b-cloud"),
              UnorderedElementsAre("Modelfile", "SHA256SUMS", "config.json", "manifest.json"));
  EXPECT_THAT(names("me/describer+latest"), ::testing::IsSupersetOf({"model.gguf", "mmproj.gguf"}));
  EXPECT_THAT(names("me/qwen3-moe+nvfp4/tensors"), ::testing::Not(::testing::IsEmpty()));
}

TEST_F(Contents, HaveTheSumsThatSha256sumFinds) {
  write_sample_models(store);
  const Mount mount{store.root()};
  const auto models = models_of(mount / "contents");
  EXPECT_EQ(models.size(), models_in(mount.path()).size());
  for (const fs::path& model : models) {
    must({"sh", "-c", "cd \"$1\" && sha256sum -c --quiet --strict SHA256SUMS", "sums", model});
    // Nothing of the model is hidden: each of its blobs is there.
    const fs::path own = mount / "models" / model.lexically_relative(mount / "contents");
    std::set<ino_t> blobs, shown;
    for (const auto& [path, st] : walk(own / "blobs")) {
      if (S_ISREG(st.st_mode)) blobs.insert(st.st_ino);
    }
    for (const auto& [path, st] : walk(model)) shown.insert(st.st_ino);
    EXPECT_TRUE(std::ranges::includes(shown, blobs)) << model;
  }
}

// The lines of a Modelfile but for those that name files.
std::string without_files(const std::string& modelfile) {
  std::istringstream lines{modelfile};
  std::string rest;
  for (std::string line; std::getline(lines, line);) {
    if (line.starts_with("FROM ") || line.starts_with("ADAPTER ") || line.starts_with("DRAFT ")) {
      continue;
    }
    rest += line + "\n";
  }
  return rest;
}

void expect_modelfiles_of_show(const fs::path& store) {
  const Mount mount{store};
  const auto listed = list_json(store);
  for (const auto& model : listed.at("models")) {
    const std::string name = model.at("name");
    const fs::path folder = mount / "contents" / view_name(name);
    const std::string modelfile = read_file(folder / "Modelfile");
    const std::string shown = must({binary(), "show", name, "--modelfile", "--store", store});
    EXPECT_EQ(without_files(modelfile), without_files(shown.substr(0, shown.size() - 1))) << name;
    std::istringstream lines{modelfile};
    for (std::string line; std::getline(lines, line);) {
      const auto file = line.find(" ./");
      if (!line.starts_with('#') && file != std::string::npos) {
        EXPECT_TRUE(fs::exists(folder / line.substr(file + 3))) << name << ": " << line;
      }
    }
  }
}

TEST_F(Contents, HaveTheModelfileOfShowWithTheFilesBesideIt) {
  for (const auto unpack : {unpack_real_store_v1, unpack_real_store_v2}) {
    unpack(dir / "real");
    expect_modelfiles_of_show(dir / "real");
    fs::remove_all(dir / "real");
  }
}

TEST_F(Contents, OfABrokenModelAreBroken) {
  const ThreeModels models{store.root()};
  fs::remove(models.blob());
  const Mount mount{store.root()};
  EXPECT_EQ(listing_fails_with(mount / "contents/bad/one+v1"), EIO);
  EXPECT_EQ(opening_fails_with(mount / "contents/bad/one+v1/BROKEN"), EIO);
  EXPECT_EQ(read_file(mount / "contents/good+v1/model.gguf"),
            read_file(models.path_of(models.good.layers[0])));
}

TEST_F(Contents, FollowTheStore) {
  store.v1("one:a", store.text_model(1));
  const Mount mount{store.root()};
  EXPECT_TRUE(fs::exists(mount / "contents/one+a/model.gguf"));
  store.v1("two:b", store.text_model(2));
  EXPECT_TRUE(eventually([&] { return fs::exists(mount / "contents/two+b/model.gguf"); }));
  fs::remove(store.v1_path(*ModelName::parse("two:b")));
  EXPECT_TRUE(eventually([&] { return !fs::exists(mount / "contents/two+b"); }));
}

// Many who look at once, each by another way.
TEST_F(Contents, AreThereForAllWhoLookFirst) {
  write_many_models(store, 300);
  const Mount mount{store.root()};
  must({"sh", "-c",
        "for i in 1 2 3 4 5 6; do ls \"$1/contents/bulk\" >/dev/null & pids=\"$pids $!\"\n"
        "cat \"$1/contents/bulk/model-$i:q4\" 2>/dev/null & "
        "cat \"$1\"/layouts/ollama/manifests-v2/.keep & pids=\"$pids $!\"; done\n"
        "for pid in $pids; do wait $pid || exit 1; done",
        "look", mount.path()});
}

TEST_F(Contents, ThatNobodyLooksAtReadNoBlob) {
  write_sample_models(store);
  Mount mount{store.root(), {.arguments = {"--debug"}}};
  must({"ls", "-la", mount.path()});
  EXPECT_EQ(stat_of(mount / "contents").st_nlink, 1U);
  EXPECT_EQ(listing(mount / "layouts"),
            (std::vector<std::string>{".", "..", "huggingface", "lmstudio", "oci", "ollama"}));
}

// ---- layouts/ollama ----

TEST_F(Contents, AreOneModelsFolderInTheLayoutOfOllama) {
  write_sample_models(store);
  const ThreeModels models{store.root()};
  fs::remove(models.blob());
  const Mount mount{store.root()};
  const fs::path layout = mount / "layouts/ollama";
  must({binary(), "verify", "--store", layout});
  std::map<std::string, std::string> expected, found;
  const auto listed = list_json(store.root()), laid_out = list_json(layout);
  for (const auto& model : listed.at("models")) {
    if (model.at("state") == "whole") expected[model.at("name")] = model.at("id");
  }
  for (const auto& model : laid_out.at("models")) {
    EXPECT_EQ(model.at("state"), "whole");
    found[model.at("name")] = model.at("id");
  }
  EXPECT_GT(expected.size(), 8U);
  EXPECT_EQ(found, expected);
  EXPECT_THAT(listing(layout / "manifests-v2"), ElementsAre(".", "..", ".keep"));
}

// ---- which ----

TEST_F(Contents, AreShownIfTheyAreAmongTheViews) {
  store.v1("one:a", store.text_model(1));
  {
    const Mount mount{store.root(), {.arguments = {"-o", "views=models,contents"}}};
    EXPECT_THAT(listing(mount.path()),
                ElementsAre(".", "..", "README.txt", "contents", "index.html", "models"));
  }
  const Mount mount{store.root(), {.arguments = {"-o", "views=layouts/ollama,hold=1"}}};
  EXPECT_THAT(listing(mount.path()), ElementsAre(".", "..", "README.txt", "index.html", "layouts"));
}

}  // namespace
}  // namespace ollamafs::test
