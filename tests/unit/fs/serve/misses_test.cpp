#include "fs/serve/misses.h"

#include <gtest/gtest.h>

#include <chrono>
#include <optional>
#include <string>
#include <thread>

namespace ollamafs::test {
namespace {

using namespace std::chrono_literals;

const std::string a = "m+a", b = "m+b";

bool add(Misses& misses, pid_t tool, const std::string& model) {
  const std::string* const models[] = {&model};
  return misses.add(tool, models);
}

TEST(Misses, AreOfOneToolAndOneModel) {
  AtWork at_work{1min};
  Misses misses{at_work, 1min};
  EXPECT_FALSE(misses.has(7, a));
  EXPECT_TRUE(add(misses, 7, a));
  EXPECT_FALSE(add(misses, 7, a));
  EXPECT_TRUE(misses.has(7, a));
  EXPECT_FALSE(misses.has(8, a));
  EXPECT_FALSE(misses.has(7, b));
}

TEST(Misses, AreForgottenWhenTheToolBeginsAnew) {
  AtWork at_work{1min};
  Misses misses{at_work, 1min};
  for (const pid_t tool : {7, 8}) add(misses, tool, a);
  add(misses, 7, b);
  misses.forget(7, a);
  EXPECT_FALSE(misses.has(7, a));
  EXPECT_TRUE(misses.has(8, a));
  EXPECT_TRUE(misses.has(7, b));
}

TEST(Misses, AreForgottenWhenTheToolHasBeenIdle) {
  AtWork at_work{500ms};
  Misses misses{at_work, 500ms};
  add(misses, 7, a);
  EXPECT_TRUE(misses.has(7, a));
  std::this_thread::sleep_for(600ms);
  EXPECT_FALSE(misses.has(7, a));
}

// A large blob takes longer than the hold; what was missed before it is missed all the same.
TEST(Misses, LastAsLongAsTheToolHasABlobOpen) {
  AtWork at_work{500ms};
  Misses misses{at_work, 500ms};
  add(misses, 7, a);
  std::optional<AtWork::Use> use{at_work.open(7)};
  std::this_thread::sleep_for(600ms);
  EXPECT_TRUE(misses.has(7, a));
  use.reset();
  EXPECT_TRUE(misses.has(7, a));
  std::this_thread::sleep_for(600ms);
  EXPECT_FALSE(misses.has(7, a));
}

}  // namespace
}  // namespace ollamafs::test
