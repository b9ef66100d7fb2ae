#include "store/upkeep/garbage.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include <cerrno>
#include <ctime>
#include <filesystem>
#include <string>
#include <vector>

#include "store/base/unique_fd.h"
#include "store/upkeep/file_use.h"
#include "tests/support/faulty_calls.h"
#include "tests/support/faulty_writes.h"
#include "tests/support/process.h"
#include "tests/support/sample_store.h"
#include "tests/support/store_builder.h"
#include "tests/support/temp_dir.h"

namespace ollamafs::test {
namespace {

namespace fs = std::filesystem;
using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::SizeIs;
using ::testing::UnorderedElementsAre;

class Prune : public testing::Test {
 protected:
  // Of a file of blobs/: this long ago, by its own time.
  void age(const std::string& name, std::int64_t seconds) const {
    const timespec times[2] = {{std::time(nullptr) - seconds, 0},
                               {std::time(nullptr) - seconds, 0}};
    ASSERT_EQ(::utimensat(AT_FDCWD, (blobs() / name).c_str(), times, AT_SYMLINK_NOFOLLOW), 0);
  }

  // Writes a blob that nothing names; returns its name.
  [[nodiscard]] std::string orphan(const std::string& content, std::int64_t seconds = 7200) const {
    const std::string name = Digest::parse(store_.layer(kModelType, content).digest)->blob_name();
    age(name, seconds);
    return name;
  }

  [[nodiscard]] fs::path blobs() const { return store_.root() / "blobs"; }
  [[nodiscard]] Garbage find() const {
    return find_garbage(StoreDir{store_.root(), OutsideLinks::follow}, std::time(nullptr));
  }
  [[nodiscard]] static std::vector<std::string> names(const std::vector<BlobEntry>& entries) {
    std::vector<std::string> names;
    for (const BlobEntry& entry : entries) names.push_back(entry.name);
    return names;
  }
  [[nodiscard]] DeletionReport delete_all(const Garbage& garbage,
                                          const WriteCalls& calls = WriteCalls::kernel()) const {
    return delete_garbage(StoreDir{store_.root(), OutsideLinks::follow}, garbage.files, calls);
  }
  [[nodiscard]] std::vector<Deletion> remove(const Garbage& garbage,
                                             const WriteCalls& calls = WriteCalls::kernel()) const {
    return delete_all(garbage, calls).deletions;
  }

  TempDir dir_;
  StoreBuilder store_{dir_ / "models"};
};

TEST_F(Prune, FindsNothingInAStoreOfModels) {
  write_sample_models(store_);
  for (const auto& entry : fs::directory_iterator{blobs()}) age(entry.path().filename(), 7200);
  const Garbage garbage = find();
  EXPECT_THAT(garbage.files, IsEmpty());
  EXPECT_THAT(garbage.kept, IsEmpty());
  EXPECT_THAT(garbage.doubts, IsEmpty());
}

TEST_F(Prune, DeletesWhatNothingNames) {
  store_.v1("a:1", store_.text_model(1, 100));
  const std::string blob = orphan("orphan");
  fs::create_symlink("/nowhere", blobs() / ("sha256-" + std::string(64, 'b')));
  age("sha256-" + std::string(64, 'b'), 7200);
  const std::string partial = "sha256-" + std::string(64, 'a') + "-partial";
  write_file(blobs() / partial, "x");
  age(partial, 7200);
  write_file(blobs() / "README", "mine");
  fs::create_directory(blobs() / "folder");
  const Garbage garbage = find();
  EXPECT_THAT(names(garbage.files),
              UnorderedElementsAre(blob, "sha256-" + std::string(64, 'b'), partial));
  EXPECT_THAT(names(garbage.others), UnorderedElementsAre("README", "folder"));
  for (const Deletion& deletion : remove(garbage)) {
    EXPECT_FALSE(deletion.error);
    EXPECT_FALSE(deletion.is_spared);
    EXPECT_FALSE(fs::exists(fs::symlink_status(blobs() / deletion.entry.name)));
  }
  EXPECT_THAT(find().files, IsEmpty());
  EXPECT_TRUE(fs::exists(blobs() / "README"));
}

TEST_F(Prune, HonoursTheHourOfGrace) {
  const std::string blob = orphan("blob", 3500);
  for (const std::int64_t age_of_blob : {3500, -86400}) {  // a time from the future is young, too
    age(blob, age_of_blob);
    ASSERT_THAT(find().kept, SizeIs(1));
    EXPECT_EQ(find().kept[0].reason, KeptBecause::young);
    EXPECT_THAT(find().files, IsEmpty());
  }
  age(blob, 3700);
  EXPECT_THAT(names(find().files), ElementsAre(blob));
}

TEST_F(Prune, LeavesAllWhileSomethingIsDownloaded) {
  (void)orphan("finished part of a pull that goes on");
  write_file(blobs() / ("sha256-" + std::string(64, 'a') + "-partial"), "x");
  const Garbage garbage = find();
  EXPECT_THAT(garbage.files, IsEmpty());
  ASSERT_THAT(garbage.kept, SizeIs(2));
}

// The early layers of a long pull are older than an hour, and when all are there no partial is.
TEST_F(Prune, TakesAYoungBlobThatNothingNamesForADownload) {
  const ManifestSpec model = store_.text_model(1, 100);
  store_.v1("a:1", model);  // its blobs are young, and tell nothing
  const std::string first = orphan("first layer of a pull");
  EXPECT_THAT(names(find().files), ElementsAre(first));
  (void)orphan("its last layer", 60);
  const Garbage garbage = find();
  EXPECT_THAT(garbage.files, IsEmpty());
  ASSERT_THAT(garbage.kept, SizeIs(2));
  for (const KeptFile& kept : garbage.kept) {
    EXPECT_EQ(kept.reason,
              kept.entry.name == first ? KeptBecause::downloading : KeptBecause::young);
  }
}

TEST_F(Prune, TakesAnOpenPartialForADownloadHoweverOld) {
  const std::string blob = orphan("first layer of a pull");
  const std::string partial = "sha256-" + std::string(64, 'a') + "-partial";
  write_file(blobs() / partial, "x");
  age(partial, 86400);
  EXPECT_THAT(names(find().files), UnorderedElementsAre(blob, partial));
  {
    const UniqueFd fd{::open((blobs() / partial).c_str(), O_RDWR | O_CLOEXEC)};  // seen by a lease
    EXPECT_THAT(find().files, IsEmpty());
  }
  const Background pull{{"sh", "-c", "exec sleep 60 < " + (blobs() / partial).string()}};
  ASSERT_TRUE(eventually([&] { return find().files.empty(); }));
  const Garbage garbage = find();
  ASSERT_THAT(garbage.kept, SizeIs(2));
  for (const KeptFile& kept : garbage.kept) {
    EXPECT_EQ(kept.reason,
              kept.entry.name == blob ? KeptBecause::downloading : KeptBecause::in_use);
  }
}

TEST_F(Prune, RefusesIfAManifestMayNameAnything) {
  (void)orphan("orphan");
  const fs::path tag = store_.root() / "manifests/registry.ollama.ai/library/m/a";
  for (const std::string bytes : {"", "{", "[]", "null"}) {
    write_file(tag, bytes);
    const Garbage garbage = find();
    EXPECT_THAT(garbage.files, IsEmpty());
    ASSERT_THAT(garbage.doubts, SizeIs(1));
    EXPECT_EQ(garbage.doubts[0].path, "manifests/registry.ollama.ai/library/m/a");
  }
  fs::remove(tag);
  fs::create_symlink("/nowhere", tag);
  EXPECT_THAT(find().doubts, SizeIs(1));
  fs::remove(tag);
  EXPECT_THAT(find().doubts, IsEmpty());
}

// Whichever call fails, once or from then on: what a model needs is never taken for needless.
TEST_F(Prune, TakesNothingForNeedlessThatCannotBeRead) {
  store_.v1("a:1", store_.text_model(1, 100));
  store_.v2("b:1", store_.text_model(2, 100));
  const std::string child = store_.text_model(3, 100).json();
  write_file(store_.blob_path(Digest::of(child)), child);
  store_.v2_bytes("c:1", StoreBuilder::list_json({{Digest::of(child), "ggml", "gguf"}}));
  for (const auto& entry : fs::directory_iterator{blobs()}) age(entry.path().filename(), 7200);
  FaultPlan plan;
  const FaultyCalls calls{plan};
  const StoreDir store{store_.root(), OutsideLinks::follow, {}, calls};
  plan.clear();
  const std::uint64_t before = plan.seen;
  plan.fail(call::kAll, EIO, ~std::uint64_t{0} >> 1);
  ASSERT_THAT(find_garbage(store, std::time(nullptr)).files, IsEmpty());
  const std::uint64_t all = plan.seen - before;
  ASSERT_GT(all, 50u);
  for (const std::uint64_t times : {std::uint64_t{1}, ~std::uint64_t{0}}) {
    for (const int error : {EIO, EACCES}) {
      for (std::uint64_t nth = 0; nth < all; ++nth) {
        plan.fail(call::kAll, error, nth, times);
        try {
          EXPECT_THAT(names(find_garbage(store, std::time(nullptr)).files), IsEmpty())
              << nth << " of " << all << ", error " << error;
        } catch (const std::system_error&) {
          continue;  // refused
        }
      }
    }
  }
}

// ---- while it deletes ----

TEST_F(Prune, SparesWhatAModelNeedsByThen) {
  const std::string one = orphan("one"), two = orphan("two");
  const Garbage garbage = find();
  ASSERT_THAT(garbage.files, SizeIs(2));
  ManifestSpec manifest;
  manifest.layers = {{kModelType, "sha256:" + one.substr(7), 3}};
  store_.v1("pulled:now", manifest);
  for (const Deletion& deletion : remove(garbage)) {
    EXPECT_EQ(deletion.is_spared, deletion.entry.name == one);
  }
  EXPECT_TRUE(fs::exists(blobs() / one));
  EXPECT_FALSE(fs::exists(blobs() / two));
}

TEST_F(Prune, SparesWhatChangedMeanwhile) {
  const std::string touched = orphan("touched"), replaced = orphan("replaced");
  const Garbage garbage = find();
  age(touched, 0);
  fs::remove(blobs() / replaced);
  write_file(blobs() / replaced, "replaced");
  age(replaced, 7200);
  EXPECT_THAT(remove(garbage), SizeIs(2));
  EXPECT_TRUE(fs::exists(blobs() / touched));
  EXPECT_TRUE(fs::exists(blobs() / replaced));
}

TEST_F(Prune, SparesEverythingIfAManifestIsBadByThen) {
  const std::string blob = orphan("orphan");
  const Garbage garbage = find();
  store_.v1_bytes("m:a", "");
  const DeletionReport report = delete_all(garbage);
  EXPECT_TRUE(report.deletions.at(0).is_spared);
  ASSERT_THAT(report.doubts, SizeIs(1));
  EXPECT_EQ(report.doubts[0].path, "manifests/registry.ollama.ai/library/m/a");
  EXPECT_TRUE(fs::exists(blobs() / blob));
}

TEST_F(Prune, CountsWhatIsGoneForNothing) {
  const std::string gone = orphan("gone"), here = orphan("here");
  const Garbage garbage = find();
  fs::remove(blobs() / gone);
  WriteFaultPlan plan;
  const FaultyWrites calls{plan};
  plan.fail(write_call::kUnlinkat, ENOENT);  // it goes at the last moment
  for (const Deletion& deletion : remove(garbage, calls)) {
    EXPECT_FALSE(deletion.error);
    EXPECT_EQ(deletion.is_gone || deletion.is_spared, true) << deletion.entry.name;
  }
  EXPECT_TRUE(fs::exists(blobs() / here));
}

// Whether it is open is not known then.
TEST_F(Prune, DeletesNothingThatCannotBeOpenedForAnotherReasonThanItsMode) {
  store_.v1("a:1", store_.text_model(1, 100));
  store_.v2("b:1", store_.text_model(2, 100));
  for (const auto& entry : fs::directory_iterator{blobs()}) age(entry.path().filename(), 7200);
  const std::string blob = orphan("blob");
  const Garbage garbage = find();
  FaultPlan plan;
  const FaultyCalls calls{plan};
  const StoreDir store{store_.root(), OutsideLinks::follow, {}, calls};
  bool has_failed = false;
  for (std::uint64_t nth = 0; nth < 200 && fs::exists(blobs() / blob); ++nth) {
    plan.fail(call::kAll, EIO, nth);
    const std::uint64_t before = plan.injected;
    try {
      const DeletionReport report = delete_garbage(store, garbage.files);
      ASSERT_THAT(report.deletions, SizeIs(1));
      has_failed |= report.deletions[0].error == std::errc::io_error;
    } catch (const std::system_error&) {
      ASSERT_NE(plan.injected, before);
    }
    ASSERT_EQ(fs::exists(blobs() / blob), plan.injected != before) << nth;
  }
  EXPECT_TRUE(has_failed);
  EXPECT_FALSE(fs::exists(blobs() / blob));
}

TEST_F(Prune, SparesWhatSomebodyHasOpen) {
  const std::string open = orphan("open"), mapped = orphan("mapped"), other = orphan("other");
  const Garbage garbage = find();
  const UniqueFd fd{::open((blobs() / open).c_str(), O_RDONLY | O_CLOEXEC)};
  void* map = nullptr;
  {
    const UniqueFd file{::open((blobs() / mapped).c_str(), O_RDONLY | O_CLOEXEC)};
    map = ::mmap(nullptr, 6, PROT_READ, MAP_PRIVATE, file.get(), 0);
    ASSERT_NE(map, MAP_FAILED);
  }
  (void)remove(garbage);
  ::munmap(map, 6);
  EXPECT_TRUE(fs::exists(blobs() / open));
  EXPECT_TRUE(fs::exists(blobs() / mapped));
  EXPECT_FALSE(fs::exists(blobs() / other));
}

TEST_F(Prune, SeesWhatOtherProcessesHaveOpen) {
  const std::string open = orphan("open");
  const Background reader{{"sh", "-c", "exec sleep 60 < " + (blobs() / open).string()}};
  ASSERT_TRUE(eventually([&] { return find().files.empty(); }));
  ASSERT_THAT(find().kept, SizeIs(1));
  EXPECT_EQ(find().kept[0].reason, KeptBecause::in_use);
}

TEST_F(Prune, GoesOnAfterAFileThatCannotBeDeleted) {
  const std::string one = orphan("one"), two = orphan("two");
  WriteFaultPlan plan;
  const FaultyWrites calls{plan};
  plan.fail(write_call::kUnlinkat, EACCES);
  const auto deletions = remove(find(), calls);
  ASSERT_THAT(deletions, SizeIs(2));
  EXPECT_EQ(deletions[0].error, std::errc::permission_denied);
  EXPECT_FALSE(deletions[1].error);
  EXPECT_EQ(fs::exists(blobs() / one) + fs::exists(blobs() / two), 1);
}

}  // namespace
}  // namespace ollamafs::test
