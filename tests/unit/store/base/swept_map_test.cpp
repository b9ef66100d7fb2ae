#include "store/base/swept_map.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <vector>

namespace ollamafs {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::Pointee;
using ::testing::UnorderedElementsAre;

class SweptMapTest : public ::testing::Test {
 protected:
  SweptMapTest() {
    map_.begin();
    map_.put("a", 1);
    map_.put("b", 2);
    map_.end();
  }

  // What the next end() removes.
  std::vector<std::string> end() {
    std::vector<std::string> removed;
    map_.end([&](const std::string& key) { removed.push_back(key); });
    return removed;
  }

  SweptMap<std::string, int> map_;
};

TEST_F(SweptMapTest, KeepsWhatWasPut) {
  EXPECT_THAT(map_.find("a"), Pointee(1));
  EXPECT_THAT(map_.find("b"), Pointee(2));
  EXPECT_EQ(map_.find("c"), nullptr);
}

TEST_F(SweptMapTest, RemovesWhatIsNotUsedBetweenBeginAndEnd) {
  map_.begin();
  EXPECT_THAT(map_.use("a").value, Pointee(1));
  EXPECT_THAT(end(), ElementsAre("b"));
  EXPECT_THAT(map_.find("a"), Pointee(1));
  EXPECT_EQ(map_.find("b"), nullptr);
  map_.begin();
  EXPECT_THAT(end(), ElementsAre("a"));
}

TEST_F(SweptMapTest, TakesPutAndMakeForUse) {
  map_.begin();
  EXPECT_EQ(map_.put("a", 3), 3);
  EXPECT_THAT(map_.make("b").value, Pointee(2));
  EXPECT_THAT(map_.make("c").value, Pointee(0));
  EXPECT_THAT(end(), IsEmpty());
  EXPECT_THAT(map_.find("a"), Pointee(3));
}

TEST_F(SweptMapTest, DoesNotTakeALookForUse) {
  map_.begin();
  EXPECT_NE(map_.find("a"), nullptr);
  EXPECT_FALSE(map_.is_used("a"));
  EXPECT_THAT(end(), UnorderedElementsAre("a", "b"));
}

TEST_F(SweptMapTest, TellsTheFirstUseOfAReading) {
  for (int reading = 0; reading < 2; ++reading) {
    map_.begin();
    EXPECT_FALSE(map_.is_used("a"));
    EXPECT_TRUE(map_.use("a").is_first);
    EXPECT_TRUE(map_.is_used("a"));
    EXPECT_FALSE(map_.use("a").is_first);
    EXPECT_FALSE(map_.make("a").is_first);
    map_.put("b", 2);
    EXPECT_FALSE(map_.use("b").is_first);
    map_.end();
  }
  EXPECT_TRUE(map_.make("c").is_first);
  EXPECT_EQ(map_.use("no").value, nullptr);
  EXPECT_FALSE(map_.is_used("no"));
}

// A reading that throws has no end(); the next one begins as if it had not been.
TEST_F(SweptMapTest, KeepsAllIfAReadingDoesNotEnd) {
  map_.begin();
  (void)map_.use("a");
  map_.begin();
  EXPECT_FALSE(map_.is_used("a"));
  (void)map_.use("b");
  EXPECT_THAT(end(), ElementsAre("a"));
}

TEST_F(SweptMapTest, NeedsNoBeginToBeUsed) {
  SweptMap<std::string, int> map;
  EXPECT_TRUE(map.make("a").is_first);
  EXPECT_FALSE(map.use("a").is_first);
  map.end();
  EXPECT_NE(map.find("a"), nullptr);
}

TEST_F(SweptMapTest, ForgetsOneSomeOrAll) {
  map_.put("c", 3);
  map_.put("d", 4);
  map_.erase("a");
  EXPECT_EQ(map_.find("a"), nullptr);
  map_.erase_if([](const std::string& key) { return key < "d"; });
  EXPECT_EQ(map_.find("c"), nullptr);
  EXPECT_THAT(map_.find("d"), Pointee(4));
  map_.clear();
  EXPECT_EQ(map_.find("d"), nullptr);
}

TEST_F(SweptMapTest, TakesValuesThatCanOnlyBeMoved) {
  SweptMap<int, std::unique_ptr<int>> map;
  EXPECT_THAT(map.put(1, std::make_unique<int>(5)), Pointee(5));
  const int* const at = map.find(1)->get();
  for (int key = 2; key < 1000; ++key) map.put(key, nullptr);
  EXPECT_EQ(map.find(1)->get(), at);
}

}  // namespace
}  // namespace ollamafs
