#include "store/upkeep/verification.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <random>
#include <string>
#include <utility>

#include "store/catalog/model_query.h"
#include "store/upkeep/quarantine.h"
#include "tests/support/faulty_calls.h"
#include "tests/support/faulty_writes.h"
#include "tests/support/sample_store.h"
#include "tests/support/store_builder.h"
#include "tests/support/temp_dir.h"

namespace ollamafs::test {
namespace {

namespace fs = std::filesystem;
using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::SizeIs;

class StoreVerification : public testing::Test {
 protected:
  Verification verify(const std::vector<std::string>& names = {}) const {
    const StoreDir store{store_.root(), OutsideLinks::follow};
    const auto catalog = Catalog::read(store);
    std::vector<std::size_t> models;
    for (const std::string& name : names) {
      models.push_back(
          static_cast<std::size_t>(find_model(*catalog, name) - catalog->models().data()));
    }
    return verify_store(store, *catalog, models);
  }

  [[nodiscard]] fs::path path(const LayerSpec& layer) const {
    return store_.blob_path(*Digest::parse(layer.digest));
  }

  static void flip(const fs::path& file, std::uint64_t bit) {
    std::string bytes = read_file(file);
    bytes[bit / 8] = static_cast<char>(bytes[bit / 8] ^ (1 << bit % 8));
    write_file(file, bytes);
  }

  // A blob that was found to be bad a moment ago.
  [[nodiscard]] BadBlob found_now(const std::string& name) const {
    struct stat st {};
    EXPECT_EQ(::stat((store_.root() / "blobs" / name).c_str(), &st), 0);
    return {"blobs/" + name, FileIdentity::of(st)};
  }

  TempDir dir_;
  StoreBuilder store_{dir_ / "models"};
};

TEST_F(StoreVerification, FindsOneFlippedBitInAnyBlob) {
  write_sample_models(store_);
  ASSERT_THAT(verify().findings, IsEmpty());
  std::mt19937_64 random{1};
  std::size_t tried = 0;
  for (const auto& entry : fs::directory_iterator{store_.root() / "blobs"}) {
    const std::uint64_t size = entry.file_size();
    if (size == 0) continue;
    const std::uint64_t bit = random() % (size * 8);
    flip(entry.path(), bit);
    const auto findings = verify().findings;
    std::vector<std::string> bad;
    for (const Finding& finding : findings) {
      if (finding.kind == FindingKind::wrong_bytes) bad.push_back(finding.path);
    }
    EXPECT_THAT(bad, ElementsAre("blobs/" + entry.path().filename().string())) << bit;
    flip(entry.path(), bit);
    ++tried;
  }
  EXPECT_GT(tried, 20u);
  EXPECT_THAT(verify().findings, IsEmpty());
}

TEST_F(StoreVerification, NamesEveryFaultAndEveryModel) {
  ManifestSpec a = store_.text_model(1, 5000), b = a;
  a.layers.push_back(store_.layer(kSystemType, "system of a"));
  b.layers.push_back(store_.layer(kSystemType, "system of b"));
  store_.v1("a:1", a);
  store_.v2("b:1", b);
  fs::resize_file(path(a.layers[0]), 4000);
  fs::resize_file(path(a.layers[1]), 200);
  fs::remove(path(a.layers[2]));
  flip(path(b.layers[3]), 5);
  const auto orphan = store_.layer(kModelType, "orphan");
  flip(path(orphan), 0);

  std::map<std::string, std::pair<FindingKind, std::vector<std::string>>> found;
  for (const Finding& finding : verify().findings) {
    found[finding.path] = {finding.kind, finding.models};
  }
  const auto at = [&](const LayerSpec& layer) {
    return found.at(Digest::parse(layer.digest)->blob_path());
  };
  using Pair = std::pair<FindingKind, std::vector<std::string>>;
  EXPECT_EQ(at(a.layers[0]), (Pair{FindingKind::too_short, {"a:1", "b:1"}}));
  EXPECT_EQ(at(a.layers[1]), (Pair{FindingKind::too_long, {"a:1", "b:1"}}));
  EXPECT_EQ(at(a.layers[2]), (Pair{FindingKind::missing, {"a:1", "b:1"}}));
  EXPECT_EQ(at(b.layers[3]), (Pair{FindingKind::wrong_bytes, {"b:1"}}));
  EXPECT_EQ(at(orphan), (Pair{FindingKind::wrong_bytes, {}}));
  EXPECT_THAT(found, SizeIs(5));

  found.clear();
  for (const Finding& finding : verify({"a:1"}).findings) found[finding.path] = {};
  EXPECT_THAT(found, SizeIs(3));
}

TEST_F(StoreVerification, LooksAtOneModelAlone) {
  store_.v1("a:1", store_.text_model(1, 1000));
  const ManifestSpec b = store_.text_model(2, 1000);
  store_.v1("b:1", b);
  flip(path(b.layers[0]), 0);
  EXPECT_THAT(verify({"a:1"}).findings, IsEmpty());
  EXPECT_EQ(verify({"a:1"}).blobs, 4u);
  EXPECT_THAT(verify({"b:1"}).findings, SizeIs(1));
}

TEST_F(StoreVerification, TellsAManifestThatLiesFromABadBlob) {
  ManifestSpec a = store_.text_model(1, 1000);
  a.layers[0].size += 1;
  store_.v1("a:1", a);
  const auto findings = verify().findings;
  ASSERT_THAT(findings, SizeIs(1));
  EXPECT_EQ(findings[0].kind, FindingKind::wrong_size);
  EXPECT_FALSE(findings[0].is_bad_blob());
}

TEST_F(StoreVerification, FindsBadManifests) {
  store_.v1("a:1", store_.text_model(1, 1000));
  store_.v1_bytes("b:1", "");
  const Digest manifest = store_.v2("c:1", store_.text_model(2, 1000));
  flip(store_.blob_path(manifest), 100);
  std::vector<std::string> paths;
  for (const Finding& finding : verify().findings) paths.push_back(finding.path);
  EXPECT_THAT(paths, ElementsAre("blobs/" + manifest.blob_name(),
                                 "manifests/registry.ollama.ai/library/b/1"));
}

// Its names are known by the tag alone, which leads to it.
TEST_F(StoreVerification, CountsTheManifestsBlobToItsModel) {
  store_.v1("a:1", store_.text_model(1, 1000));
  const Digest manifest = store_.v2("c:1", store_.text_model(2, 1000));
  flip(store_.blob_path(manifest), 100);
  for (const std::vector<std::string>& names : {std::vector<std::string>{}, {"c:1"}}) {
    const auto findings = verify(names).findings;
    ASSERT_THAT(findings, SizeIs(1));
    EXPECT_EQ(findings[0].path, manifest.blob_path());
    EXPECT_EQ(findings[0].kind, FindingKind::wrong_bytes);
    EXPECT_THAT(findings[0].models, ElementsAre("c:1"));
  }
  fs::remove(store_.blob_path(manifest));
  const auto findings = verify({"c:1"}).findings;
  ASSERT_THAT(findings, SizeIs(1));
  EXPECT_EQ(findings[0].kind, FindingKind::manifest);
  EXPECT_THAT(findings[0].models, ElementsAre("c:1"));
}

TEST_F(StoreVerification, SaysWhatCannotBeRead) {
  const ManifestSpec a = store_.text_model(1, 1000);
  store_.v1("a:1", a);
  fs::remove(path(a.layers[0]));
  fs::create_directory(path(a.layers[0]));
  const auto findings = verify().findings;
  ASSERT_THAT(findings, SizeIs(1));
  EXPECT_EQ(findings[0].kind, FindingKind::unreadable);
  EXPECT_EQ(findings[0].text, "is not a regular file");
}

// ---- progress ----

class Counted final : public Progress {
 public:
  void expect(std::uint64_t all_bytes, std::uint64_t all_items) override {
    expected_bytes = all_bytes;
    expected_items = all_items;
  }
  void next(std::string_view) override { ++items; }
  void add(std::uint64_t more) override {
    bytes += more;
    if (bytes > limit) throw Interrupted{};
  }

  std::uint64_t expected_bytes = 0, expected_items = 0, items = 0;
  std::uint64_t limit = ~std::uint64_t{0};
  std::atomic<std::uint64_t> bytes = 0;
};

TEST_F(StoreVerification, TellsHowFarItHasCome) {
  write_many_models(store_, 20);
  const StoreDir store{store_.root(), OutsideLinks::refuse};
  const auto catalog = Catalog::read(store);
  Counted progress;
  const Verification verification = verify_store(store, *catalog, {}, progress);
  EXPECT_EQ(progress.expected_bytes, verification.bytes);
  EXPECT_EQ(progress.bytes, verification.bytes);
  EXPECT_EQ(progress.expected_items, verification.blobs);
  EXPECT_EQ(progress.items, verification.blobs);

  progress.limit = progress.bytes + 1;
  EXPECT_THROW((void)verify_store(store, *catalog, {}, progress), Interrupted);
}

// ---- the quarantine ----

TEST_F(StoreVerification, MovesBadBlobsBesideTheOthers) {
  const ManifestSpec a = store_.text_model(1, 1000);
  store_.v1("a:1", a);
  flip(path(a.layers[0]), 0);
  const std::string bad = read_file(path(a.layers[0]));
  const StoreDir store{store_.root(), OutsideLinks::refuse};
  const std::string name = Digest::parse(a.layers[0].digest)->blob_name();
  for (const std::string suffix : {"", "-2", "-3"}) {
    const auto moved = quarantine(store, {found_now(name)});
    ASSERT_THAT(moved, SizeIs(1));
    EXPECT_FALSE(moved[0].error);
    EXPECT_EQ(moved[0].to, store.path() / "blobs-quarantine" / (name + suffix));
    EXPECT_EQ(read_file(moved[0].to), bad);
    EXPECT_FALSE(fs::exists(path(a.layers[0])));
    write_file(path(a.layers[0]), bad);
  }
  EXPECT_THAT(verify().findings, SizeIs(1));
}

TEST_F(StoreVerification, DoesNotMoveWhatIsAnotherFileByNow) {
  const ManifestSpec a = store_.text_model(1, 1000);
  store_.v1("a:1", a);
  const std::string good = read_file(path(a.layers[0]));
  flip(path(a.layers[0]), 0);
  const auto findings = verify().findings;
  ASSERT_THAT(findings, SizeIs(1));
  fs::remove(path(a.layers[0]));
  write_file(path(a.layers[0]), good);  // a pull has mended it
  const StoreDir store{store_.root(), OutsideLinks::refuse};
  const auto moved = quarantine(store, {{findings[0].path, findings[0].identity}});
  ASSERT_THAT(moved, SizeIs(1));
  EXPECT_TRUE(moved[0].has_changed);
  EXPECT_FALSE(moved[0].is_moved());
  EXPECT_EQ(read_file(path(a.layers[0])), good);
  EXPECT_THAT(verify().findings, IsEmpty());
}

// ---- a file that changes while it is read ----

class Meddling final : public Progress {
 public:
  explicit Meddling(std::function<void(int)> action) : action_{std::move(action)} {}
  void add(std::uint64_t) override { action_(++calls); }

  int calls = 0;

 private:
  std::function<void(int)> action_;
};

TEST_F(StoreVerification, HashesWhatChangesMeanwhileOnceMore) {
  const LayerSpec layer = store_.layer(kModelType, "right");
  const StoreDir store{store_.root(), OutsideLinks::refuse};
  const auto catalog = Catalog::read(store);
  write_file(path(layer), "not right");  // of another size: the kernel's clock has ticks
  Meddling once{[&](int call) {
    if (call == 1) write_file(path(layer), "right");
  }};
  EXPECT_THAT(verify_store(store, *catalog, {}, once).findings, IsEmpty());
  EXPECT_EQ(once.calls, 2);
  write_file(path(layer), "wrong");
  Meddling always{[&](int) { write_file(path(layer), read_file(path(layer)) + "wrong"); }};
  const auto findings = verify_store(store, *catalog, {}, always).findings;
  ASSERT_THAT(findings, SizeIs(1));
  EXPECT_EQ(findings[0].kind, FindingKind::unreadable);
  EXPECT_FALSE(findings[0].is_bad_blob());
  EXPECT_EQ(always.calls, 2);
}

TEST_F(StoreVerification, LeavesBlobsWhereTheyAreIfTheyCannotBeMoved) {
  const LayerSpec blob = store_.layer(kModelType, "blob");
  const StoreDir store{store_.root(), OutsideLinks::refuse};
  const BadBlob relative = found_now(path(blob).filename().string());
  WriteFaultPlan plan;
  const FaultyWrites calls{plan};
  plan.fail(write_call::kRenameat2, EACCES);
  const auto moved = quarantine(store, {relative}, calls);
  EXPECT_EQ(moved.at(0).error, std::errc::permission_denied);
  EXPECT_TRUE(fs::exists(path(blob)));
  plan.fail(write_call::kMkdirat, EROFS);
  fs::remove(store_.root() / "blobs-quarantine");
  EXPECT_THROW((void)quarantine(store, {relative}, calls), std::system_error);
  plan.clear();
  fs::create_symlink("/tmp", store_.root() / "blobs-quarantine");
  EXPECT_THROW((void)quarantine(store, {relative}, calls), std::system_error);
}

}  // namespace
}  // namespace ollamafs::test
