// What a store does while it is mounted is seen: what `ollama pull`, `create`, `cp` and `rm` do to
// it, and what people do who move it.
#include <gmock/gmock.h>
#include <unistd.h>

#include <filesystem>
#include <set>
#include <string>

#include "tests/mounted/broken_model.h"
#include "tests/mounted/life.h"
#include "tests/mounted/mount.h"
#include "tests/mounted/shown.h"
#include "tests/mounted/walk.h"
#include "tests/support/process.h"
#include "tests/support/store_builder.h"
#include "tests/support/temp_dir.h"

namespace ollamafs::test {
namespace {

namespace fs = std::filesystem;
using ::testing::HasSubstr;
using ::testing::Not;

using Names = std::set<std::string>;

// With changes that are watched, and looked for.
class Live : public ::testing::TestWithParam<const char*> {
 protected:
  static Mount::Options options() {
    if (std::string{GetParam()} == "Watched") return {};
    return {.arguments = {"-o", "poll=1"}};
  }

  // Both views and the kernel's memory of them say so, in the end.
  void expect_models(const Names& models) {
    Names archives;
    for (const std::string& model : models) archives.insert(model + ".tar");
    EXPECT_TRUE(eventually([&] { return shown("models") == models; }))
        << ::testing::PrintToString(shown("models"));
    EXPECT_TRUE(eventually([&] { return shown("archives") == archives; }))
        << ::testing::PrintToString(shown("archives"));
    for (const std::string& model : models) {
      EXPECT_TRUE(fs::is_directory(mount / "models" / model)) << model;
      EXPECT_TRUE(fs::is_regular_file(mount / "archives" / (model + ".tar"))) << model;
    }
  }

  // What a view lists; of a store that is gone one name of that.
  [[nodiscard]] Names shown(const char* view) const {
    return listing_fails_with(mount / view) == 0 ? names_in(mount / view) : Names{"gone"};
  }

  static StoreBuilder with_one(const fs::path& root) {
    StoreBuilder store{root};
    store.v1("one:a", store.text_model(1));
    return store;
  }

  TempDir dir;
  StoreBuilder store = with_one(dir / "store");
  Mount mount{store.root(), options()};
};

INSTANTIATE_TEST_SUITE_P(, Live, ::testing::Values("Watched", "Polled"),
                         [](const auto& test) { return test.param; });

TEST_P(Live, ShowsModelsThatComeAndGoInBothTrees) {
  expect_models({"one+a"});
  store.v1("two:b", store.text_model(2));
  expect_models({"one+a", "two+b"});
  store.v2("three:c", store.text_model(3));
  expect_models({"one+a", "three+c", "two+b"});
  fs::remove(store.v1_path(*ModelName::parse("two:b")));
  expect_models({"one+a", "three+c"});
  fs::remove(store.v2_path(*ModelName::parse("three:c")));
  expect_models({"one+a"});
  fs::remove_all(store.root() / "manifests");
  expect_models({});
  store.v1("four:d", store.text_model(4));
  expect_models({"four+d"});
}

TEST_P(Live, ShowsAnotherVersionWithAllThatIsInIt) {
  const fs::path manifest = mount / "models/one+a/manifests/registry.ollama.ai/library/one/a";
  const auto before = walk(mount / "models/one+a");
  const ManifestSpec renewed = store.text_model(7);
  store.v1("one:a", renewed);
  // By a process that began after the change: this one would have to list the blobs first.
  ASSERT_TRUE(eventually([&] { return run({"cat", manifest.string()}).out == renewed.json(); }));
  EXPECT_TRUE(fs::exists(mount / "models/one+a/blobs" / digest_of(renewed.layers[0]).blob_name()));
  EXPECT_NE(walk(mount / "models/one+a").at("").st_ino, before.at("").st_ino);
}

// Servers before 0.40 do not write manifests atomically (docs/store-format.md §5).
TEST_P(Live, WaitsForAManifestThatIsBeingWritten) {
  const ManifestSpec two = store.text_model(2);
  const fs::path manifest = store.v1_path(*ModelName::parse("two:b"));
  const std::string bytes = two.json();
  write_file(manifest, bytes.substr(0, bytes.size() / 2));
  store.v1("three:c", store.text_model(3));
  expect_models({"one+a", "three+c"});
  write_file(manifest, bytes);
  expect_models({"one+a", "three+c", "two+b"});
  EXPECT_THAT(mount.log(), Not(HasSubstr("two")));

  // One that is written over is what it was.
  write_file(manifest, bytes.substr(0, 10));
  store.v1("four:d", store.text_model(4));
  expect_models({"four+d", "one+a", "three+c", "two+b"});
  EXPECT_THAT(mount.log(), Not(HasSubstr("two")));

  // One that stays so is said.
  EXPECT_TRUE(eventually([&] { return count(mount.log(), "is not a manifest") == 1; }));
  expect_models({"four+d", "one+a", "three+c"});
}

TEST_P(Live, DoesNotTakeADownloadForAModel) {
  const ManifestSpec two = store.text_model(2);
  const fs::path weights = store.blob_path(digest_of(two.layers[0]));
  const fs::path partial = weights.string() + "-partial";
  fs::rename(weights, partial);
  store.v1("two:b", two);
  EXPECT_TRUE(eventually([&] { return count(mount.log(), "two:b is broken") == 1; }));
  EXPECT_TRUE(eventually([&] { return attribute(mount / "models/two+b", "state") != "whole"; }));
  fs::rename(partial, weights);
  EXPECT_TRUE(eventually([&] { return attribute(mount / "models/two+b", "state") == "whole"; }));
  must({"cp", "-r", (mount / "models/two+b").string(), (dir / "copy").string()});
  EXPECT_EQ(manifests_in(dir / "copy").size(), 1u);
}

TEST_P(Live, FollowsTheStoreWhereItsPathLeads) {
  fs::rename(store.root(), dir / "away");
  EXPECT_TRUE(eventually([&] { return listing_fails_with(mount / "models") == EIO; }));
  EXPECT_TRUE(fs::exists(mount / "README.txt"));
  fs::rename(dir / "away", store.root());
  expect_models({"one+a"});

  with_one(dir / "other").v1("two:b", store.text_model(2));
  StoreBuilder{dir / "other"}.v1("two:b", StoreBuilder{dir / "other"}.text_model(2));
  fs::rename(store.root(), dir / "away");
  fs::rename(dir / "other", store.root());
  expect_models({"one+a", "two+b"});
  fs::remove_all(store.root());
  fs::create_directory_symlink(dir / "away", store.root());
  expect_models({"one+a"});
}

TEST_P(Live, FollowsBlobsThatMoveToAnotherDisk) {
  const fs::path blobs = store.root() / "blobs";
  fs::rename(blobs, store.root() / "elsewhere");
  EXPECT_TRUE(eventually([&] { return attribute(mount / "models/one+a", "state") != "whole"; }));
  fs::create_directory_symlink("elsewhere", blobs);
  EXPECT_TRUE(eventually([&] { return attribute(mount / "models/one+a", "state") == "whole"; }));
  must({"cp", "-r", (mount / "models/one+a").string(), (dir / "copy").string()});
  // What happens in the folder that the link leads to is seen as well.
  const ManifestSpec two = store.text_model(2);
  const fs::path config = store.blob_path(Digest::parse(two.config->digest).value());
  fs::remove(config);
  store.v1("two:b", two);
  EXPECT_TRUE(eventually([&] { return count(mount.log(), "two:b is broken") == 1; }));
  (void)store.text_model(2);
  EXPECT_TRUE(eventually([&] { return attribute(mount / "models/two+b", "state") == "whole"; }));
}

// ---- blobs that go bad and are mended ----

TEST_P(Live, TakesAModelForWholeAgainWhenItsBlobIsMended) {
  const LayerSpec weights = store.text_model(1).layers[0];
  const fs::path blob = store.blob_path(digest_of(weights));
  const std::string good = read_file(blob);
  const fs::path shown = mount / "models/one+a/blobs" / blob.filename();
  EXPECT_TRUE(read_file(shown) == good);  // the kernel keeps it now

  fs::resize_file(blob, 1000);
  EXPECT_TRUE(eventually([&] { return opening_fails_with(mount / "archives/one+a.tar") == EIO; }));
  EXPECT_TRUE(eventually([&] { return attribute(mount / "models/one+a", "state") != "whole"; }));
  write_file(dir / "new", good);
  fs::rename(dir / "new", blob);
  EXPECT_TRUE(eventually([&] { return attribute(mount / "models/one+a", "state") == "whole"; }));
  EXPECT_TRUE(eventually([&] { return opening_fails_with(shown) == 0; }));
  must({"cp", "-r", (mount / "models/one+a").string(), (dir / "copy").string()});
  EXPECT_TRUE(read_file(dir / "copy/blobs" / blob.filename()) == good);
}

// The number of a blob is its digest's: the kernel has kept the bytes of another file under it.
// Not while the file is just being replaced: then it cannot be read.
bool reads(const fs::path& file, const std::string& bytes) try {
  return read_file(file) == bytes;
} catch (const std::exception&) {
  return false;
}

TEST_P(Live, ForgetsTheBytesOfADamagedBlobWhenAnotherFileTakesItsPlace) {
  const fs::path blob = store.blob_path(digest_of(store.text_model(1).layers[0]));
  const std::string good = read_file(blob);
  std::string bad = good;
  bad[1000] = static_cast<char>(~bad[1000]);
  write_file(dir / "bad", bad);
  fs::rename(dir / "bad", blob);
  const fs::path shown = mount / "models/one+a/blobs" / blob.filename();
  EXPECT_TRUE(eventually([&] { return reads(shown, bad); }));
  write_file(dir / "good", good);
  fs::rename(dir / "good", blob);
  EXPECT_TRUE(eventually([&] { return reads(shown, good); }));
}

}  // namespace
}  // namespace ollamafs::test
