// Long loads on one mount: the bytes stay right, and what the daemon holds does not grow.
#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <cstring>
#include <filesystem>
#include <string>

#include "tests/mounted/mount.h"
#include "tests/soak/content.h"
#include "tests/soak/crew.h"
#include "tests/soak/held.h"
#include "tests/support/temp_dir.h"

namespace ollamafs::test {
namespace {

namespace fs = std::filesystem;

std::string told(const Reading& reading) {
  return reading.error == 0 ? reading.fault : std::strerror(reading.error);
}

class Load : public ::testing::Test {
 protected:
  TempDir dir_;
  Content content_{dir_ / "store"};
};

TEST_F(Load, OfEightReadersGetsTheRightBytes) {
  const Mount mount{content_.root()};
  Crew crew;
  crew.add(8, [&](Random& random) { return told(content_.read_something(mount.path(), random)); });
  crew.work_for(soak_time());
  crew.dismiss();
  EXPECT_EQ(crew.fault(), "");
  EXPECT_GT(crew.steps(), 8u);
  RecordProperty("readings", std::to_string(crew.steps()));
}

// Every file is opened, read and closed; at least 10,000 times after the daemon has got all that it
// keeps: its threads, their buffers.
TEST_F(Load, LeavesDescriptorsAndMemoryFlat) {
  Mount mount{content_.root(), with_little_kept("hold=0")};
  const auto open_and_close = [&](std::uint64_t times, std::chrono::seconds time) {
    Crew crew;
    std::atomic<std::uint64_t> opened = 0;
    crew.add(4, [&](Random& random) {
      ++opened;
      return told(content_.read_a_little(mount.path(), random));
    });
    crew.work_for(time);
    crew.work_until([&] { return opened >= times; }, std::chrono::minutes{10});
    EXPECT_GE(opened, times);
    crew.dismiss();
    EXPECT_EQ(crew.fault(), "");
  };
  const long idle = held_by(mount.daemon().pid()).descriptors;
  open_and_close(5'000, {});
  const Held before = held_by(mount.daemon().pid());
  open_and_close(10'000, soak_time());
  // The kernel tells of a close when it likes.
  EXPECT_TRUE(eventually([&] { return held_by(mount.daemon().pid()).descriptors == idle; }))
      << held_by(mount.daemon().pid()).descriptors << " descriptors, and " << idle << " when idle";
  const Held after = held_by(mount.daemon().pid());
  RecordProperty("KiB", std::to_string(before.memory) + " to " + std::to_string(after.memory));
  EXPECT_LT(after.memory - before.memory, kGrowth)
      << "KiB, from " << before.memory << " to " << after.memory;
}

}  // namespace
}  // namespace ollamafs::test
