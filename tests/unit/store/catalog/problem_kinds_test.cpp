#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "store/catalog/catalog.h"
#include "store/catalog/model_query.h"
#include "tests/support/store_builder.h"
#include "tests/support/temp_dir.h"

// The kinds of problems and faults that a catalog tells; their texts are the business of the tests
// of who writes them.
namespace ollamafs::test {
namespace {

namespace fs = std::filesystem;

using ::testing::ElementsAre;
using ::testing::Pair;

using Kind = ProblemKind;

class ProblemKinds : public ::testing::Test {
 protected:
  [[nodiscard]] std::shared_ptr<const Catalog> read(
      OutsideLinks outside = OutsideLinks::refuse) const {
    return Catalog::read(StoreDir{store_.root(), outside});
  }

  // Of each problem, in the order of their paths.
  [[nodiscard]] static std::vector<Kind> problems(const Catalog& catalog) {
    std::vector<Kind> kinds;
    for (const Problem& problem : catalog.problems()) kinds.push_back(problem.kind);
    return kinds;
  }

  // The kind and the digest of each fault of the model "m:a".
  [[nodiscard]] std::vector<std::pair<Kind, std::optional<Digest>>> faults() const {
    const auto catalog = read();
    std::vector<std::pair<Kind, std::optional<Digest>>> faults;
    for (const Fault& fault : find_model(*catalog, "m:a")->faults) {
      faults.emplace_back(fault.kind, fault.digest);
    }
    return faults;
  }

  [[nodiscard]] fs::path at(const std::string& path) const { return store_.root() / path; }
  void link(const std::string& path, const fs::path& target) const {
    fs::create_directories(at(path).parent_path());
    fs::create_symlink(target, at(path));
  }

  TempDir dir_;
  StoreBuilder store_{dir_ / "models"};
  ManifestSpec model_ = store_.text_model(1, 100);
  Digest weights_ = *Digest::parse(model_.layers[0].digest);
};

// ---- faults ----

TEST_F(ProblemKinds, TellWhatIsWrongWithABlob) {
  store_.v1("m:a", model_);
  const fs::path blob = store_.blob_path(weights_);
  const std::string bytes = read_file(blob);
  const std::vector<std::pair<std::function<void()>, Kind>> wrongs = {
      {[] {}, Kind::missing},
      {[&] { write_file(blob, bytes + "x"); }, Kind::wrong_size},
      {[&] { fs::create_directory(blob); }, Kind::not_a_file},
      {[&] { fs::create_symlink("/dev/null", blob); }, Kind::outside},
      {[&] { fs::create_symlink("nowhere", blob); }, Kind::missing},
      {[&] { fs::create_symlink(blob.filename(), blob); }, Kind::not_a_file},
  };
  for (const auto& [spoil, kind] : wrongs) {
    fs::remove_all(blob);
    spoil();
    EXPECT_THAT(faults(), ElementsAre(Pair(kind, weights_))) << to_string(kind);
  }
}

TEST_F(ProblemKinds, TellWhatIsWrongInAManifest) {
  const Digest other = Digest::of("other");
  const std::vector<std::pair<std::vector<LayerSpec>, std::pair<Kind, std::optional<Digest>>>>
      wrongs = {
          {{{kModelType, "sha256:x", 1}}, {Kind::bad_digest, {}}},
          {{{kModelType, weights_.to_string(), -1}}, {Kind::bad_size, weights_}},
      };
  for (const auto& [layers, fault] : wrongs) {
    ManifestSpec spec;
    spec.layers = layers;
    store_.v1("m:a", spec);
    EXPECT_THAT(faults(), ElementsAre(fault));
  }
  ManifestSpec twice;
  twice.layers = {{kModelType, other.to_string(), 1}, {kModelType, other.to_string(), 2}};
  store_.v1("m:a", twice);
  EXPECT_THAT(faults(), ElementsAre(Pair(Kind::bad_size, other), Pair(Kind::missing, other)));
}

TEST_F(ProblemKinds, TellWhatIsWrongWithAManifestsBlob) {
  const Digest manifest = store_.v2("m:a", model_);
  write_file(store_.blob_path(manifest), "damaged");
  EXPECT_THAT(faults(), ElementsAre(Pair(Kind::damaged, manifest)));
  fs::remove(store_.blob_path(manifest));
  EXPECT_THAT(faults(), ElementsAre(Pair(Kind::missing, manifest)));
  const Digest none = store_.v2_bytes("m:a", "no manifest");
  EXPECT_THAT(faults(), ElementsAre(Pair(Kind::bad_manifest, none)));
}

TEST_F(ProblemKinds, TellWhatIsWrongWithAList) {
  const Digest child = Digest::of("child");
  const Digest list = store_.v2_bytes("m:a", StoreBuilder::list_json({{child, "ggml", "gguf"}}));
  EXPECT_THAT(faults(), ElementsAre(Pair(Kind::no_child, list)));
  write_file(store_.blob_path(child), "damaged");
  EXPECT_THAT(faults(), ElementsAre(Pair(Kind::damaged, child)));
  const std::string nested = StoreBuilder::list_json({});
  write_file(store_.blob_path(Digest::of(nested)), nested);
  store_.v2_bytes("m:a", StoreBuilder::list_json({{Digest::of(nested), "ggml", "gguf"}}));
  EXPECT_THAT(faults(), ElementsAre(Pair(Kind::bad_manifest, Digest::of(nested))));
}

// ---- problems ----

TEST_F(ProblemKinds, TellWhatIsWrongInATree) {
  const std::string tree = "manifests/registry.ollama.ai/library/";
  fs::create_directories(at(tree + "a-directory/t"));
  write_file(at(tree + "b-name/t~"), "{}");
  write_file(at(tree + "c-stray"), "{}");
  write_file(at(tree + "d-manifest/t"), "{");
  link(tree + "e-missing/t", "nowhere");
  link(tree + "f-outside/t", "/etc/passwd");
  link(tree + "g-folder", "/etc");
  link("manifests-v2/ollama.com/library/h-foreign/t", "../../../../x");
  EXPECT_THAT(problems(*read()),
              ElementsAre(Kind::foreign_link, Kind::directory, Kind::bad_name, Kind::stray_file,
                          Kind::bad_manifest, Kind::missing, Kind::outside, Kind::outside));
}

TEST_F(ProblemKinds, TellWhatIsWrongWithNames) {
  store_.v1("m:a", model_);
  const Digest gone = store_.v2_bytes("m:a", "{}");
  fs::remove(store_.blob_path(gone));
  store_.v2("m:b", model_);
  write_file(at("manifests-v2/registry.ollama.ai/library/m/b"), model_.json());
  write_file(at("manifests/ollama.com/library/m/a"), model_.json());
  const auto catalog = read();
  EXPECT_THAT(problems(*catalog), ElementsAre(Kind::passed_over, Kind::hidden, Kind::renamed));
  EXPECT_EQ(catalog->problems()[0].digest, gone);
}

TEST_F(ProblemKinds, TellThatALinkIsFollowed) {
  store_.v1("m:a", model_);
  const fs::path blob = store_.blob_path(weights_);
  fs::rename(blob, dir_ / "elsewhere");
  fs::create_symlink(dir_ / "elsewhere", blob);
  EXPECT_THAT(problems(*read(OutsideLinks::follow)), ElementsAre(Kind::followed));
}

}  // namespace
}  // namespace ollamafs::test
