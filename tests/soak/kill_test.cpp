// Daemons that come and go, by every way out: who reads meanwhile gets the right bytes or an error,
// and nothing is left behind.
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/mount.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <filesystem>
#include <iterator>
#include <set>
#include <string>
#include <thread>

#include "tests/mounted/life.h"
#include "tests/mounted/mount.h"
#include "tests/soak/content.h"
#include "tests/soak/crew.h"
#include "tests/support/process.h"
#include "tests/support/temp_dir.h"

namespace ollamafs::test {
namespace {

namespace fs = std::filesystem;

class Lives : public ::testing::Test {
 protected:
  void mount() const {
    const Result result =
        run({binary(), "mount", "--store", content_.root().string(), place_.path().string()});
    ASSERT_EQ(result.status, 0) << result.err;
  }

  void expect_right_bytes() const {
    const Reading reading = content_.read_archive(place_.path());
    EXPECT_EQ(reading.error, 0) << std::strerror(reading.error);
    EXPECT_EQ(reading.fault, "");
  }

  // That nothing is mounted, and that nobody serves it.
  void expect_end() const {
    EXPECT_TRUE(eventually([&] { return place_.daemons().empty(); }));
    EXPECT_FALSE(is_mounted(place_.path()));
  }

  template <class Round>
  void repeat(Round&& round) {
    const auto end = std::chrono::steady_clock::now() + soak_time();
    int rounds = 0;
    do {
      SCOPED_TRACE("round " + std::to_string(rounds));
      ASSERT_NO_FATAL_FAILURE(round(rounds++));
    } while (!HasFailure() && std::chrono::steady_clock::now() < end);
    RecordProperty("rounds", rounds);
  }

  TempDir dir_;
  Content content_{dir_ / "store"};
  Place place_;
  Random random_{1};
};

// Reads until there is an error, which there must be once the daemon is dead: files are opened
// again and again. Half of the readers read the archive, of which the kernel keeps nothing.
class Readers {
 public:
  Readers(const Content& content, const fs::path& view) {
    for (int i = 0; i < 4; ++i) {
      crew_.add(1, [this, i, &content, view](Random& random) -> std::string {
        if (errors_[i] != 0) {
          sleep_a_little();
          return {};
        }
        const Reading reading =
            i % 2 ? content.read_archive(view) : content.read_unmapped(view, random);
        if (reading.error == 0) ++readings_;
        errors_[i] = reading.error;
        return reading.fault;
      });
    }
  }

  void wait_until_they_read() {
    (void)eventually([&] { return readings_ > 0 || !crew_.fault().empty(); });
  }

  // Waits until all of them have got an error.
  [[nodiscard]] std::set<int> errors() {
    (void)eventually([&] {
      return !crew_.fault().empty() || std::all_of(std::begin(errors_), std::end(errors_),
                                                   [](int error) { return error != 0; });
    });
    crew_.dismiss();
    return {std::begin(errors_), std::end(errors_)};
  }

  [[nodiscard]] std::string fault() const { return crew_.fault(); }

 private:
  std::atomic<int> errors_[4] = {};
  std::atomic<int> readings_ = 0;
  Crew crew_;  // the last: its workers use the others
};

// What the kernel says of a mount whose daemon is gone: to a request that was on its way, to those
// after it, and of a page that could not be read.
const std::set<int> kOfTheDead = {ECONNABORTED, ENOTCONN, EIO};

TEST_F(Lives, ThatAreKilledInMidCopyLeaveErrorsAndTheNextMountWorks) {
  repeat([&](int) {
    mount();
    Readers readers{content_, place_.path()};
    Background copy{{"cp", Content::archive_in(place_.path()).string(), (dir_ / "copy").string()}};
    readers.wait_until_they_read();
    std::this_thread::sleep_for(std::chrono::milliseconds{random_() % 50});
    ASSERT_EQ(::kill(place_.daemon(), SIGKILL), 0);
    for (const int error : readers.errors()) {
      EXPECT_TRUE(kOfTheDead.contains(error)) << std::strerror(error);
    }
    EXPECT_EQ(readers.fault(), "");
    const auto status = copy.wait(std::chrono::seconds{60});
    ASSERT_TRUE(status) << "cp hangs";
    if (*status == 0) {
      EXPECT_TRUE(read_file(dir_ / "copy") == content_.archive()) << "cp is content";
    }
    mount();  // clears the dead one
    expect_right_bytes();
    EXPECT_EQ(run({binary(), "umount", place_.path().string()}).status, 0);
    expect_end();
  });
}

TEST_F(Lives, ThatAreEndedInEveryWayLeaveNothing) {
  repeat([&](int round) {
    mount();
    if (round % 2) expect_right_bytes();
    switch (round / 2 % 4) {
      case 0:
        EXPECT_EQ(run({binary(), "umount", place_.path().string()}).status, 0);
        break;
      case 1:
        EXPECT_EQ(::umount2(place_.path().c_str(), UMOUNT_NOFOLLOW), 0) << std::strerror(errno);
        break;
      case 2:
        EXPECT_EQ(::kill(place_.daemon(), SIGTERM), 0);
        break;
      default:
        EXPECT_EQ(::umount2(place_.path().c_str(), UMOUNT_NOFOLLOW | MNT_DETACH), 0);
    }
    expect_end();
  });
}

// At the first signal the mount is out of sight, and what is open is read to its end.
TEST_F(Lives, ThatAreEndedWhileTheyAreReadLetEveryReaderFinish) {
  repeat([&](int) {
    mount();
    Readers readers{content_, place_.path()};
    readers.wait_until_they_read();
    EXPECT_EQ(::kill(place_.daemon(), SIGTERM), 0);
    for (const int error : readers.errors()) EXPECT_EQ(error, ENOENT) << std::strerror(error);
    EXPECT_EQ(readers.fault(), "");
    expect_end();
  });
}

}  // namespace
}  // namespace ollamafs::test
