#include "fs/views/index_page.h"

#include <gmock/gmock.h>

#include <string>

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
