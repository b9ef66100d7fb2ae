// What is mounted over the store or a part of it while the view is mounted is seen, and what comes
// back when that is unmounted: a disk that is plugged in later, say. inotify(7) tells nothing of
// it.
#include <gtest/gtest.h>
#include <sys/mount.h>

#include <filesystem>
#include <optional>
#include <set>
#include <string>
#include <system_error>
#include <utility>

#include "store/watch/mount_watch.h"
#include "tests/mounted/broken_model.h"
#include "tests/mounted/mount.h"
#include "tests/mounted/shown.h"
#include "tests/support/process.h"
#include "tests/support/store_builder.h"
#include "tests/support/temp_dir.h"

namespace ollamafs::test {
namespace {

namespace fs = std::filesystem;
using Names = std::set<std::string>;

// A folder that is seen at another place too, until this ends.
class Bound {
 public:
  Bound(const fs::path& folder, const fs::path& place) : place_{place} {
    if (::mount(folder.c_str(), place.c_str(), nullptr, MS_BIND, nullptr) != 0)
      throw std::system_error{errno, std::generic_category(), place.string()};
  }
  ~Bound() { ::umount2(place_.c_str(), MNT_DETACH); }
  Bound(const Bound&) = delete;
  Bound& operator=(const Bound&) = delete;

 private:
  fs::path place_;
};

class LiveMounts : public ::testing::Test {
 protected:
  bool shows(const Names& models) {
    return eventually([&] { return names_in(view_ / "models") == models; });
  }

  bool is_whole(const std::string& model) {
    return eventually([&] { return attribute(view_ / "models" / model, "state") == "whole"; });
  }

  bool is_broken(const std::string& model) {
    return eventually([&] { return attribute(view_ / "models" / model, "state") != "whole"; });
  }

  static StoreBuilder with(const fs::path& root, const std::string& model, std::uint64_t seed) {
    StoreBuilder store{root};
    store.v1(model, store.text_model(seed));
    return store;
  }

  TempDir dir_;
  StoreBuilder store_ = with(dir_ / "way/store", "one:a", 1);
  StoreBuilder other_ = with(dir_ / "disk/store", "two:b", 2);
  Mount mount_{store_.root()};
  fs::path view_ = mount_.path();
};

TEST_F(LiveMounts, OverThePathAreSeen) {
  ASSERT_TRUE(shows({"one+a"}));
  {
    const Bound disk{other_.root(), store_.root()};
    EXPECT_TRUE(shows({"two+b"}));
  }
  EXPECT_TRUE(shows({"one+a"}));
}

TEST_F(LiveMounts, OnTheWayToThePathAreSeen) {
  ASSERT_TRUE(shows({"one+a"}));
  {
    const Bound disk{dir_ / "disk", dir_ / "way"};
    EXPECT_TRUE(shows({"two+b"}));
    other_.v1("three:c", other_.text_model(3));
    EXPECT_TRUE(shows({"three+c", "two+b"}));
  }
  EXPECT_TRUE(shows({"one+a"}));
}

TEST_F(LiveMounts, OverAFolderOfTheTreeAreSeen) {
  ASSERT_TRUE(shows({"one+a"}));
  const std::string library = "manifests/registry.ollama.ai/library";
  (void)store_.text_model(2);  // its blobs
  {
    const Bound disk{other_.root() / library, store_.root() / library};
    EXPECT_TRUE(shows({"two+b"}));
    EXPECT_TRUE(is_whole("two+b"));
  }
  EXPECT_TRUE(shows({"one+a"}));
}

TEST_F(LiveMounts, OverTheBlobsAndOneOfThemAreSeen) {
  ASSERT_TRUE(is_whole("one+a"));
  {
    const Bound disk{other_.root() / "blobs", store_.root() / "blobs"};
    EXPECT_TRUE(is_broken("one+a"));
  }
  EXPECT_TRUE(is_whole("one+a"));
  const fs::path blob = fs::directory_iterator {
    store_.root() / "blobs"
  } -> path();
  write_file(dir_ / "short", "short");
  {
    const Bound file{dir_ / "short", blob};
    EXPECT_TRUE(is_broken("one+a"));
  }
  EXPECT_TRUE(is_whole("one+a"));
}

// A server that starts containers mounts all the time, and the store must not be read each time.
TEST(MountWatch, TellsOfWhatMattersOnly) {
  const TempDir dir;
  for (const char* const folder : {"place/below", "tree/a/b", "tree2", "else where"})
    fs::create_directories(dir / folder);
  MountWatch watch;
  watch.begin();
  watch.add(dir / "place");
  watch.add_tree(dir / "tree");
  watch.end();
  const auto is_told_of = [&](const fs::path& place) {
    std::optional<Bound> bound{std::in_place, dir.path(), dir / place};
    const bool comes = watch.has_changed();
    const bool stays = watch.has_changed();
    bound.reset();
    const bool goes = watch.has_changed();
    EXPECT_EQ(comes, goes) << place;
    EXPECT_FALSE(stays) << place;
    return comes;
  };
  EXPECT_TRUE(is_told_of("place"));
  EXPECT_TRUE(is_told_of("tree"));
  EXPECT_TRUE(is_told_of("tree/a/b"));
  EXPECT_FALSE(is_told_of("place/below"));
  EXPECT_FALSE(is_told_of("tree2"));
  EXPECT_FALSE(is_told_of("else where"));

  // The kernel gives a number again at once that is free.
  std::optional<Bound> bound{std::in_place, dir / "tree/a", dir / "place"};
  EXPECT_TRUE(watch.has_changed());
  bound.reset();
  bound.emplace(dir / "tree2", dir / "place");
  EXPECT_TRUE(watch.has_changed());
  bound.reset();
  EXPECT_TRUE(watch.has_changed());

  watch.begin();
  EXPECT_TRUE(is_told_of("place"));  // while new ones are found
  watch.end();
  EXPECT_FALSE(is_told_of("place"));
}

}  // namespace
}  // namespace ollamafs::test
