// index.html: all models on one page.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <sstream>
#include <string>

#include "tests/mounted/mount.h"
#include "tests/mounted/walk.h"
#include "tests/support/sample_store.h"
#include "tests/support/temp_dir.h"

namespace ollamafs::test {
namespace {

namespace fs = std::filesystem;
using ::testing::HasSubstr;
using ::testing::Not;

// Prints where the links of a page lead; fails if its tags are not balanced.
constexpr const char* kLinks = R"(
import html.parser, sys, urllib.parse
open_tags = []
class Page(html.parser.HTMLParser):
  def handle_starttag(self, tag, attributes):
    if tag not in ("meta", "input"): open_tags.append(tag)
    if tag == "a": print(urllib.parse.unquote(dict(attributes)["href"]))
  def handle_endtag(self, tag):
    assert open_tags.pop() == tag, tag
page = Page()
page.feed(open(sys.argv[1], encoding="utf-8").read())
page.close()
assert not open_tags, open_tags
)";

class Index : public ::testing::Test {
 protected:
  TempDir dir;
  StoreBuilder store{dir / "store"};
};

TEST_F(Index, LeadsToWhatIsThere) {
  write_sample_models(store);
  write_broken_models(store);
  const Mount mount{store.root()};
  std::istringstream links{must({"python3", "-c", kLinks, mount / "index.html"})};
  std::size_t count = 0;
  for (std::string link; std::getline(links, link); ++count) {
    EXPECT_TRUE(fs::exists(mount / link)) << link;
  }
  EXPECT_GT(count, 2 * 9U);
}

TEST_F(Index, FollowsTheStore) {
  store.v1("one:a", store.text_model(1, 1000));
  const Mount mount{store.root()};
  EXPECT_THAT(read_file(mount / "index.html"), HasSubstr("one:a"));
  EXPECT_THAT(read_file(mount / "index.html"), Not(HasSubstr("two:b")));
  store.v1("two:b", store.text_model(2, 1000));
  EXPECT_TRUE(eventually(
      [&] { return read_file(mount / "index.html").find("<td>two:b</td>") != std::string::npos; }));
  EXPECT_EQ(stat_of(mount / "index.html").st_mtime % 2, 0);
}

}  // namespace
}  // namespace ollamafs::test
