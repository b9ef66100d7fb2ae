#include "fs/tool.h"

#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <filesystem>
#include <fstream>
#include <string>
#include <thread>
#include <utility>

namespace ollamafs::test {
namespace {

namespace fs = std::filesystem;

TEST(Tool, IsTheProcessOfAThread) {
  EXPECT_EQ(Tool::of_thread(::getpid()).process(), ::getpid());
  pid_t thread = 0, process = 0;
  std::thread{[&] {
    thread = ::gettid();
    process = Tool::of_thread(thread).process();
  }}.join();
  EXPECT_NE(thread, ::getpid());
  EXPECT_EQ(process, ::getpid());
}

TEST(Tool, MayBeKnown) {
  EXPECT_EQ(Tool{7}.process(), 7);
  EXPECT_EQ(Tool{}.process(), 0);
}

TEST(Tool, IsTheThreadIfThatIsGone) {
  pid_t thread = 0;
  std::thread{[&] { thread = ::gettid(); }}.join();
  while (fs::exists("/proc/" + std::to_string(thread))) ::usleep(1000);
  EXPECT_EQ(Tool::of_thread(thread).process(), thread);
}

TEST(Tool, IsTheThreadIfThereIsNoDescriptorToFindOut) {
  rlimit limit{};
  ASSERT_EQ(::getrlimit(RLIMIT_NOFILE, &limit), 0);
  const rlim_t before = std::exchange(limit.rlim_cur, 0);
  ASSERT_EQ(::setrlimit(RLIMIT_NOFILE, &limit), 0);
  EXPECT_EQ(Tool::of_thread(::getpid()).process(), ::getpid());
  limit.rlim_cur = before;
  ASSERT_EQ(::setrlimit(RLIMIT_NOFILE, &limit), 0);
}

// A name like those that a process may give itself, to be taken for another.
TEST(Tool, IsNotWhatAThreadCallsItself) {
  std::thread{[] {
    std::ofstream{"/proc/self/task/" + std::to_string(::gettid()) + "/comm"}
        << "\nTgid:\t1\nPPid:\t2";
    EXPECT_EQ(Tool::of_thread(::gettid()).process(), ::getpid());
  }}.join();
}

// /proc/2 is kthreadd, unless this runs in a process namespace, which has none.
TEST(Tool, IsTheKernelForAnyThreadOfIt) {
  std::string name;
  std::getline(std::ifstream{"/proc/2/comm"} >> std::ws, name);
  if (name != "kthreadd") GTEST_SKIP() << "no thread of the kernel is to be seen";
  std::ifstream children{"/proc/3/status"};
  ASSERT_TRUE(children) << "kthreadd began with another thread than it does";
  EXPECT_EQ(Tool::of_thread(3).process(), 2);
  EXPECT_EQ(Tool::of_thread(2).process(), 2);
}

// The children of another second process.
TEST(Tool, IsNotTheKernelForAProcessWithAProgram) {
  EXPECT_NE(Tool::of_thread(1).process(), 2);
}

TEST(BeganAfter, TellsOfAProcessAndAMoment) {
  EXPECT_TRUE(began_after(::getpid(), {}));
  EXPECT_FALSE(began_after(::getpid(), since_boot()));
  const auto before = since_boot();
  ::usleep(20'000);
  const pid_t child = ::fork();
  if (child == 0) {
    std::ofstream{"/proc/self/comm"} << "a) b (c) d";
    ::pause();
  }
  EXPECT_TRUE(began_after(child, before));
  EXPECT_FALSE(began_after(child, since_boot()));
  ::kill(child, SIGKILL);
  ::waitpid(child, nullptr, 0);
  EXPECT_FALSE(began_after(child, {})) << "it is gone";
}

}  // namespace
}  // namespace ollamafs::test
