// Signals: those that end a mount, and those that come before there is one.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

#include <chrono>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>
#include <thread>

#include "store/base/unique_fd.h"
#include "tests/mounted/life.h"
#include "tests/mounted/mount.h"
#include "tests/mounted/slow_fusermount.h"
#include "tests/support/process.h"
#include "tests/support/sample_store.h"
#include "tests/support/store_builder.h"

namespace ollamafs::test {
namespace {

namespace fs = std::filesystem;

// ---- to a mount that is there ----

class EndingSignal : public Life, public ::testing::WithParamInterface<int> {};

INSTANTIATE_TEST_SUITE_P(Signals, EndingSignal, ::testing::Values(SIGTERM, SIGINT, SIGHUP),
                         [](const auto& param) {
                           return std::string{::sigabbrev_np(param.param)};
                         });

TEST_P(EndingSignal, HidesTheMountAndLetsWhatIsOpenBeReadToItsEnd) {
  Mount mount{store_.root()};
  Background& daemon = mount.daemon();
  std::ifstream open{weights_in(mount.path()), std::ios::binary};
  std::string bytes(1000, '\0');
  open.read(bytes.data(), 1000);
  daemon.signal(GetParam());
  ASSERT_TRUE(eventually([&] { return !is_mounted(mount.path()); }));
  EXPECT_TRUE(fs::is_empty(mount.path()));
  bytes.append(std::istreambuf_iterator<char>{open}, {});
  EXPECT_TRUE(bytes == read_file(store_.blob_path(weights())));
  EXPECT_FALSE(daemon.ended());
  open.close();
  EXPECT_EQ(daemon.wait(std::chrono::seconds{30}), 0);
}

TEST_P(EndingSignal, GivenAgainEndsWhatIsOpenToo) {
  Mount mount{store_.root()};
  // Not a blob, which the kernel may be reading by itself.
  const fs::path archive = mount / "archives/llama3.2+3b.tar";
  const UniqueFd open{::open(archive.c_str(), O_RDONLY | O_CLOEXEC)};
  ASSERT_TRUE(open);
  mount.daemon().signal(GetParam());
  ASSERT_TRUE(eventually([&] { return !is_mounted(mount.path()); }));
  EXPECT_FALSE(mount.daemon().ended());
  mount.daemon().signal(GetParam());
  EXPECT_EQ(mount.daemon().wait(std::chrono::seconds{30}), 0);
  char byte = 0;
  EXPECT_LT(::pread(open.get(), &byte, 1, 2'999'000), 0);
}

TEST_P(EndingSignal, EndsABackgroundMountOfAnOrdinaryUser) {
  const Place place{false, as_games_.as};
  ASSERT_EQ(mount(place, as_games_).status, 0);
  ::kill(place.daemon(), GetParam());
  EXPECT_TRUE(eventually([&] { return place.daemons().empty(); }));
  EXPECT_FALSE(is_mounted(place.path()));
}

// ---- to a mount that is being made ----

using Signal = Life;

// Ctrl-C reaches every process in the foreground. It comes at ten moments of the first two thirds
// of the start. Should that be over sooner this time, Ctrl-C comes too late, and the mount must
// answer.
TEST_F(Signal, CtrlCDuringTheStartLeavesNothingBehind) {
  write_many_models(store_, 300);
  const auto begin = std::chrono::steady_clock::now();
  EXPECT_EQ(mount(Place{}).status, 0);
  const auto start = std::chrono::steady_clock::now() - begin;
  for (int moment = 0; moment < 10; ++moment) {
    const Place place{true};
    Background mounting{mount_command(place.path())};
    ASSERT_TRUE(eventually([&] { return !mounting.err().empty(); }));
    std::this_thread::sleep_for(start * moment / 15);
    ::kill(-mounting.pid(), SIGINT);
    const auto status = mounting.wait(std::chrono::seconds{30});
    if (status == 0) {
      EXPECT_EQ(listing_fails_with(place.path()), 0);
      continue;
    }
    EXPECT_EQ(status, 128 + SIGINT);
    EXPECT_TRUE(eventually([&] { return place.daemons().empty(); }));
    EXPECT_FALSE(is_mounted(place.path()));
    EXPECT_TRUE(is_gone(place.path()));
  }
}

// A daemon that waited for an answer of its own mount would stay, with a dead mount.
TEST_F(Signal, ThatKillsAtOnceLeavesNoProcess) {
  for (int i = 0; i < 40; ++i) {
    const Place place;
    Background daemon{mount_command(place.path(), {"-f"})};
    ASSERT_TRUE(eventually([&] { return is_mounted(place.path()); }));
    daemon.signal(SIGKILL);
    ASSERT_TRUE(daemon.wait(std::chrono::seconds{20})) << "round " << i;
  }
}

TEST_F(Signal, WhileTheMountIsMadeIsNotLost) {
  const Place place{false, as_games_.as};
  const SlowFusermount fusermount;
  Background mounting{mount_command(place.path(), {"-f"}), as_games_};
  fusermount.wait_until_called();
  mounting.signal(SIGTERM);
  const std::string status = "/proc/" + std::to_string(mounting.pid()) + "/status";
  ASSERT_TRUE(eventually([&] {  // until it has taken the signal
    return read_file(status).find("ShdPnd:\t0000000000000000") != std::string::npos;
  }));
  fusermount.go_on();
  EXPECT_TRUE(mounting.wait(std::chrono::seconds{20})) << "the signal was lost: " << mounting.err();
  EXPECT_FALSE(is_mounted(place.path()));
}

}  // namespace
}  // namespace ollamafs::test
