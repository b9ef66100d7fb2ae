// layouts/ (docs/view.md §10): the same blobs as other programs want to find them.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <filesystem>
#include <nlohmann/json.hpp>
#include <set>
#include <string>

#include "tests/mounted/broken_model.h"
#include "tests/mounted/mount.h"
#include "tests/mounted/shown.h"
#include "tests/mounted/walk.h"
#include "tests/support/sample_store.h"

namespace ollamafs::test {
namespace {

namespace fs = std::filesystem;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::MatchesRegex;
using ::testing::Not;
using ::testing::UnorderedElementsAre;

class Layouts : public ::testing::Test {
 protected:
  void expect_blob(const fs::path& file, const LayerSpec& layer) const {
    EXPECT_EQ(read_file(file), read_file(store.blob_path(digest_of(layer)))) << file;
  }

  TempDir dir;
  StoreBuilder store{dir / "store"};
};

std::set<std::string> files_in(const fs::path& folder) {
  std::set<std::string> files;
  for (const auto& [path, st] : walk(folder)) {
    if (S_ISREG(st.st_mode)) files.insert(path);
  }
  return files;
}

// ---- layouts/huggingface ----

// The one snapshot of a repository.
fs::path snapshot_of(const fs::path& repository) {
  const std::string commit = read_file(repository / "refs/main");
  EXPECT_THAT(commit, MatchesRegex("[0-9a-f]{40}"));
  EXPECT_THAT(listing(repository / "snapshots"), ElementsAre(".", "..", commit));
  return repository / "snapshots" / commit;
}

// All files of a hub cache, by repository and name.
std::set<std::string> cached_files(const fs::path& hub) {
  std::set<std::string> files;
  for (const std::string& repository : names_in(hub)) {
    for (const std::string& file : names_in(snapshot_of(hub / repository))) {
      files.insert(repository + " " + file);
    }
  }
  return files;
}

TEST_F(Layouts, OfHuggingFaceAreAHubCache) {
  write_sample_models(store);
  const Mount mount{store.root()};
  EXPECT_THAT(cached_files(mount / "layouts/huggingface"),
              UnorderedElementsAre("models--bartowski--Llama-3.2-3B-Instruct-GGUF "
                                   "Llama-3.2-3B-Instruct-Q4_K_M.gguf",
                                   "models--library--gemma3 gemma3-4b.gguf",
                                   "models--library--llama3.2 llama3.2-3b.gguf",
                                   "models--library--llama3.2 llama3.2-latest.gguf",
                                   "models--localhost_5000--team.tuned tuned-v1.0.gguf",
                                   "models--mannix--pirate pirate-q4.gguf",
                                   "models--me--describer describer-latest.gguf",
                                   "models--me--describer mmproj-describer-latest.gguf"));
}

TEST_F(Layouts, OfHuggingFaceHoldTheBlobs) {
  ManifestSpec model = store.text_model(1);
  model.layers.push_back(store.layer(kModelType, "GGUFsecond"));
  model.layers.push_back(store.layer(kProjectorType, "GGUFeyes"));
  store.v1("split:q8", model);
  const Mount mount{store.root()};
  const fs::path snapshot = snapshot_of(mount / "layouts/huggingface/models--library--split");
  EXPECT_THAT(names_in(snapshot),
              UnorderedElementsAre("split-q8-00001-of-00002.gguf", "split-q8-00002-of-00002.gguf",
                                   "mmproj-split-q8.gguf"));
  expect_blob(snapshot / "split-q8-00001-of-00002.gguf", model.layers[0]);
  expect_blob(snapshot / "split-q8-00002-of-00002.gguf", model.layers[3]);
  expect_blob(snapshot / "mmproj-split-q8.gguf", model.layers[4]);
}

TEST_F(Layouts, OfHuggingFaceHaveAnotherCommitForOtherFiles) {
  store.v1("one:a", store.text_model(1));
  store.v1("two:a", store.text_model(2));
  const Mount mount{store.root()};
  const fs::path one = mount / "layouts/huggingface/models--library--one";
  const fs::path two = mount / "layouts/huggingface/models--library--two";
  const std::string first = read_file(one / "refs/main"), other = read_file(two / "refs/main");
  store.v1("one:b", store.text_model(3));
  EXPECT_TRUE(eventually([&] { return read_file(one / "refs/main") != first; }));
  EXPECT_THAT(names_in(snapshot_of(one)), UnorderedElementsAre("one-a.gguf", "one-b.gguf"));
  EXPECT_EQ(read_file(two / "refs/main"), other);
}

// Names that would be one on another system, or if they were put together carelessly.
void write_names_alike(const StoreBuilder& store) {
  std::uint64_t seed = 50;
  for (const char* name :
       {"hf.co/Team/Tiny-GGUF:q4", "huggingface.co/team/tiny-gguf:Q4", "team/tiny-gguf:q4",
        "h.st/a-/b:q4", "h.st/a/b:q4", "h.st:1/a/b:q4", "h.st_1/a/b:q4", "a--b/c:q4", "a/b--c:q4",
        "a-/c:q4", "a/c:q4", "a/c.:q4", "library/mmproj:x", "library/mmproj:mmproj-x"}) {
    ManifestSpec model = store.text_model(++seed, 100);
    if (std::string{name}.ends_with(":x")) {
      model.layers.push_back(store.layer(kProjectorType, "GGUFeyes"));
    }
    store.v1(name, model);
  }
}

TEST_F(Layouts, OfHuggingFaceKeepNamesApartThatAreAlike) {
  write_names_alike(store);
  const Mount mount{store.root()};
  const auto files = cached_files(mount / "layouts/huggingface");
  EXPECT_THAT(files, UnorderedElementsAre(
                         "models--Team--Tiny-GGUF Tiny-q4.gguf",
                         "models--Team--Tiny-GGUF tiny-Q4-2.gguf", "models--a--b-c b--c-q4.gguf",
                         "models--a--c c-q4.gguf", "models--registry.ollama.ai--a-c c-q4.gguf",
                         "models--registry.ollama.ai--a.c c.-q4.gguf", "models--a-b--c c-q4.gguf",
                         "models--h.st--a-b b-q4.gguf", "models--h.st--a.b b-q4.gguf",
                         "models--h.st_1--a.b b-q4.gguf", "models--h.st_1--a.b-2 b-q4.gguf",
                         "models--library--mmproj mmproj-mmproj-x.gguf",
                         "models--library--mmproj mmproj-mmproj-x-2.gguf",
                         "models--library--mmproj mmproj-x-2.gguf",
                         "models--registry.ollama.ai--team.tiny-gguf tiny-gguf-q4.gguf"));
}

// ---- layouts/lmstudio ----

TEST_F(Layouts, OfLmStudioHaveTwoLevels) {
  write_sample_models(store);
  const Mount mount{store.root()};
  const fs::path folder = mount / "layouts/lmstudio";
  EXPECT_THAT(
      files_in(folder),
      UnorderedElementsAre("bartowski/Llama-3.2-3B-Instruct-GGUF/Llama-3.2-3B-Instruct-Q4_K_M.gguf",
                           "library/gemma3/gemma3-4b.gguf", "library/llama3.2/llama3.2-3b.gguf",
                           "library/llama3.2/llama3.2-latest.gguf",
                           "localhost_5000/team.tuned/tuned-v1.0.gguf",
                           "mannix/pirate/pirate-q4.gguf", "me/describer/describer-latest.gguf",
                           "me/describer/mmproj-describer-latest.gguf"));
  // They are the files of the other views, not copies.
  EXPECT_EQ(stat_of(folder / "library/llama3.2/llama3.2-3b.gguf").st_ino,
            stat_of(mount / "contents/llama3.2+3b/model.gguf").st_ino);
}

// ---- layouts/oci ----

nlohmann::json json_in(const fs::path& file) {
  return nlohmann::json::parse(read_file(file));
}

// The blob that a descriptor names, which must be what it says.
fs::path described(const fs::path& layout, const nlohmann::json& descriptor) {
  const std::string digest = descriptor.at("digest");
  const fs::path blob = layout / "blobs/sha256" / digest.substr(7);
  EXPECT_EQ(stat_of(blob).st_size, descriptor.at("size").get<off_t>()) << blob;
  EXPECT_EQ(Digest::of(read_file(blob)).to_string(), digest) << blob;
  return blob;
}

// All that is in a layout must be named by index.json, and be there.
void expect_sound_layout(const fs::path& layout) {
  EXPECT_EQ(read_file(layout / "oci-layout"), R"({"imageLayoutVersion":"1.0.0"})");
  const auto index = json_in(layout / "index.json");
  EXPECT_EQ(index.at("manifests").size(), 2U);
  std::set<std::string> named;
  for (const auto& descriptor : index.at("manifests")) {
    const fs::path path = described(layout, descriptor);
    named.insert(path.filename());
    const auto manifest = json_in(path);
    EXPECT_EQ(manifest.at("mediaType"), descriptor.at("mediaType"));
    named.insert(described(layout, manifest.at("config")).filename());
    for (const auto& layer : manifest.at("layers")) {
      named.insert(described(layout, layer).filename());
    }
  }
  EXPECT_EQ(names_in(layout / "blobs/sha256"), named) << layout;
}

TEST_F(Layouts, OfOciHoldWhatTheirIndexNames) {
  write_sample_models(store);
  const Mount mount{store.root()};
  for (const std::string& model : models_in(mount.path())) {
    SCOPED_TRACE(model);
    expect_sound_layout(mount / "layouts/oci" / model);
  }
}

TEST_F(Layouts, OfOciHaveTheModelTwice) {
  const ManifestSpec model = store.text_model(1);
  const Digest digest = store.v1("one:a", model);
  const Mount mount{store.root()};
  const fs::path layout = mount / "layouts/oci/one+a";
  const auto index = json_in(layout / "index.json");
  const auto& own = index.at("manifests").at(0);
  const auto& pack = index.at("manifests").at(1);
  constexpr const char* kRefName = "org.opencontainers.image.ref.name";
  EXPECT_EQ(own.at("digest"), digest.to_string());
  EXPECT_EQ(own.at("mediaType"), kManifestType);
  EXPECT_EQ(own.at("annotations").at(kRefName), "a");
  EXPECT_EQ(read_file(described(layout, own)), model.json());
  EXPECT_EQ(pack.at("annotations").at(kRefName), "a-modelpack");
  const auto manifest = json_in(described(layout, pack));
  EXPECT_EQ(manifest.at("artifactType"), "application/vnd.cncf.model.manifest.v1+json");
  std::set<std::string> names;
  for (const auto& layer : manifest.at("layers")) {
    const std::string name = layer.at("annotations").at("org.cncf.model.filepath");
    EXPECT_EQ(layer.at("annotations").at("org.opencontainers.image.title"), name);
    EXPECT_EQ(stat_of(described(layout, layer)).st_ino,
              stat_of(mount / "contents/one+a" / name).st_ino);
    names.insert(name);
  }
  EXPECT_THAT(names,
              UnorderedElementsAre("model.gguf", "template.txt", "params.json", "config.json"));
  EXPECT_EQ(manifest.at("layers").at(0).at("mediaType"),
            "application/vnd.cncf.model.weight.v1.raw");
}

// ---- all ----

TEST_F(Layouts, HaveNoBrokenModel) {
  const ThreeModels models{store.root()};
  fs::remove(models.blob());
  const Mount mount{store.root()};
  for (const auto& entry : fs::directory_iterator{mount / "layouts"}) {
    const auto files = files_in(entry);
    EXPECT_THAT(files, Not(IsEmpty())) << entry;
    for (const std::string& file : files) EXPECT_THAT(file, Not(HasSubstr("bad"))) << entry;
  }
}

}  // namespace
}  // namespace ollamafs::test
