// A store that changes, a disk that fails now and then, descriptors and memory that run out, all at
// once: whatever eight readers copy is a state that the store was in, or they are told that it
// failed; and the daemon lives.
#include <gtest/gtest.h>

#include <atomic>
#include <cerrno>
#include <chrono>
#include <filesystem>
#include <string>
#include <thread>

#include "tests/faults/faulty_mount.h"
#include "tests/mounted/stepwise_copy.h"
#include "tests/soak/changing_store.h"
#include "tests/soak/copying_process.h"
#include "tests/soak/crew.h"
#include "tests/soak/held.h"
#include "tests/support/temp_dir.h"

namespace ollamafs::test {
namespace {

namespace fs = std::filesystem;

constexpr unsigned kLeastFaults = 10, kLeastFailures = 3;

class Faults : public ::testing::Test {
 protected:
  std::string copy_directory(const CopyingProcess& tool, Random& random) {
    const auto copy = tool.copy(mount() / "models" / ChangingStore::shown(random));
    ++(copy.failed ? failed_ : whole_);
    return copy.fault;
  }

  std::string copy_archive(Random& random) {
    const auto bytes = try_to_read(mount() / "archives" / (ChangingStore::shown(random) + ".tar"));
    ++(bytes ? whole_ : failed_);
    return !bytes || store_.had(*bytes) ? "" : "an archive that no version has";
  }

  // Another trouble every now and then, and none at times.
  std::string disturb(Random& random) {
    constexpr int kErrors[] = {EIO, EMFILE, ENOMEM, EINTR, ENOENT, ESTALE};
    FaultPlan& plan = *faulty_.plan.operator->();
    injected_ += plan.injected + plan.allocations_failed;
    plan.clear();
    plan.one_in = 3 + random() % 100;
    plan.skip = 0;
    plan.error = kErrors[random() % std::size(kErrors)];
    plan.kind = random() % 4 ? FaultPlan::Kind::error : FaultPlan::Kind::cut;
    plan.delay_us = static_cast<unsigned>(random() % 2000);
    switch (random() % 4) {
      case 0:
        plan.calls = call::kAll;
        break;
      case 1:
        plan.allocations_to_one = plan.one_in.load();
        break;
      case 2:
        plan.delayed = call::kPread | call::kOpens;
        break;
      default:
        break;
    }
    std::this_thread::sleep_for(std::chrono::milliseconds{50});
    return "";
  }

  Mount& mount() { return faulty_.mount; }

  TempDir dir_;
  ChangingStore store_{dir_ / "store"};
  FaultyMount faulty_{store_.root()};
  std::atomic<unsigned> whole_ = 0, failed_ = 0;
  std::atomic<std::uint64_t> injected_ = 0;
};

TEST_F(Faults, LeaveEveryCopyWholeOrFailedAndTheDaemonAlive) {
  const long idle = held_by(mount().daemon().pid()).descriptors;
  const CopyingProcess tools[4];
  Crew crew;
  for (const CopyingProcess& tool : tools) {
    crew.add(1, [&](Random& random) { return copy_directory(tool, random); });
  }
  crew.add(4, [&](Random& random) { return copy_archive(random); });
  crew.add(1, [&](Random& random) { return disturb(random); });
  crew.add(1, [&](Random& random) -> std::string {
    std::this_thread::sleep_for(std::chrono::milliseconds{100});
    if (random() % 8 == 0) {
      store_.repair();  // what was damaged is so until its file changes
    } else {
      store_.change(random);
    }
    return "";
  });
  crew.work_for(soak_time());
  crew.work_until([this] { return injected_ >= kLeastFaults && failed_ >= kLeastFailures; });
  crew.dismiss();
  faulty_.plan->clear();
  EXPECT_EQ(crew.fault(), "");
  ASSERT_FALSE(mount().daemon().ended()) << mount().log();
  EXPECT_GE(injected_, kLeastFaults);
  EXPECT_GE(failed_, kLeastFailures);
  RecordProperty("faults", std::to_string(injected_));
  RecordProperty("whole copies", std::to_string(whole_));
  RecordProperty("failed copies", std::to_string(failed_));

  // When it is over, all can be had. A folder that was said not to be there is not looked at again
  // until something happens above it.
  const fs::path manifests = store_.root() / "manifests", aside = store_.root() / "aside";
  fs::rename(manifests, aside);
  fs::rename(aside, manifests);
  store_.repair();
  for (std::size_t model = 0; model < ChangingStore::kModels; ++model) {
    const fs::path directory = mount() / "models" / ChangingStore::shown(model);
    EXPECT_TRUE(eventually([&] { return !StepwiseCopy{directory}.failed(); }))
        << run({"getfattr", "-d", directory.string()}).out << mount().log();
  }
  EXPECT_TRUE(eventually([&] { return held_by(mount().daemon().pid()).descriptors <= idle; }))
      << held_by(mount().daemon().pid()).descriptors << " descriptors, and " << idle
      << " when idle";
}

}  // namespace
}  // namespace ollamafs::test
