#include "store/upkeep/usage.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <memory>
#include <optional>
#include <string>

#include "store/catalog/model_query.h"
#include "store/upkeep/quarantine.h"
#include "tests/support/store_builder.h"
#include "tests/support/temp_dir.h"

namespace ollamafs::test {
namespace {

namespace fs = std::filesystem;

class Usage : public testing::Test {
 protected:
  // a:1 and a:2 share weights of 2,000,000 bytes, b:1 has 500,000; all share a template of 13 and a
  // config of 146; a:1 and a:2 have 100 bytes of parameters each.
  [[nodiscard]] ManifestSpec model(std::uint64_t weights, char parameters) const {
    ManifestSpec manifest;
    manifest.config = store_.layer(kConfigType, std::string(146, 'c'));
    manifest.layers = {store_.layer(kModelType, random_bytes(weights, weights)),
                       store_.layer(kTemplateType, std::string(13, 't'))};
    if (parameters != 0) {
      manifest.layers.push_back(store_.layer(kParamsType, std::string(100, parameters)));
    }
    return manifest;
  }

  void read() {
    dir_of_store_.emplace(store_.root(), OutsideLinks::follow);
    catalog_ = Catalog::read(*dir_of_store_);
    meter_.emplace(*dir_of_store_, *catalog_);
  }

  [[nodiscard]] std::size_t index(const char* name) const {
    return static_cast<std::size_t>(find_model(*catalog_, name) - catalog_->models().data());
  }
  [[nodiscard]] ModelUsage of(std::initializer_list<const char*> names) const {
    std::vector<std::size_t> indexes;
    for (const char* name : names) indexes.push_back(index(name));
    return meter_->together(indexes);
  }

  TempDir dir_;
  StoreBuilder store_{dir_ / "models"};
  std::optional<StoreDir> dir_of_store_;
  std::shared_ptr<const Catalog> catalog_;
  std::optional<UsageMeter> meter_;
};

TEST_F(Usage, IsThatOfTheFilesWhichDeletingWouldFree) {
  const ManifestSpec a1 = model(2'000'000, '1'), a2 = model(2'000'000, '2'), b1 = model(500'000, 0);
  store_.v1("a:1", a1);
  store_.v1("a:2", a2);
  store_.v1("b:1", b1);
  read();
  const std::uint64_t manifest = a1.json().size();
  EXPECT_EQ(of({"a:1"}).all, 2'000'259u);
  EXPECT_EQ(of({"a:1"}).shared, 2'000'159u);
  EXPECT_EQ(of({"a:1"}).own, 100u);
  EXPECT_EQ(of({"a:1"}).manifests, manifest);
  EXPECT_EQ(of({"a:1"}).frees, 100 + manifest);
  EXPECT_EQ(of({"a:1", "a:2"}).frees, 2'000'200 + 2 * manifest);
  EXPECT_EQ(of({"b:1"}).frees, 500'000 + b1.json().size());
  EXPECT_EQ(of({"a:1", "a:2", "b:1"}).frees, 2'500'359 + 2 * manifest + b1.json().size());
  const StoreUsage all = meter_->all();
  EXPECT_EQ(all.blobs, 2'500'359u);
  EXPECT_EQ(all.manifests, 2 * manifest + b1.json().size());
  EXPECT_EQ(all.models[index("a:1")].frees, 100 + manifest);
  EXPECT_EQ(all.orphans.count, 0u);
}

TEST_F(Usage, CountsAManifestOfTheNewTreeAsOneBlobForAllItsTags) {
  const ManifestSpec spec = model(1000, '1');
  store_.v2("a:1", spec);
  store_.v2("a:2", spec);
  read();
  EXPECT_EQ(of({"a:1"}).own, 0u);
  EXPECT_EQ(of({"a:1"}).frees, 0u);
  EXPECT_EQ(of({"a:1"}).manifests, spec.json().size());
  EXPECT_EQ(of({"a:1", "a:2"}).frees, 1259 + spec.json().size());
  EXPECT_EQ(meter_->all().manifests, spec.json().size());
}

// A list with two children, its anchor in the older tree, and a shadow tag that keeps one child.
TEST_F(Usage, CountsListsChildrenAndAnchors) {
  const ManifestSpec old_child = model(1000, '1'), new_child = model(2000, '1');
  const Digest old_digest = Digest::of(old_child.json()), new_digest = Digest::of(new_child.json());
  write_file(store_.blob_path(old_digest), old_child.json());
  write_file(store_.blob_path(new_digest), new_child.json());
  const std::string list = StoreBuilder::list_json({{old_digest, "ggml", "gguf"},
                                                    {new_digest, "llamacpp", "gguf"},
                                                    {Digest::of("x"), "mlx", ""}});
  store_.v2_bytes("m:a", list);
  ManifestSpec anchor = old_child;
  anchor.layers.push_back({kListType, Digest::of(list).to_string(), 1});
  anchor.layers.push_back({kManifestType, old_digest.to_string(), 1});
  store_.v1("m:a", anchor);
  read();
  const std::uint64_t manifests =
      list.size() + old_child.json().size() + new_child.json().size() + anchor.json().size();
  EXPECT_EQ(of({"m:a"}).all, 3259u);
  EXPECT_EQ(of({"m:a"}).manifests, manifests);
  EXPECT_EQ(of({"m:a"}).frees, 3259 + manifests);

  store_.v1("llamacpp:" + new_digest.hex(), new_child);
  read();
  EXPECT_EQ(of({"m:a"}).frees, 1000 + manifests - new_child.json().size());
}

// A link's target, and a file with another name, stay where they are.
TEST_F(Usage, FreesNothingOfWhatIsSomewhereElseToo) {
  const ManifestSpec spec = model(500'000, '1');
  store_.v1("a:1", spec);
  const fs::path weights = store_.blob_path(*Digest::parse(spec.layers[0].digest));
  const std::uint64_t rest = 259 + spec.json().size();
  fs::create_hard_link(weights, dir_ / "elsewhere");
  read();
  EXPECT_EQ(of({"a:1"}).own, 500'259u);
  EXPECT_EQ(of({"a:1"}).frees, rest);
  fs::remove(weights);
  fs::create_symlink(dir_ / "elsewhere", weights);
  read();
  EXPECT_EQ(of({"a:1"}).own, 500'259u);
  EXPECT_EQ(of({"a:1"}).frees, rest);
  fs::remove(weights);
  fs::rename(dir_ / "elsewhere", weights);
  read();
  EXPECT_EQ(of({"a:1"}).frees, 500'000 + rest);
}

TEST_F(Usage, CountsWhatSparseFilesHold) {
  ManifestSpec spec;
  spec.layers = {store_.sparse_layer(kModelType, 1 << 30, 1)};
  store_.v1("a:1", spec);
  read();
  EXPECT_LT(of({"a:1"}).all, 1u << 20);
  EXPECT_GT(of({"a:1"}).all, 0u);
}

TEST_F(Usage, CountsBrokenModels) {
  const ManifestSpec spec = model(1000, '1');
  store_.v1("a:1", spec);
  fs::remove(store_.blob_path(*Digest::parse(spec.layers[0].digest)));
  read();
  EXPECT_FALSE(catalog_->models().front().whole());
  EXPECT_EQ(of({"a:1"}).all, 259u);
}

TEST_F(Usage, CountsWhatBelongsToNoModel) {
  store_.v1("a:1", model(1000, '1'));
  store_.layer(kModelType, "orphan");
  const std::string hex(64, 'a');
  write_file(store_.root() / "blobs" / ("sha256-" + hex + "-partial"), "123");
  write_file(store_.root() / "blobs" / ("sha256-" + hex + "-partial-0"), "12");
  write_file(store_.root() / "blobs" / "README", "mine");
  fs::create_directory(store_.root() / "blobs" / "folder");
  read();
  const StoreUsage usage = meter_->all();
  EXPECT_EQ(usage.orphans.count, 1u);
  EXPECT_EQ(usage.orphans.bytes, 6u);
  EXPECT_EQ(usage.partials.count, 2u);
  EXPECT_EQ(usage.partials.bytes, 5u);
  EXPECT_EQ(usage.foreign.count, 1u);
  EXPECT_EQ(usage.foreign.bytes, 4u);
  EXPECT_TRUE(usage.doubts.empty());
}

TEST_F(Usage, WeighsTheQuarantine) {
  read();
  EXPECT_EQ(weigh_quarantine(*dir_of_store_).files, 0u);
  fs::create_directory(store_.root() / "blobs-quarantine");
  write_file(store_.root() / "blobs-quarantine/sha256-1", "123");
  write_file(store_.root() / "blobs-quarantine/sha256-1-2", "12");
  fs::create_symlink("/etc/passwd", store_.root() / "blobs-quarantine/sha256-2");
  const QuarantineUsage usage = weigh_quarantine(*dir_of_store_);
  EXPECT_EQ(usage.path, store_.root() / "blobs-quarantine");
  EXPECT_EQ(usage.files, 3u);
  EXPECT_EQ(usage.bytes, 5u);
}

TEST_F(Usage, SaysWhichManifestsMayNameMore) {
  write_file(store_.root() / "manifests/registry.ollama.ai/library/m/a", "");
  read();
  ASSERT_EQ(meter_->all().doubts.size(), 1u);
  EXPECT_EQ(meter_->all().doubts[0].path, "manifests/registry.ollama.ai/library/m/a");
}

}  // namespace
}  // namespace ollamafs::test
