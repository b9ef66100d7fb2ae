// A store that changes every ten milliseconds under eight readers: whatever they copy is a state
// that the store was in, or they are told that it failed.
#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "store/archive.h"
#include "store/open_layout.h"
#include "tests/mounted/mount.h"
#include "tests/mounted/stepwise_copy.h"
#include "tests/soak/crew.h"
#include "tests/soak/held.h"
#include "tests/support/store_builder.h"
#include "tests/support/temp_dir.h"

namespace ollamafs::test {
namespace {

namespace fs = std::filesystem;

constexpr std::size_t kModels = 6;
constexpr std::size_t kVersions = 4;

// A few models, each of which has one of a few versions at a time, or none. All share some blobs.
class ChangingStore {
 public:
  explicit ChangingStore(const fs::path& root) : store_{root} {
    for (std::uint64_t i = 0; i < kVersions; ++i) {
      ManifestSpec version = store_.text_model(i / 2, 200'000);
      version.layers.push_back(store_.layer(kSystemType, "version " + std::to_string(i)));
      versions_.push_back(version);
    }
    for (std::size_t model = 0; model < kModels; ++model) {
      for (const ManifestSpec& version : versions_) {
        store_.v1(name(model), version);
        archives_.insert(archive_now(model));
      }
    }
  }

  [[nodiscard]] const fs::path& root() const noexcept { return store_.root(); }
  static std::string name(std::size_t model) { return "m" + std::to_string(model) + ":a"; }
  static std::string shown(std::size_t model) { return "m" + std::to_string(model) + "+a"; }

  // As `ollama pull`, `rm` and `cp` do, and as an old server that writes in place.
  void change(Random& random) const {
    const std::size_t model = random() % kModels;
    const fs::path path = store_.v1_path(*ModelName::parse(name(model)));
    const std::string bytes = versions_[random() % kVersions].json();
    switch (random() % 4) {
      case 0:
        fs::remove(path);
        break;
      case 1:
        store_.v1(name(model), versions_[random() % kVersions]);
        break;
      case 2:
        write_file(path, bytes.substr(0, bytes.size() / 2));
        write_file(path, bytes);
        break;
      default:
        write_file(path.string() + ".new", bytes);
        fs::rename(path.string() + ".new", path);
        break;
    }
  }

  // Whether that is the archive of a version of some model.
  [[nodiscard]] bool had(const std::string& archive) const { return archives_.contains(archive); }

 private:
  [[nodiscard]] std::string archive_now(std::size_t model) const {
    const StoreDir dir{store_.root(), OutsideLinks::refuse};
    const auto catalog = Catalog::read(dir);
    BlobPool pool{dir, {}};
    std::vector<std::shared_ptr<const OpenBlob>> blobs;
    const Model& found = *catalog->find(name(model));
    std::error_code ec;
    for (const std::uint32_t blob : found.blobs)
      blobs.push_back(pool.open(catalog->blobs()[blob], ec));
    const OpenLayout layout{archive_layout(found), std::move(blobs)};
    std::string bytes(layout.layout().size(), '\0');
    EXPECT_FALSE(layout.read(bytes.data(), bytes.size(), 0));
    return bytes;
  }

  StoreBuilder store_;
  std::vector<ManifestSpec> versions_;
  std::set<std::string> archives_;
};

class Changes : public ::testing::Test {
 protected:
  std::string copy_directory(const fs::path& view, Random& random) {
    const StepwiseCopy copy{view / "models" / ChangingStore::shown(random() % kModels)};
    if (!copy.failed()) ++whole_;
    return copy.fault();
  }

  std::string copy_archive(const fs::path& view, Random& random) {
    const fs::path path = view / "archives" / (ChangingStore::shown(random() % kModels) + ".tar");
    std::ifstream file{path, std::ios::binary};
    std::string bytes{std::istreambuf_iterator<char>{file}, {}};
    if (!file || bytes.empty()) return "";
    ++whole_;
    return store_.had(bytes) ? "" : "an archive that no version has";
  }

  void change_and_copy(Mount& mount, std::chrono::milliseconds time) {
    Crew crew;
    crew.add(4, [&](Random& random) { return copy_directory(mount.path(), random); });
    crew.add(4, [&](Random& random) { return copy_archive(mount.path(), random); });
    crew.add(1, [&](Random& random) -> std::string {
      std::this_thread::sleep_for(std::chrono::milliseconds{10});
      store_.change(random);
      ++changes_;
      return "";
    });
    crew.work_for(time);
    crew.dismiss();
    EXPECT_EQ(crew.fault(), "");
  }

  TempDir dir_;
  ChangingStore store_{dir_ / "store"};
  std::atomic<unsigned> whole_ = 0;
  std::atomic<unsigned> changes_ = 0;
};

TEST_F(Changes, LeaveEveryCopyWholeOrFailed) {
  Mount mount{store_.root(), {.arguments = {"-o", "hold=1"}}};
  change_and_copy(mount, soak_time());
  EXPECT_GT(whole_, 10u);
  EXPECT_GT(changes_, 10u);
  RecordProperty("whole copies", std::to_string(whole_));
  RecordProperty("changes", std::to_string(changes_));
}

TEST_F(Changes, LeaveDescriptorsAndMemoryFlat) {
  Mount mount{store_.root(), with_little_kept("hold=1")};
  const long idle = held_by(mount.daemon().pid()).descriptors;
  change_and_copy(mount, std::chrono::seconds{3});
  const Held before = held_by(mount.daemon().pid());
  while (changes_ < 1000 && !HasFailure()) change_and_copy(mount, std::chrono::seconds{1});
  // The directories of the manifests may have come or gone, but they hold no descriptor.
  EXPECT_TRUE(eventually([&] { return held_by(mount.daemon().pid()).descriptors <= idle; }))
      << held_by(mount.daemon().pid()).descriptors << " descriptors, and " << idle << " when idle";
  const Held after = held_by(mount.daemon().pid());
  EXPECT_LT(after.memory - before.memory, kGrowth)
      << "KiB, from " << before.memory << " to " << after.memory;
}

}  // namespace
}  // namespace ollamafs::test
