// Jobs that keep a copy of the view up to date, and backups: what they delete, and what they take
// for old. A store that is gone must not empty them, and a model that was made anew must reach
// them.
#include <gmock/gmock.h>
#include <sys/mount.h>

#include <cerrno>
#include <chrono>
#include <ctime>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <ostream>
#include <string>
#include <system_error>
#include <utility>
#include <vector>

#include "tests/mounted/broken_model.h"
#include "tests/mounted/life.h"
#include "tests/mounted/mount.h"
#include "tests/mounted/shown.h"
#include "tests/mounted/ssh_server.h"
#include "tests/mounted/walk.h"
#include "tests/support/process.h"
#include "tests/support/store_builder.h"
#include "tests/support/temp_dir.h"

namespace ollamafs::test {
namespace {

namespace fs = std::filesystem;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::SizeIs;

// ---- a store that is gone ----

// Makes the directory $2 like the directory $1, and deletes there what $1 has not. $3:
// configuration of ssh.
constexpr Tool kMirrors[] = {
    {"Rsync", R"(rsync -aH --delete "$1/" "$2/")"},
    {"RsyncOverSsh", R"(rsync -a --delete -e "ssh -F $3" target:"$1/" "$2/")"},
    {"Rclone", R"(rclone --config /dev/null sync "$1" "$2")"},
};

// A file system of its own.
class Disk {
 public:
  explicit Disk(fs::path path) : path_{std::move(path)} {
    fs::create_directory(path_);
    if (::mount("disk", path_.c_str(), "tmpfs", 0, nullptr) != 0)
      throw std::system_error{errno, std::generic_category(), "tmpfs"};
  }
  ~Disk() { ::umount2(path_.c_str(), MNT_DETACH); }
  Disk(const Disk&) = delete;
  Disk& operator=(const Disk&) = delete;

 private:
  fs::path path_;
};

// A store on a disk of its own, which can be unmounted while the view is mounted.
class GoneStore : public ::testing::Test {
 protected:
  GoneStore() {
    fs::create_directory(dir / "place");
    mount_disk();
  }
  ~GoneStore() override { unmount_disk(); }

  void mount_disk() {
    if (::mount((dir / "disk").c_str(), (dir / "place").c_str(), nullptr, MS_BIND, nullptr) != 0)
      throw std::system_error{errno, std::generic_category(), "bind mount"};
  }
  void unmount_disk() { ::umount2((dir / "place").c_str(), MNT_DETACH); }

  [[nodiscard]] static bool fails(const fs::path& directory, int error) {
    return eventually([&] { return listing_fails_with(directory) == error; });
  }

  TempDir dir;
  Disk disk{dir / "disk"};
  ThreeModels store{dir / "disk/models"};
};

class MirroredBy : public GoneStore, public ::testing::WithParamInterface<Tool> {};

TEST_P(MirroredBy, AToolIsNotEmptied) {
  const SshServer server;
  Mount mount{dir / "place/models"};
  const auto mirror = [&](const char* view) {
    const fs::path into = dir / "mirror" / view;
    fs::create_directories(into);
    return run({"bash", "-c", GetParam().line, "mirror", (mount / view).string(), into.string(),
                server.config()})
        .status;
  };
  for (const char* const view : {"models", "archives"}) ASSERT_EQ(mirror(view), 0) << view;
  const auto before = walk(dir / "mirror");
  unmount_disk();
  ASSERT_TRUE(fails(mount / "models", EIO));
  ASSERT_TRUE(fails(mount / "archives", EIO));
  for (const char* const view : {"models", "archives"}) EXPECT_NE(mirror(view), 0) << view;
  const auto after = walk(dir / "mirror");
  for (const auto& [path, st] : before) EXPECT_TRUE(after.contains(path)) << path;
  EXPECT_THAT(manifests_in(dir / "mirror/models"), SizeIs(3));
  mount_disk();
  ASSERT_TRUE(fails(mount / "models", 0));
  for (const char* const view : {"models", "archives"}) EXPECT_EQ(mirror(view), 0) << view;
}

INSTANTIATE_TEST_SUITE_P(, MirroredBy, ::testing::ValuesIn(kMirrors),
                         [](const auto& test) { return test.param.name; });

TEST_F(GoneStore, IsSaidByOneFileInEveryViewUntilItIsBack) {
  Mount mount{dir / "place/models"};
  ASSERT_TRUE(fails(mount / "models/me", 0));
  for (int times = 0; times < 2; ++times) {
    unmount_disk();
    for (const char* const view : {"models", "archives"}) {
      ASSERT_TRUE(fails(mount / view, EIO)) << view;
      const Result ls = run({"ls", (mount / view).string()});
      EXPECT_EQ(ls.out, "STORE-IS-GONE\n");
      EXPECT_NE(ls.status, 0);
      EXPECT_GT(fs::file_size(mount / view / "STORE-IS-GONE"), 0u);
      EXPECT_EQ(opening_fails_with(mount / view / "STORE-IS-GONE"), EIO);
      // Who walks by path and knows the names must not hear that they have vanished.
      for (const char* const name : {"good+v1", "good+v1.tar", "me", "me/other+v1"})
        EXPECT_EQ(opening_fails_with(mount / view / name), EIO) << name;
    }
    EXPECT_THAT(read_file(mount / "README.txt"), HasSubstr("ollamafs umount"));
    EXPECT_THAT(names_in(mount.path()), ElementsAre("README.txt", "archives", "contents",
                                                    "index.html", "layouts", "models"));
    mount_disk();
    ASSERT_TRUE(fails(mount / "models", 0));
    EXPECT_THAT(names_in(mount / "models"), ElementsAre("bad", "good+v1", "me"));
    EXPECT_EQ(opening_fails_with(mount / "models/STORE-IS-GONE"), ENOENT);
  }
  EXPECT_THAT(mount.log(), HasSubstr("the store is gone"));
  EXPECT_THAT(mount.log(), HasSubstr("the store is back"));
}

TEST_F(GoneStore, IsReadOnWhereItIsOpen) {
  Mount mount{dir / "place/models"};
  std::ifstream archive{mount / "archives/good+v1.tar", std::ios::binary};
  std::ifstream blob{
      mount / "models/good+v1/blobs" / store.path_of(store.good.layers[0]).filename(),
      std::ios::binary};
  char byte = 0;
  ASSERT_TRUE(archive.get(byte) && blob.get(byte));
  unmount_disk();
  ASSERT_TRUE(fails(mount / "models", EIO));
  // What the kernel has read ahead it must ask for again.
  must({"sh", "-c", "sync; echo 1 >/proc/sys/vm/drop_caches"});
  const std::string rest{std::istreambuf_iterator<char>{blob}, {}};
  EXPECT_EQ("G" + rest, read_file(store.path_of(store.good.layers[0])));
  const std::string tar{std::istreambuf_iterator<char>{archive}, {}};
  EXPECT_EQ((tar.size() + 1) % 10240, 0u);
  EXPECT_THAT(tar, HasSubstr(store.good.json()));
}

TEST_F(GoneStore, IsNotAStoreWhoseModelsWereAllRemoved) {
  Mount mount{dir / "place/models"};
  fs::remove_all(dir / "disk/models/manifests/registry.ollama.ai");
  fs::remove_all(dir / "disk/models/manifests-v2/ollama.com");
  ASSERT_TRUE(eventually([&] { return names_in(mount / "models").empty(); }));
  EXPECT_EQ(listing_fails_with(mount / "models"), 0);
}

// A server that goes on running makes its folders anew, where the disk was mounted.
TEST_F(GoneStore, IsGoneAlsoWhereItsServerHasMadeEmptyFolders) {
  Mount mount{dir / "place/models"};
  unmount_disk();
  ASSERT_TRUE(fails(mount / "models", EIO));
  fs::create_directories(dir / "place/models/blobs");
  fs::create_directories(dir / "place/models/manifests");
  write_file(dir / "place/models/blobs/x", "so that there is a change to be seen");
  EXPECT_FALSE(eventually([&] { return listing_fails_with(mount / "models") == 0; },
                          std::chrono::seconds{3}));
  const StoreBuilder anew{dir / "place/models"};
  anew.v1("new:t", anew.text_model(9));
  EXPECT_TRUE(fails(mount / "models", 0));
  EXPECT_THAT(names_in(mount / "models"), ElementsAre("new+t"));
}

TEST_F(GoneStore, IsSaidByList) {
  fs::remove_all(dir / "disk/models/manifests");
  fs::create_directory_symlink("/nowhere", dir / "disk/models/manifests");
  const Result result = run({binary(), "list", "--store", (dir / "place/models").string()});
  EXPECT_EQ(result.status, 3);
  EXPECT_THAT(result.err, HasSubstr("is gone"));
}

// ---- what is newer ----

// Updates the directory $2 from the directory $1, and leaves out what is not newer.
constexpr Tool kUpdaters[] = {
    {"Rsync", R"(rsync -au "$1/" "$2/")"},
    {"Cp", R"(cp -ru --preserve=timestamps "$1/." "$2/")"},
};

class UpdatedBy : public ::testing::TestWithParam<Tool> {};

// Whatever the digests of their manifests are.
TEST_P(UpdatedBy, AToolAnArchiveIsReplacedByThatOfANewerModel) {
  const TempDir dir;
  const StoreBuilder store{dir / "store"};
  Mount mount{store.root()};
  fs::create_directory(dir / "stick");
  constexpr std::time_t start = 1'790'000'000;
  for (int version = 1; version <= 5; ++version) {
    const Digest digest = store.v1("m:t", store.text_model(static_cast<std::uint64_t>(version)));
    set_mtime(store.v1_path(*ModelName::parse("m:t")), start + 60 * version);
    ASSERT_TRUE(eventually([&] {
      return fs::exists(mount / "archives/m+t.tar") &&
             attribute(mount / "archives/m+t.tar", "digest") == digest.to_string() &&
             stat_of(mount / "archives/m+t.tar").st_mtime == start + 60 * version;
    }));
    const Result copied = run({"bash", "-c", GetParam().line, "update",
                               (mount / "archives").string(), (dir / "stick").string()});
    ASSERT_EQ(copied.status, 0) << copied.err;
    EXPECT_EQ(read_file(dir / "stick/m+t.tar"), read_file(mount / "archives/m+t.tar")) << version;
  }
}

INSTANTIATE_TEST_SUITE_P(, UpdatedBy, ::testing::ValuesIn(kUpdaters),
                         [](const auto& test) { return test.param.name; });

// ---- stores of 2023 ----

// Their blobs have a colon in their names.
TEST(OldStore, IsCopiedWithBlobsAsTheyAreNamedToday) {
  const TempDir dir;
  ThreeModels store{dir / "store"};
  const auto old = [](const fs::path& blob) {
    std::string name = blob.filename().string();
    return blob.parent_path() / name.replace(6, 1, ":");
  };
  for (const ManifestSpec& model : {store.good, store.bad}) {
    for (const LayerSpec& layer : model.layers) {
      if (const fs::path blob = store.path_of(layer); fs::exists(blob)) fs::rename(blob, old(blob));
    }
  }
  // Where both are there, the one of today's name is taken.
  write_file(store.blob(), read_file(old(store.blob())));
  write_file(old(store.blob()), "other bytes");
  Mount mount{store.builder.root()};
  EXPECT_THAT(mount.log(), ::testing::Not(HasSubstr("warning")));
  for (const Tool& tool : {kTools[0], kTools[2]}) {
    ASSERT_EQ(copy(tool, mount / "models", dir / tool.name).status, 0) << mount.log();
    for (const char* const model : {"good+v1", "bad/one+v1", "me/other+v1"}) {
      const fs::path blobs = dir / tool.name / "models" / model / "blobs";
      EXPECT_EQ(std::distance(fs::directory_iterator{blobs}, {}), 4) << model;
      for (const auto& entry : fs::directory_iterator{blobs}) {
        const std::string name = entry.path().filename().string();
        EXPECT_EQ(name, Digest::of(read_file(entry.path())).blob_name());
      }
    }
  }
}

}  // namespace
}  // namespace ollamafs::test
