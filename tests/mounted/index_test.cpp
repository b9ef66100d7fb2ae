// index.html: all models on one page.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/inotify.h>
#include <unistd.h>

#include <array>
#include <filesystem>
#include <sstream>
#include <string>

#include "store/base/unique_fd.h"
#include "tests/mounted/mount.h"
#include "tests/mounted/walk.h"
#include "tests/support/gguf_builder.h"
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

// Whether a file in `folder` was opened while `act` ran.
template <class Act>
bool opens_files_in(const fs::path& folder, Act act) {
  const UniqueFd watch{::inotify_init1(IN_NONBLOCK | IN_CLOEXEC)};
  EXPECT_GE(::inotify_add_watch(watch.get(), folder.c_str(), IN_OPEN), 0);
  act();
  std::array<char, 4096> events;
  return ::read(watch.get(), events.data(), events.size()) > 0;
}

TEST_F(Index, TellsWhatBlobsSayAndOpensThemForNothingElse) {
  const std::string license = "<b>Apache License</b> & as many words as nobody wants to see here";
  ManifestSpec model = store.text_model(1, 1000);
  model.layers[0] = store.layer(kModelType, GgufBuilder{}
                                                .text("general.architecture", "llama")
                                                .number("llama.context_length", 131'072)
                                                .bytes());
  model.layers.push_back(store.layer(kLicenseType, "\n  " + license + "\nmore"));
  store.v1("one:a", model);
  const Mount mount{store.root()};
  const fs::path index = mount / "index.html";
  off_t size = 0;
  EXPECT_FALSE(opens_files_in(store.root() / "blobs", [&] {
    EXPECT_THAT(must({"ls", "-la", mount.path()}), HasSubstr("index.html"));
    size = stat_of(index).st_size;
  }));
  std::string page;
  EXPECT_TRUE(opens_files_in(store.root() / "blobs", [&] { page = read_file(index); }));
  EXPECT_EQ(page.size(), static_cast<std::size_t>(size));
  EXPECT_EQ(stat_of(index).st_size, size);
  EXPECT_THAT(page, HasSubstr("<td>llama "));
  EXPECT_THAT(page, HasSubstr("<td class=\"n\">3.2B "));
  EXPECT_THAT(page, HasSubstr("<td>Q4_K_M "));
  EXPECT_THAT(page, HasSubstr("<td class=\"n\">131072 "));
  EXPECT_THAT(page, HasSubstr("<td>&lt;b&gt;Apache License&lt;/b&gt; &amp; as"));
  EXPECT_THAT(page, Not(HasSubstr("nobody wants")));
}

// A power failure leaves a file of the right size without its content; the blob is then written
// anew.
TEST_F(Index, HasNoGapWhereABlobWasMended) {
  const ManifestSpec model = store.text_model(1, 1000);
  store.v1("one:a", model);
  const fs::path config = store.blob_path(digest_of(*model.config));
  const std::string right = read_file(config);
  write_file(config, std::string(right.size(), '\0'));
  const Mount mount{store.root()};
  EXPECT_THAT(read_file(mount / "index.html"), Not(HasSubstr("<td>llama ")));
  write_file(config, right);
  EXPECT_TRUE(eventually(
      [&] { return read_file(mount / "index.html").find("<td>llama ") != std::string::npos; }));
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
