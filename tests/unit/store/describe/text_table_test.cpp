#include "store/describe/text_table.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace ollamafs::test {
namespace {

TEST(TextTable, PadsEachColumn) {
  EXPECT_EQ(text_section("Parameters", {{"num_ctx", "256"}, {"stop", "\"a", "b\""}}, 100),
            "  Parameters\n"
            "    num_ctx    256    \n"
            "    stop       \"a     b\"    \n"
            "\n");
}

TEST(TextTable, CountsColumnsAndNotBytes) {
  EXPECT_EQ(display_width("r\xC3\xA9sum\xC3\xA9"), 6u);
  EXPECT_EQ(display_width("\xE4\xBD\xA0\xE5\xA5\xBD"), 4u);
  EXPECT_EQ(display_width("e\xCC\x81"), 1u);
}

TEST(TextTable, WrapsEvenly) {
  EXPECT_EQ(text_section("System", {{"aaa bb cc ddddd"}}, 6),
            "  System\n"
            "    aaa       \n"
            "      bb cc     \n"
            "      ddddd     \n"
            "\n");
  EXPECT_EQ(text_section("System", {{"aaaaaaaaaaaaaaa bb"}}, 11),
            "  System\n"
            "    aaaaaaaaaaaaaaa    \n"
            "      bb                 \n"
            "\n");
}

// Each in no time, and in no more memory than the texts have.
TEST(TextTable, BearsLongTexts) {
  std::string words(64'000, 'a');
  for (std::size_t i = 1; i < words.size(); i += 2) words[i] = ' ';
  const std::string text = text_section("System", {{words, std::string(64'000, 'b')}}, 100);
  EXPECT_LT(text.size(), 2'000'000u);
  EXPECT_THAT(text, testing::HasSubstr("\n      a a a"));
  std::vector<TextRow> rows(1000, TextRow{"a", "b"});
  rows.push_back({std::string(64'000, 'c'), "d"});
  EXPECT_LT(text_section("Parameters", rows, 1000).size(), 2'000'000u);
}

TEST(TextTable, GivesNoOrdersToTheTerminal) {
  EXPECT_THAT(text_section("System", {{"\x1B[2J\\"}}, 100),
              testing::HasSubstr("    \\x1b[2J\\    "));
}

}  // namespace
}  // namespace ollamafs::test
