// Calls that signals come into: they end or are done, with the right bytes, and nothing hangs.
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <filesystem>
#include <string>
#include <thread>

#include "tests/mounted/every_file.h"
#include "tests/mounted/in_child.h"

namespace ollamafs::test {
namespace {

namespace fs = std::filesystem;

class Interrupted : public EveryFile {
 protected:
  ~Interrupted() override { hand_back_interruptions(*mount_); }

  // libfuse keeps an interruption that comes before the call it is for, hands one back with each
  // later call, and never frees what is left when the mount ends: to LeakSanitizer a leak.
  static void hand_back_interruptions(const Mount& mount) {
    for (int call = 0; call < 8; ++call) {
      (void)::access((mount / ("no-such-name-" + std::to_string(call))).c_str(), F_OK);
    }
  }

  // From now on SIGALRM comes in every `microseconds`; no call is begun again after it.
  static void ring(suseconds_t microseconds) {
    struct sigaction action {};
    action.sa_handler = [](int) {};
    ::sigaction(SIGALRM, &action, nullptr);
    const itimerval often{{0, microseconds}, {0, microseconds}};
    ::setitimer(ITIMER_REAL, &often, nullptr);
  }

  // Reads the file to its end some times. What it complains of; the number of interrupted calls.
  static std::string read_among_signals(const std::string& path, const std::string& right) {
    ring(300);
    std::string buffer(300'000, '\0');
    for (int round = 0; round < 40; ++round) {
      std::string read;
      while (true) {
        const UniqueFd fd{::open(path.c_str(), O_RDONLY | O_CLOEXEC)};
        if (!fd && errno == EINTR) continue;
        if (!fd) return "open: " + std::string{::strerrorname_np(errno)};
        const ssize_t n =
            ::pread(fd.get(), buffer.data(), buffer.size(), static_cast<off_t>(read.size()));
        if (n < 0 && errno == EINTR) continue;
        if (n < 0) return "pread: " + std::string{::strerrorname_np(errno)};
        if (n == 0) break;
        read.append(buffer, 0, static_cast<std::size_t>(n));
      }
      if (read != right) return "other bytes than the file's";
    }
    return {};
  }

  // Returns when none of its threads can take a request any more: the kernel lets nobody go who
  // waits for one that was taken.
  void stop_daemon() {
    mount_->daemon().signal(SIGSTOP);
    const fs::path tasks = "/proc/" + std::to_string(mount_->daemon().pid()) + "/task";
    EXPECT_TRUE(eventually([&] {
      const auto is_stopped = [](const fs::directory_entry& task) {
        const std::string stat = read_file(task.path() / "stat");
        return stat.at(stat.rfind(')') + 2) == 'T';
      };
      return std::ranges::all_of(fs::directory_iterator{tasks}, is_stopped);
    }));
  }

  // A process that makes one call, which waits for the daemon.
  template <class Call>
  static pid_t waiting(Call&& call) {
    const pid_t child = ::fork();
    if (child == 0) {
      call();
      ::_exit(0);
    }
    std::this_thread::sleep_for(std::chrono::milliseconds{100});
    return child;
  }

  static bool ends(pid_t child, int& status) {
    return eventually([&] { return ::waitpid(child, &status, WNOHANG) == child; },
                      std::chrono::seconds{10});
  }
};

TEST_F(Interrupted, ReadsGiveTheRightBytes) {
  for (const std::string& path : files()) {
    const std::string right = read_file(path);
    EXPECT_EQ(in_child({}, [&] { return read_among_signals(path, right); }), "") << path;
  }
}

// Each on a mount of its own, of which the kernel knows nothing yet.
TEST_F(Interrupted, WalksSeeEverything) {
  const auto right = walk(mount_->path()).size();
  for (int round = 0; round < 10; ++round) {
    const Mount fresh{store.root()};
    EXPECT_EQ(in_child({},
                       [&] {
                         ring(100);
                         return std::to_string(walk(fresh.path()).size());
                       }),
              std::to_string(right));
    hand_back_interruptions(fresh);
  }
}

// The daemon does not answer: stopped, as by a debugger. Who waits for it can be killed, and the
// mount is as before when it goes on.
TEST_F(Interrupted, WhoWaitsForAStoppedDaemonCanBeKilled) {
  const std::string tar = archive(), right = read_file(tar);
  stop_daemon();
  const pid_t in_lookup = waiting([&] { (void)UniqueFd{::open((tar + "x").c_str(), O_RDONLY)}; });
  const pid_t in_open = waiting([&] { (void)UniqueFd{::open(tar.c_str(), O_RDONLY)}; });
  const pid_t in_list = waiting([&] { (void)listing(*mount_ / "models"); });
  for (const pid_t child : {in_lookup, in_open, in_list}) {
    int status = 0;
    EXPECT_EQ(::waitpid(child, &status, WNOHANG), 0) << "did not wait";
    ::kill(child, SIGKILL);
    EXPECT_TRUE(ends(child, status));
    EXPECT_TRUE(WIFSIGNALED(status));
  }
  mount_->daemon().signal(SIGCONT);
  EXPECT_TRUE(read_file(tar) == right);
  EXPECT_EQ(listing(*mount_ / "models").size(), 4u);
}

// A signal that is handled does not end the call for good: it is made, once the daemon answers.
TEST_F(Interrupted, ACallGoesOnWhenTheDaemonDoes) {
  const std::string tar = archive(), right = read_file(tar);
  stop_daemon();
  const pid_t child = waiting([&] {
    ring(1000);
    const std::string got = read_among_signals(tar, right);
    ::_exit(got.empty() ? 0 : 1);
  });
  std::this_thread::sleep_for(std::chrono::milliseconds{300});
  mount_->daemon().signal(SIGCONT);
  int status = -1;
  EXPECT_TRUE(ends(child, status));
  EXPECT_EQ(status, 0);
}

// Killed readers leave nothing open behind.
TEST_F(Interrupted, KilledReadersLeaveTheMountFree) {
  const std::string tar = archive();
  for (int round = 0; round < 30; ++round) {
    const pid_t child = ::fork();
    if (child == 0) {
      for (;;) (void)read_file(tar);
    }
    std::this_thread::sleep_for(std::chrono::milliseconds{5 + round % 7});
    ::kill(child, SIGKILL);
    int status = 0;
    EXPECT_TRUE(ends(child, status));
  }
  hand_back_interruptions(*mount_);
  mount_->unmount();  // EBUSY if something is open
  EXPECT_FALSE(is_mounted(mount_->path()));
}

}  // namespace
}  // namespace ollamafs::test
