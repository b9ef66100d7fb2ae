// A store that changes every ten milliseconds under eight readers: whatever they copy is a state
// that the store was in, or they are told that it failed.
#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <filesystem>
#include <string>
#include <thread>

#include "tests/mounted/mount.h"
#include "tests/soak/changing_store.h"
#include "tests/soak/copying_process.h"
#include "tests/soak/crew.h"
#include "tests/soak/held.h"
#include "tests/support/temp_dir.h"

namespace ollamafs::test {
namespace {

namespace fs = std::filesystem;

constexpr unsigned kLeastCopies = 10;

class Changes : public ::testing::Test {
 protected:
  std::string copy_directory(const CopyingProcess& tool, const fs::path& view, Random& random) {
    const auto copy = tool.copy(view / "models" / ChangingStore::shown(random));
    if (!copy.failed) ++whole_;
    return copy.fault;
  }

  std::string copy_archive(const fs::path& view, Random& random) {
    const auto bytes = try_to_read(view / "archives" / (ChangingStore::shown(random) + ".tar"));
    if (!bytes) return "";
    ++whole_;
    return store_.had(*bytes) ? "" : "an archive that no version has";
  }

  void change_and_copy(Mount& mount, std::chrono::milliseconds time, unsigned least_copies = 0) {
    const CopyingProcess tools[4];
    Crew crew;
    for (const CopyingProcess& tool : tools) {
      crew.add(1, [&](Random& random) { return copy_directory(tool, mount.path(), random); });
    }
    crew.add(4, [&](Random& random) { return copy_archive(mount.path(), random); });
    crew.add(1, [&](Random& random) -> std::string {
      std::this_thread::sleep_for(std::chrono::milliseconds{10});
      store_.change(random);
      ++changes_;
      return "";
    });
    crew.work_for(time);
    crew.work_until([&] { return whole_ >= least_copies; });
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
  change_and_copy(mount, soak_time(), kLeastCopies);
  EXPECT_GE(whole_, kLeastCopies);
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
