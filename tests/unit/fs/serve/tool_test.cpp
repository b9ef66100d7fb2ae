#include "fs/serve/tool.h"

#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <optional>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "tests/support/process.h"
#include "tests/support/store_builder.h"
#include "tests/support/temp_dir.h"

namespace ollamafs::test {
namespace {

namespace fs = std::filesystem;

bool kernel_is_seen() {
  std::string name;
  std::getline(std::ifstream{"/proc/2/comm"}, name);
  return name == "kthreadd";
}

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
  std::thread{[before = limit, limit]() mutable {
    limit.rlim_cur = 0;
    ASSERT_EQ(::setrlimit(RLIMIT_NOFILE, &limit), 0);
    EXPECT_EQ(Tool::of_thread(::gettid()).process(), kUnknown);
    ASSERT_EQ(::setrlimit(RLIMIT_NOFILE, &before), 0);
    EXPECT_EQ(Tool::of_thread(::gettid()).process(), ::getpid());
  }}.join();
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
  if (!kernel_is_seen()) GTEST_SKIP() << "no thread of the kernel is to be seen";
  std::ifstream children{"/proc/3/status"};
  ASSERT_TRUE(children) << "kthreadd began with another thread than it does";
  EXPECT_EQ(Tool::of_thread(3).process(), kKernel);
  EXPECT_EQ(Tool::of_thread(2).process(), kKernel);
}

// As an ordinary user, who may not look at all of /proc/2.
TEST(Tool, IsTheKernelForOrdinaryUsersToo) {
  if (!kernel_is_seen()) GTEST_SKIP() << "no thread of the kernel is to be seen";
  const User nobody = User::named("nobody");
  const pid_t child = ::fork();
  ASSERT_GE(child, 0);
  if (child == 0)
    ::_exit(::setuid(nobody.uid) == 0 && Tool::of_thread(3).process() == kKernel ? 0 : 1);
  int status = 1;
  EXPECT_EQ(::waitpid(child, &status, 0), child);
  EXPECT_EQ(status, 0);
}

TEST(BeganAfter, TellsOfAProcessAndAMoment) {
  EXPECT_TRUE(began_after(::getpid(), {}));
  EXPECT_FALSE(began_after(::getpid(), since_boot()));
  const auto before = since_boot();
  ::usleep(20'000);
  const TempDir dir;
  fs::create_symlink("/bin/sleep", dir / "a) b (c) d");
  std::optional<Background> other{std::in_place,
                                  std::vector<std::string>{(dir / "a) b (c) d").string(), "inf"}};
  const pid_t process = other->pid();
  EXPECT_TRUE(eventually(
      [&] { return read_file("/proc/" + std::to_string(process) + "/comm") == "a) b (c) d\n"; }));
  EXPECT_TRUE(began_after(process, before));
  EXPECT_FALSE(began_after(process, since_boot()));
  other.reset();
  EXPECT_FALSE(began_after(process, {})) << "it is gone";
}

}  // namespace
}  // namespace ollamafs::test
