#include "store/transfer/split_parts.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <set>
#include <string>

#include "store/transfer/transfer_error.h"

namespace ollamafs::test {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
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

class NumberedPartsTest : public ::testing::Test {
 protected:
  [[nodiscard]] std::vector<std::vector<fs::path>> group(const std::vector<fs::path>& paths) const {
    return group_parts(paths, [this](const fs::path& first, const fs::path&, const fs::path& next) {
      return first == "d/x.tar.1" && next != first && there_.contains(next);
    });
  }

  std::set<fs::path> there_{"d/x.tar.1", "d/x.tar.2", "d/x.tar.3", "d/x.tar.10"};
};

TEST_F(NumberedPartsTest, SortsByTheNumber) {
  for (int i = 4; i < 10; ++i) there_.insert("d/x.tar." + std::to_string(i));
  const auto groups = group({"d/x.tar.1", "d/x.tar.10", "other.tar", "d/x.tar.2"});
  ASSERT_EQ(groups.size(), 2U);
  ASSERT_EQ(groups[0].size(), 10U);
  for (std::size_t i = 0; i < 10; ++i) {
    EXPECT_EQ(groups[0][i], "d/x.tar." + std::to_string(i + 1));
  }
  EXPECT_THAT(groups[1], ElementsAre("other.tar"));
}

TEST_F(NumberedPartsTest, NamesTheOneThatIsMissing) {
  try {
    (void)group({"d/x.tar.1", "d/x.tar.10", "d/x.tar.2"});
    ADD_FAILURE() << "it takes parts with a gap";
  } catch (const TransferError& error) {
    EXPECT_EQ(error.kind(), TransferError::Kind::not_found);
    EXPECT_THAT(error.what(), HasSubstr("d/x.tar.4 is missing"));
  }
}

}  // namespace
}  // namespace ollamafs::test
