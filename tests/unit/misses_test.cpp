#include "fs/misses.h"

#include <gtest/gtest.h>

#include <chrono>
#include <thread>

namespace ollamafs::test {
namespace {

using namespace std::chrono_literals;

TEST(Misses, AreOfOneToolAndOneModel) {
  Misses misses{1min};
  EXPECT_FALSE(misses.has(7, "m+a"));
  EXPECT_TRUE(misses.add(7, "m+a"));
  EXPECT_FALSE(misses.add(7, "m+a"));
  EXPECT_TRUE(misses.has(7, "m+a"));
  EXPECT_FALSE(misses.has(8, "m+a"));
  EXPECT_FALSE(misses.has(7, "m+b"));
}

TEST(Misses, AreForgottenWhenTheToolBeginsAnew) {
  Misses misses{1min};
  for (const pid_t tool : {7, 8}) misses.add(tool, "m+a");
  misses.add(7, "m+b");
  misses.forget(7, "m+a");
  EXPECT_FALSE(misses.has(7, "m+a"));
  EXPECT_TRUE(misses.has(8, "m+a"));
  EXPECT_TRUE(misses.has(7, "m+b"));
}

TEST(Misses, AreForgottenAfterTheHold) {
  Misses misses{20ms};
  misses.add(7, "m+a");
  std::this_thread::sleep_for(30ms);
  EXPECT_FALSE(misses.has(7, "m+a"));
}

}  // namespace
}  // namespace ollamafs::test
