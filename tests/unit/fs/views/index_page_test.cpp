#include "fs/views/index_page.h"

#include <gmock/gmock.h>

#include <algorithm>
#include <cstddef>
#include <string>

#include "store/base/text.h"

namespace ollamafs::test {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

constexpr const char* kHostile = R"(</td><script>alert("1")</script>'&amp;)";
constexpr const char* kHarmless =
    "&lt;/td&gt;&lt;script&gt;alert(&quot;1&quot;)&lt;/script&gt;&#39;&amp;amp;";

TEST(IndexPage, ShowsEveryTextAsItIs) {
  const IndexRow row{.name = kHostile, .id = kHostile, .fault = kHostile, .command = kHostile};
  const std::string page = index_page(kHostile, {&row, 1});
  EXPECT_THAT(page, Not(HasSubstr("alert(\"")));
  EXPECT_THAT(page, HasSubstr("<b>" + std::string{kHarmless} + "</b>"));
  EXPECT_THAT(page, HasSubstr("broken: " + std::string{kHarmless} + "</td>"));
  EXPECT_THAT(page, HasSubstr("<code>" + std::string{kHarmless} + "</code>"));
}

TEST(IndexPage, HasCellsOfOneWidth) {
  EXPECT_EQ(html_cell("", 5), "     ");
  EXPECT_EQ(html_cell("llama", 5), "llama");
  EXPECT_EQ(html_cell("phi", 5), "phi  ");
  EXPECT_EQ(html_cell("llama4", 5), "ll\u2026");
  EXPECT_EQ(html_cell("\x1b", 5), "\\x1b ");
}

TEST(IndexPage, CutsNoCharacterAndNothingThatStandsForOne) {
  EXPECT_EQ(html_cell("a&b", 7), "a&amp;b");
  EXPECT_EQ(html_cell("a&bc", 7), "a\u2026   ");
  EXPECT_EQ(html_cell("<<<", 5), "\u2026  ");
  EXPECT_EQ(html_cell("\u00e9\u00e9\u00e9", 5), "\u00e9\u2026");
  EXPECT_EQ(html_cell("\u00e9\u00e9\u00e9", 6), "\u00e9\u00e9\u00e9");
  // A character of which the beginning is left is no text.
  EXPECT_EQ(html_cell("ab\xe2\x82", 12), "ab\\xe2\\x82  ");
  const std::string all = "\u20ac&<a\u00e9'\"\U0001f999\xff\x01 ";
  for (std::size_t width = 3; width < 80; ++width) {
    const std::string cell = html_cell(all + all, width);
    EXPECT_EQ(cell.size(), width);
    EXPECT_TRUE(is_valid_utf8(cell)) << cell;
    EXPECT_EQ(std::ranges::count(cell, '&'), std::ranges::count(cell, ';')) << cell;
  }
}

TEST(IndexPage, IsAsLongWhateverIsInBlobs) {
  const IndexRow blank{.name = "a:b"};
  const std::string page = index_page("/store", {&blank, 1});
  for (const std::string& text : {std::string{"llama"}, std::string(5000, 'x'),
                                  std::string(100, '<'), std::string{kHostile}}) {
    const IndexRow row{.name = "a:b",
                       .family = text,
                       .parameters = text,
                       .quantization = text,
                       .context = text,
                       .license = text};
    const std::string full = index_page("/store", {&row, 1});
    EXPECT_EQ(full.size(), page.size());
    EXPECT_NE(full, page);
    EXPECT_THAT(full, Not(HasSubstr("alert(\"")));
  }
}

TEST(IndexPage, ShowsBytesThatAreNoText) {
  EXPECT_EQ(html_text("a\x1b\xff<"), "a\\x1b\\xff&lt;");
}

TEST(IndexPage, HasLinksThatLeadToTheirPaths) {
  EXPECT_EQ(link_to("archives/a/b+c.tar"), "archives/a/b%2Bc.tar");
  EXPECT_EQ(link_to("contents/h%3A1/\"'<&>/"), "contents/h%253A1/%22%27%3C%26%3E/");
  const IndexRow row{.name = "b:c", .archive = "archives/b+c.tar"};
  const std::string page = index_page("/store", {&row, 1});
  EXPECT_THAT(page, HasSubstr("<a href=\"archives/b%2Bc.tar\">archive</a>"));
  EXPECT_THAT(page, Not(HasSubstr("contents</a>")));
}

TEST(IndexPage, HasSizesAndDatesForPeopleAndForSorting) {
  const IndexRow row{.size = 2'019'393'189, .own = 999, .shared = 0, .mtime = 1'700'000'000};
  const std::string page = index_page("/store", {&row, 1});
  EXPECT_THAT(page, HasSubstr("data-v=\"2019393189\">2.0 GB<"));
  EXPECT_THAT(page, HasSubstr("data-v=\"999\">999 B<"));
  EXPECT_THAT(page, HasSubstr("data-v=\"1700000000\">2023-11-14 22:13<"));
}

}  // namespace
}  // namespace ollamafs::test
