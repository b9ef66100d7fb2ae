#include "fs/kernel/turns.h"

#include <gtest/gtest.h>

#include <future>
#include <mutex>
#include <string>

namespace ollamafs::test {
namespace {

TEST(Turns, LetNoJobWaitForAnothersEnd) {
  Turns turns;
  std::promise<void> short_ended;
  std::promise<bool> long_ended;
  turns.add([&, waits = short_ended.get_future().share()](bool over) {
    using namespace std::chrono_literals;
    if (!over && waits.wait_for(0s) != std::future_status::ready) return true;
    long_ended.set_value(!over);
    return false;
  });
  turns.add([&, parts = 3](bool) mutable {
    if (--parts > 0) return true;
    short_ended.set_value();
    return false;
  });
  EXPECT_TRUE(long_ended.get_future().get());
}

TEST(Turns, EndEveryJob) {
  int ended = 0;
  Turns turns;
  const Turns::Job endless = [&](bool over) {
    if (over) ++ended;
    return !over;
  };
  turns.add(endless);
  turns.add(endless);
  turns.stop();
  EXPECT_EQ(ended, 2);
  turns.add(endless);
  EXPECT_EQ(ended, 3);
  turns.stop();
}

}  // namespace
}  // namespace ollamafs::test
