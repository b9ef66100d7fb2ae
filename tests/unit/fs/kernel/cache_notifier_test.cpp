#include "fs/kernel/cache_notifier.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <future>
#include <latch>
#include <string>
#include <thread>
#include <vector>

namespace ollamafs::test {
namespace {

using What = CacheNotice::What;

TEST(CacheNotifier, GivesAllInTheirOrderFromAnotherThread) {
  const CacheNotices notices{
      {What::entry, 1, "gone"}, {What::content, 1}, {What::attributes, 7}, {What::content, 9}};
  CacheNotices given;
  std::thread::id by;
  std::promise<void> all;
  CacheNotifier notifier{[&](const CacheNotice& notice) {
    by = std::this_thread::get_id();
    given.push_back(notice);
    if (given.size() == notices.size()) all.set_value();
  }};
  const auto third = std::next(notices.begin(), 2);
  notifier.add({notices.begin(), third});
  notifier.add({third, notices.end()});
  all.get_future().wait();
  EXPECT_TRUE(given == notices);
  EXPECT_NE(by, std::this_thread::get_id());
}

// A notice that the kernel does not take for a while keeps nobody else waiting.
TEST(CacheNotifier, KeepsNobodyWaitingWhoAdds) {
  std::latch reached{1}, go_on{1};
  int given = 0;
  CacheNotifier notifier{[&](const CacheNotice&) {
    if (given++ > 0) return;
    reached.count_down();
    go_on.wait();
  }};
  notifier.add({{What::content, 1}});
  reached.wait();
  for (int i = 0; i < 1000; ++i) notifier.add({{What::content, 1}});  // hangs if it waits
  go_on.count_down();
}

TEST(CacheNotifier, EndsWithTheNoticeThatIsBeingGiven) {
  std::latch reached{1}, go_on{1};
  int given = 0;
  CacheNotifier notifier{[&](const CacheNotice&) {
    ++given;
    reached.count_down();
    go_on.wait();
  }};
  notifier.add(CacheNotices(100, {What::content, 1}));
  reached.wait();
  auto closed = std::async(std::launch::async, [&] { notifier.close(); });
  EXPECT_EQ(closed.wait_for(std::chrono::milliseconds{50}), std::future_status::timeout);
  go_on.count_down();
  closed.wait();
  notifier.close();
  EXPECT_LT(given, 100);
}

}  // namespace
}  // namespace ollamafs::test
