#include "store/transfer/split_parts.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <set>
#include <string>

namespace ollamafs::test {
namespace {

using ::testing::ElementsAre;
namespace fs = std::filesystem;

TEST(SplitPartsTest, KnowsTheNextPart) {
  EXPECT_EQ(next_part("x.tar.part00"), "x.tar.part01");
  EXPECT_EQ(next_part("x.tar.part9"), "x.tar.part10");
  EXPECT_EQ(next_part("x.001"), "x.002");
  EXPECT_EQ(next_part("x.tar.aa"), "x.tar.ab");
  EXPECT_EQ(next_part("x.tar.az"), "x.tar.ba");
  EXPECT_EQ(next_part("x.tar.partaa"), "x.tar.partab");
  EXPECT_EQ(next_part("x.tar.zz"), std::nullopt);
}

TEST(SplitPartsTest, TakesOtherNamesForWhole) {
  for (const char* const name :
       {"x.tar", "x", "x.tar.gz.bak", "llama3.2", "v1.5-7", "data(1)", ""}) {
    EXPECT_EQ(next_part(name), std::nullopt) << name;
  }
}

TEST(SplitPartsTest, PutsPartsTogether) {
  const std::set<fs::path> there{"d/a.part0", "d/a.part1", "d/a.part2", "b.tar", "c.00", "c.01"};
  const auto exists = [&](const fs::path&, const fs::path&, const fs::path& next) {
    return there.contains(next);
  };
  EXPECT_THAT(group_parts({"d/a.part0", "d/a.part1", "b.tar", "c.00"}, exists),
              ElementsAre(ElementsAre("d/a.part0", "d/a.part1", "d/a.part2"), ElementsAre("b.tar"),
                          ElementsAre("c.00", "c.01")));
  EXPECT_THAT(group_parts({"d/a.part0", "d/a.part1", "d/a.part2"}, exists),
              ElementsAre(ElementsAre("d/a.part0", "d/a.part1", "d/a.part2")));
}

}  // namespace
}  // namespace ollamafs::test
