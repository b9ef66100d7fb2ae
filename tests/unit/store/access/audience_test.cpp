#include "store/access/audience.h"

#include <gtest/gtest.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <cerrno>
#include <cstdint>
#include <filesystem>
#include <ostream>
#include <string>
#include <system_error>
#include <vector>

#include "tests/support/store_builder.h"
#include "tests/support/temp_dir.h"

namespace ollamafs {

// For messages of failed tests.
void PrintTo(Audience audience, std::ostream* out) {
  constexpr const char* kNames[] = {"nobody", "owner", "group", "everyone"};
  *out << kNames[static_cast<int>(audience)];
}

namespace test {
namespace {

namespace fs = std::filesystem;

constexpr uid_t kOther = 601;
constexpr gid_t kOtherGroup = 602;

void call(int result, const fs::path& path) {
  if (result != 0) throw std::system_error{errno, std::generic_category(), path.string()};
}

void set_mode(const fs::path& path, mode_t mode) {
  call(::chmod(path.c_str(), mode), path);
}

// Needs root, and fails without: a test about other owners would show nothing then.
void give_to(const fs::path& path, uid_t uid, gid_t gid) {
  call(::lchown(path.c_str(), uid, gid), path);
}

// setfacl -m u:601:r, in the kernel's own form (linux/posix_acl_xattr.h).
void add_access_list(const fs::path& path) {
  struct Entry {
    std::uint16_t tag, permissions;
    std::uint32_t id;
  };
  constexpr std::uint32_t kNoId = ~std::uint32_t{0};
  const struct {
    std::uint32_t version;
    Entry entries[5];  // the owner, a user, the group, the mask, others
  } list = {
      2,
      {{0x01, 7, kNoId}, {0x02, 4, kOther}, {0x04, 5, kNoId}, {0x10, 5, kNoId}, {0x20, 5, kNoId}}};
  call(::setxattr(path.c_str(), "system.posix_acl_access", &list, sizeof list, 0), path);
}

// A store in our home: home/models, with one model, all of it open to everybody.
class AudienceOfStore : public ::testing::Test {
 protected:
  AudienceOfStore() {
    manifest_ = store_.text_model(1, 1000);
    store_.v1("team/tiny:q4", manifest_);
    blob_ = blob_path(manifest_.layers[0]);
    manifest_path_ = store_.v1_path(*ModelName::parse("team/tiny:q4"));
  }
  ~AudienceOfStore() override { ::umask(umask_); }

  [[nodiscard]] fs::path blob_path(const LayerSpec& layer) const {
    return store_.blob_path(Digest::parse(layer.digest).value());
  }

  [[nodiscard]] StoreAudience look() const {
    const StoreDir store{root_, OutsideLinks::follow};
    return audience_of(store, *Catalog::read(store));
  }
  [[nodiscard]] Audience audience() const { return look().audience; }
  // Who is left, and what is to blame, while `path` has this mode.
  [[nodiscard]] StoreAudience look_with_mode(mode_t mode, const fs::path& path) const {
    const auto before = static_cast<mode_t>(fs::status(path).permissions());
    set_mode(path, mode);
    StoreAudience found = look();
    set_mode(path, before);
    return found;
  }
  [[nodiscard]] Audience with_mode(mode_t mode, const fs::path& path) const {
    return look_with_mode(mode, path).audience;
  }

  mode_t umask_ = ::umask(022);
  TempDir temp_;
  fs::path home_ = temp_ / "home";
  fs::path root_ = home_ / "models";
  StoreBuilder store_{root_};
  ManifestSpec manifest_;
  fs::path blob_, manifest_path_;
};

TEST_F(AudienceOfStore, IsEveryoneWhenAllIsOpen) {
  const StoreAudience found = look();
  EXPECT_EQ(found.audience, Audience::everyone);
  EXPECT_EQ(found.narrowest, "");
}

TEST_F(AudienceOfStore, KnowsWhoseTheStoreIs) {
  EXPECT_EQ(look().uid, ::geteuid());
  EXPECT_EQ(look().gid, ::getegid());
  give_to(root_, kOther, kOtherGroup);
  EXPECT_EQ(look().uid, kOther);
  EXPECT_EQ(look().gid, kOtherGroup);
}

TEST_F(AudienceOfStore, IsEveryoneWhenThereIsNoModel) {
  fs::remove_all(root_ / "manifests");
  EXPECT_EQ(audience(), Audience::everyone);
}

TEST_F(AudienceOfStore, IsNarrowedByTheFolderOfTheStore) {
  EXPECT_EQ(with_mode(0750, root_), Audience::group);
  EXPECT_EQ(with_mode(0700, root_), Audience::owner);
  EXPECT_EQ(with_mode(0711, root_), Audience::everyone);  // entering is enough
}

// The usual install: the home directory of the service's user (docs/store-format.md §1).
TEST_F(AudienceOfStore, IsNarrowedByADirectoryAboveTheStore) {
  EXPECT_EQ(with_mode(0750, home_), Audience::group);
  EXPECT_EQ(with_mode(0700, home_), Audience::owner);
  EXPECT_EQ(with_mode(0711, home_), Audience::everyone);
}

TEST_F(AudienceOfStore, IsNarrowedByTheFolderOfTheBlobs) {
  EXPECT_EQ(with_mode(0750, root_ / "blobs"), Audience::group);
  EXPECT_EQ(with_mode(0700, root_ / "blobs"), Audience::owner);
  EXPECT_EQ(with_mode(0711, root_ / "blobs"), Audience::everyone);
}

// Blobs that `ollama create` made before 2024-08 are 0600.
TEST_F(AudienceOfStore, IsNarrowedByOneBlob) {
  for (const LayerSpec& layer : {manifest_.layers[0], manifest_.layers[2], *manifest_.config}) {
    EXPECT_EQ(with_mode(0640, blob_path(layer)), Audience::group);
    EXPECT_EQ(with_mode(0600, blob_path(layer)), Audience::owner);
    EXPECT_EQ(with_mode(0604, blob_path(layer)), Audience::owner);  // all but the group
  }
}

TEST_F(AudienceOfStore, IsNarrowedByOneManifest) {
  EXPECT_EQ(with_mode(0640, manifest_path_), Audience::group);
  EXPECT_EQ(with_mode(0600, manifest_path_), Audience::owner);
}

// Who may not list a folder of the tree would not know of the models in it; the view lists them.
TEST_F(AudienceOfStore, IsNarrowedByEveryFolderOfAManifestTree) {
  for (fs::path folder = manifest_path_.parent_path(); folder != root_;
       folder = folder.parent_path()) {
    EXPECT_EQ(with_mode(0750, folder), Audience::group) << folder;
    EXPECT_EQ(with_mode(0700, folder), Audience::owner) << folder;
    EXPECT_EQ(with_mode(0711, folder), Audience::owner) << folder;
    EXPECT_EQ(with_mode(0751, folder), Audience::group) << folder;
  }
}

TEST_F(AudienceOfStore, IsNarrowedByTheManifestsBlobOfAV2Tag) {
  fs::remove_all(root_ / "manifests");
  const Digest digest = store_.v2("team/tiny:q4", manifest_);
  EXPECT_EQ(audience(), Audience::everyone);
  EXPECT_EQ(with_mode(0600, store_.blob_path(digest)), Audience::owner);
  EXPECT_EQ(with_mode(0700, root_ / "manifests-v2"), Audience::owner);
}

TEST_F(AudienceOfStore, IsNarrowedByTheChildOfAList) {
  fs::remove_all(root_ / "manifests");
  const std::string child = manifest_.json();
  write_file(store_.blob_path(Digest::of(child)), child);
  const Digest list =
      store_.v2_bytes("a:b", StoreBuilder::list_json({{Digest::of(child), "ggml", "gguf"}}));
  EXPECT_EQ(audience(), Audience::everyone);
  EXPECT_EQ(with_mode(0600, store_.blob_path(Digest::of(child))), Audience::owner);
  EXPECT_EQ(with_mode(0640, store_.blob_path(list)), Audience::group);
}

TEST_F(AudienceOfStore, DoesNotDependOnWhatNoModelNeeds) {
  const fs::path unused = blob_path(store_.layer(kLicenseType, "unused"));
  set_mode(unused, 0);
  write_file(root_ / "manifests/registry.ollama.ai/team/tiny/.DS_Store", "x");
  set_mode(root_ / "manifests/registry.ollama.ai/team/tiny/.DS_Store", 0);
  EXPECT_EQ(audience(), Audience::everyone);
}

TEST_F(AudienceOfStore, DoesNotDependOnBlobsThatAreNotThere) {
  fs::remove(blob_);
  EXPECT_EQ(audience(), Audience::everyone);
}

// ---- what is to blame: the mount says so, with the way to mend it ----

TEST_F(AudienceOfStore, NamesTheFileThatNarrowsIt) {
  for (const fs::path& file : {blob_, manifest_path_}) {
    EXPECT_EQ(look_with_mode(0640, file).narrowest, file.string());
    EXPECT_EQ(look_with_mode(0600, file).narrowest, file.string());
  }
}

TEST_F(AudienceOfStore, NamesTheDirectoryThatNarrowsIt) {
  for (const fs::path& directory :
       {home_, root_, root_ / "blobs", root_ / "manifests", root_ / "manifests/registry.ollama.ai",
        manifest_path_.parent_path()}) {
    EXPECT_EQ(look_with_mode(0750, directory).narrowest, directory.string());
  }
}

TEST_F(AudienceOfStore, NamesWhatLetsTheFewestIn) {
  set_mode(manifest_path_, 0640);
  set_mode(blob_, 0600);
  set_mode(root_, 0750);
  EXPECT_EQ(audience(), Audience::owner);
  EXPECT_EQ(look().narrowest, blob_.string());
}

// ---- other owners ----

TEST_F(AudienceOfStore, IsNobodyWhenAFileIsAnothersAlone) {
  give_to(blob_, kOther, kOtherGroup);
  EXPECT_EQ(audience(), Audience::everyone);
  EXPECT_EQ(with_mode(0600, blob_), Audience::nobody);
  EXPECT_EQ(with_mode(0640, blob_), Audience::nobody);
}

TEST_F(AudienceOfStore, IsNobodyWhenADirectoryAboveIsAnothersAlone) {
  give_to(home_, kOther, kOtherGroup);
  EXPECT_EQ(with_mode(0755, home_), Audience::everyone);
  EXPECT_EQ(with_mode(0750, home_), Audience::nobody);
}

TEST_F(AudienceOfStore, CountsTheOwnerOfTheStoreInItsGroup) {
  give_to(blob_, kOther, ::getegid());
  EXPECT_EQ(with_mode(0640, blob_), Audience::group);
  give_to(home_, kOther, ::getegid());
  EXPECT_EQ(with_mode(0750, home_), Audience::group);
}

TEST_F(AudienceOfStore, CountsTheGroupOfTheStoreAndNoOther) {
  give_to(blob_, ::geteuid(), kOtherGroup);
  EXPECT_EQ(with_mode(0640, blob_), Audience::owner);
  EXPECT_EQ(with_mode(0604, blob_), Audience::group);  // all but that other group
  EXPECT_EQ(with_mode(0644, blob_), Audience::everyone);
}

// ---- links ----

TEST_F(AudienceOfStore, IsNarrowedByTheDirectoryInWhichALinkedBlobReallyLies) {
  const fs::path disk = temp_ / "disk", real = disk / "deep/blob";
  fs::create_directories(real.parent_path());
  fs::rename(blob_, real);
  fs::create_symlink(real, blob_);
  EXPECT_EQ(audience(), Audience::everyone);
  EXPECT_EQ(with_mode(0750, disk), Audience::group);
  EXPECT_EQ(with_mode(0700, disk), Audience::owner);
  EXPECT_EQ(with_mode(0600, real), Audience::owner);
}

TEST_F(AudienceOfStore, IsNarrowedByTheDirectoryToWhichAllBlobsWereMoved) {
  const fs::path disk = temp_ / "disk";
  fs::create_directory(disk);
  fs::rename(root_ / "blobs", disk / "blobs");
  fs::create_symlink(disk / "blobs", root_ / "blobs");
  EXPECT_EQ(audience(), Audience::everyone);
  EXPECT_EQ(with_mode(0750, disk), Audience::group);
  EXPECT_EQ(with_mode(0700, disk / "blobs"), Audience::owner);
}

// Whoever may not enter blobs/ cannot follow the links in it, wherever they lead.
TEST_F(AudienceOfStore, IsNarrowedByTheDirectoryOfTheLinksToo) {
  fs::create_directory(temp_ / "disk");
  std::vector<fs::path> blobs;
  for (const auto& entry : fs::directory_iterator{root_ / "blobs"}) blobs.push_back(entry.path());
  for (const fs::path& blob : blobs) {
    fs::rename(blob, temp_ / "disk" / blob.filename());
    fs::create_symlink(temp_ / "disk" / blob.filename(), blob);
  }
  EXPECT_EQ(audience(), Audience::everyone);
  EXPECT_EQ(with_mode(0750, root_ / "blobs"), Audience::group);
  EXPECT_EQ(with_mode(0700, root_ / "blobs"), Audience::owner);
}

// ---- access control lists ----

// The mode bits of a file with a list do not tell whom it lets in.
TEST_F(AudienceOfStore, CountsAFileWithAnAccessListAsItsOwners) {
  add_access_list(blob_);
  EXPECT_EQ(audience(), Audience::owner);
  EXPECT_EQ(look().narrowest, blob_.string());
}

TEST_F(AudienceOfStore, CountsADirectoryWithAnAccessListAsItsOwners) {
  for (const fs::path& directory : {home_, root_, root_ / "blobs", manifest_path_.parent_path()}) {
    add_access_list(directory);
    EXPECT_EQ(audience(), Audience::owner) << directory;
    call(::removexattr(directory.c_str(), "system.posix_acl_access"), directory);
    set_mode(directory, 0755);
  }
  EXPECT_EQ(audience(), Audience::everyone);
}

// Its owner's alone, and that is not the store's owner, whom the list may well shut out.
TEST_F(AudienceOfStore, IsNobodyWhenAnothersFileHasAnAccessList) {
  give_to(blob_, kOther, kOtherGroup);
  add_access_list(blob_);
  EXPECT_EQ(audience(), Audience::nobody);
}

}  // namespace
}  // namespace test
}  // namespace ollamafs
