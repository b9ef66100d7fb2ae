#include "fs/serve/moments.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <optional>
#include <thread>

#include "tests/support/process.h"

namespace ollamafs::test {
namespace {

using namespace std::chrono_literals;

TEST(Moments, AreOfEachProcess) {
  Moments moments;
  EXPECT_EQ(moments.of(7), Moments::kNever);
  const auto before = since_boot();
  moments.note(7);
  EXPECT_GE(moments.of(7), before);
  EXPECT_LE(moments.of(7), since_boot());
  EXPECT_EQ(moments.of(8), Moments::kNever);
  moments.erase(7);
  EXPECT_EQ(moments.of(7), Moments::kNever);
}

TEST(Moments, TellWhetherAllProcessesHaveEnded) {
  Moments moments;
  EXPECT_TRUE(moments.all_have_ended());
  std::optional<Background> first{std::in_place, std::vector<std::string>{"sleep", "inf"}},
      second{std::in_place, std::vector<std::string>{"sleep", "inf"}};
  moments.note(first->pid());
  moments.note(second->pid());
  EXPECT_FALSE(moments.all_have_ended());
  first.reset();
  EXPECT_FALSE(moments.all_have_ended());
  second.reset();
  EXPECT_TRUE(moments.all_have_ended());
}

// Nobody knows who is behind 0, a process of another namespace, or behind a thread of the kernel.
TEST(Moments, TakeTheEndOfNumbersThatStandForManyForUnknown) {
  for (const pid_t process : {0, kKernel, kUnknown}) {
    Moments moments;
    moments.note(process);
    EXPECT_FALSE(moments.all_have_ended()) << process;
  }
}

TEST(Moments, ForgetProcessesThatHaveEndedWhenThereAreMany) {
  const pid_t ended = [] {
    const Background process{{"true"}};
    return process.pid();
  }();
  Moments moments;
  moments.note(ended);
  moments.note(::getpid());
  for (pid_t fake = 0; fake < 100; ++fake) moments.note(4'000'000 + fake);  // there are no such
  moments.note(4'100'000);
  EXPECT_EQ(moments.of(ended), Moments::kNever);
  EXPECT_NE(moments.of(::getpid()), Moments::kNever);
  EXPECT_NE(moments.of(4'100'000), Moments::kNever);
}

}  // namespace
}  // namespace ollamafs::test
