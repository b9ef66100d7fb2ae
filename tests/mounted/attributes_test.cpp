// What the files of a mount say about themselves: docs/view.md §2 from the modes on.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/statvfs.h>

#include <algorithm>
#include <map>
#include <optional>
#include <set>
#include <sstream>

#include "tests/mounted/mount.h"
#include "tests/mounted/walk.h"
#include "tests/support/sample_store.h"

namespace ollamafs::test {
namespace {

namespace fs = std::filesystem;
using ::testing::AllOf;
using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::StartsWith;
using ::testing::UnorderedElementsAre;

std::string everything(const struct stat& st) {
  std::ostringstream all;
  all << st.st_ino << ' ' << st.st_mode << ' ' << st.st_nlink << ' ' << st.st_uid << ' '
      << st.st_gid << ' ' << st.st_size << ' ' << st.st_blocks << ' ' << st.st_mtim.tv_sec;
  return all.str();
}

// 2023-07-01T00:00:00Z, and two seconds for each step of the first 24 bits (docs/view.md §2).
time_t time_of(const Digest& digest) {
  return 1688169600 + 2 * static_cast<time_t>(std::stoul(digest.hex().substr(0, 6), nullptr, 16));
}

class Attributes : public ::testing::Test, public TwoRelatives {};

TEST_F(Attributes, ModesAreThoseOfAnOrdinaryFolder) {
  write_sample_models(store);
  must({"chmod", "-R", "u=rwX,go=", store.root().string()});  // the store's own modes do not show
  const Mount mount{store.root()};
  for (const auto& [path, st] : walk(mount.path())) {
    EXPECT_EQ(st.st_mode & 07777, S_ISDIR(st.st_mode) ? 0755u : 0644u) << path;
  }
}

TEST_F(Attributes, TheMountIsReadOnlyAndNamesItsStore) {
  const StoreBuilder odd{dir / "my, models"};
  odd.v1("first:latest", odd.text_model(1));
  for (const auto& user : {std::optional<User>{}, std::optional{User::named("nobody")}}) {
    const Mount mount{odd.root(), {.run = {.as = user}}};
    const RunOptions as{.as = user};
    const auto column = [&](const char* name) {
      return must({"findmnt", "-n", "-o", name, mount.path().string()}, as);
    };
    EXPECT_EQ(column("FSTYPE"), "fuse.ollamafs\n");
    EXPECT_EQ(column("SOURCE"), odd.root().string() + "\n");
    EXPECT_THAT(column("VFS-OPTIONS"), StartsWith("ro,nosuid,nodev,noexec"));
    const Result touch = run({"touch", (mount / "models/new").string()}, as);
    EXPECT_THAT(touch.err, HasSubstr("Read-only file system"));
  }
}

// With 0555 for directories, rsync and tar would make the target's own folders read-only.
TEST_F(Attributes, FoldersThatAreCopiedCanBeWrittenByTheirOwner) {
  write_two_relatives();
  const User nobody = User::named("nobody");
  const Mount mount{store.root(), {.run = {.as = nobody}}};
  const std::string model = (mount / "models/first+latest").string();
  for (const std::string command :
       {"rsync -a \"$1\"/ \"$2\"/", "tar -C \"$1\" -c . | tar -C \"$2\" -x"}) {
    const fs::path target = dir / command.substr(0, 3);
    fs::create_directory(target);
    set_owner(target, nobody.uid, nobody.gid);
    must({"sh", "-c", command, "sh", model, target.string()}, {.as = nobody});
    EXPECT_NO_THROW(must({"touch", (target / "new").string(), (target / "blobs/new").string(),
                          (target / "manifests/registry.ollama.ai/library/first/new").string()},
                         {.as = nobody}));
  }
}

TEST_F(Attributes, TheOwnerIsThatOfTheStoresFile) {
  write_two_relatives();
  store.v2("linked:latest", second);
  const Digest weights = digest_of(first.layers[0]);
  set_owner(store.root(), 1001, 2001);
  set_owner(store.blob_path(weights), 1002, 2002);
  set_owner(store.v1_path(*ModelName::parse("first")), 1003, 2003);
  set_owner(store.blob_path(Digest::of(second.json())), 1004, 2004);
  set_owner(store.v2_path(*ModelName::parse("linked")), 1005, 2005);  // the symlink itself
  const Mount mount{store.root()};
  const auto expect_owner = [&](const fs::path& path, uid_t uid, gid_t gid) {
    const struct stat st = stat_of(mount / path);
    EXPECT_EQ(st.st_uid, uid) << path;
    EXPECT_EQ(st.st_gid, gid) << path;
  };
  for (const char* path : {"", "README.txt", "models", "archives"}) expect_owner(path, 1001, 2001);
  expect_owner("models/second+latest/blobs/" + weights.blob_name(), 1002, 2002);
  for (const char* path :
       {"archives/first+latest.tar", "models/first+latest", "models/first+latest/blobs",
        "models/first+latest/manifests",
        "models/first+latest/manifests/registry.ollama.ai/library/first/latest"}) {
    expect_owner(path, 1003, 2003);
  }
  expect_owner("models/linked+latest/manifests/registry.ollama.ai/library/linked/latest", 1004,
               2004);
  expect_owner("models/second+latest", 0, 0);
}

TEST_F(Attributes, OptionsGiveEverythingAnotherOwner) {
  write_sample_models(store);
  const Mount mount{store.root(), {.arguments = {"-o", "uid=1234,gid=5678"}}};
  for (const auto& [path, st] : walk(mount.path())) {
    EXPECT_EQ(st.st_uid, 1234u) << path;
    EXPECT_EQ(st.st_gid, 5678u) << path;
  }
}

// ---- sizes ----

TEST_F(Attributes, SizesAreThoseOfTheBytesThatAreRead) {
  write_sample_models(store);
  ManifestSpec odd = store.text_model(30, 508);  // "GGUF" and 508 bytes: one block, not two
  odd.layers.push_back(store.layer(kLicenseType, ""));
  store.v1("odd:latest", odd);
  const Mount mount{store.root()};
  for (const auto& [path, st] : walk(mount.path())) {
    if (!S_ISREG(st.st_mode)) continue;
    EXPECT_EQ(st.st_size, static_cast<off_t>(read_file(mount / path).size())) << path;
    EXPECT_EQ(st.st_blocks, (st.st_size + 511) / 512) << path;
  }
}

// A file of no blocks is nothing but holes to `tar -S`.
TEST_F(Attributes, TarForSparseFilesKeepsTheData) {
  write_two_relatives();
  const Mount mount{store.root()};
  const std::string blob = digest_of(first.layers[0]).blob_name();
  for (const std::string how : {"seek", "raw"}) {
    EXPECT_EQ(
        must({"sh", "-c", "tar -cS --hole-detection=\"$1\" \"$2\" | tar -xO", "sh", how, blob},
             {.directory = mount / "models/first+latest/blobs"}),
        read_file(store.blob_path(digest_of(first.layers[0]))))
        << how;
  }
}

// ---- times ----

TEST_F(Attributes, AllThreeTimesAreOneEvenSecond) {
  write_sample_models(store);
  const Mount mount{store.root()};
  for (const auto& [path, st] : walk(mount.path())) {
    for (const timespec& time : {st.st_mtim, st.st_ctim, st.st_atim})
      EXPECT_EQ(time.tv_sec, st.st_mtim.tv_sec) << path;
    EXPECT_EQ(st.st_mtim.tv_sec % 2, 0) << path;
    EXPECT_EQ(st.st_mtim.tv_nsec, 0) << path;
    EXPECT_EQ(st.st_atim.tv_nsec, 0) << path;
    if (!S_ISDIR(st.st_mode)) {
      EXPECT_EQ(st.st_ctim.tv_nsec, 0) << path;
    }
  }
}

// By which NFS finds out that its listing is outdated.
TEST_F(Attributes, TheChangeTimeOfAFolderIsAFunctionOfItsEntries) {
  write_two_relatives();
  const Mount mount{store.root()};
  const auto change_time = [&] {
    const struct stat st = stat_of(mount / "models");
    return std::pair{st.st_ctim.tv_sec, st.st_ctim.tv_nsec};
  };
  const auto before = change_time();
  store.v1("between:a", first);  // with the date of what is there
  EXPECT_TRUE(eventually([&] { return change_time() != before; }));
  EXPECT_TRUE(fs::exists(mount / "models/between+a"));
  fs::remove(store.v1_path(*ModelName::parse("between:a")));
  EXPECT_TRUE(eventually([&] { return change_time() == before; }));
}

TEST_F(Attributes, TheTimeOfABlobIsAFunctionOfItsDigest) {
  write_two_relatives();
  const Mount mount{store.root()};
  const auto blobs = listing(mount / "models/second+latest/blobs");
  EXPECT_EQ(blobs.size(), 7u);  // weights, template, params, system, config, "." and ".."
  for (const std::string& name : blobs) {
    if (name.starts_with(".")) continue;
    EXPECT_EQ(stat_of(mount / "models/second+latest/blobs" / name).st_mtime,
              time_of(*Digest::parse(name)));
  }
}

TEST_F(Attributes, TheTimeOfAModelIsThatOfItsManifestsFile) {
  write_two_relatives();
  set_mtime(store.v1_path(*ModelName::parse("first")), 1'700'000'003);
  const Mount mount{store.root()};
  const time_t expected = 1'700'000'002;
  for (const char* path :
       {"archives/first+latest.tar", "models/first+latest", "models/first+latest/blobs",
        "models/first+latest/manifests", "models/first+latest/manifests/registry.ollama.ai",
        "models/first+latest/manifests/registry.ollama.ai/library/first"}) {
    EXPECT_EQ(stat_of(mount / path).st_mtime, expected) << path;
  }
}

// The date that `ollama list` shows; of a tag that is a symlink it is the symlink's own.
TEST_F(Attributes, TheManifestShowsItsOwnTimeRoundedToAnEvenSecond) {
  write_two_relatives();
  store.v2("linked:latest", second);
  set_mtime(store.v1_path(*ModelName::parse("first")), 1'700'000'001, 900'000'000);
  set_mtime(store.v2_path(*ModelName::parse("linked")), 1'700'000'102);
  const Mount mount{store.root()};
  const auto shown = [&](const std::string& model) {
    return stat_of(mount / "models" / (model + "+latest") / "manifests/registry.ollama.ai/library" /
                   model / "latest")
        .st_mtime;
  };
  EXPECT_EQ(shown("first"), 1'700'000'000);
  EXPECT_EQ(shown("linked"), 1'700'000'102);
}

TEST_F(Attributes, AFolderOfModelsIsAsNewAsTheNewestInIt) {
  write_sample_models(store);
  time_t time = 1'700'000'000;
  for (const char* const tree : {"manifests", "manifests-v2"}) {
    for (const auto& entry : fs::recursive_directory_iterator{store.root() / tree})
      set_mtime(entry.path(), time += 10);
  }
  const Mount mount{store.root()};
  const Nodes nodes = walk_awake(mount.path());
  std::map<std::string, time_t> newest;
  for (const auto& [path, st] : nodes) {
    const std::string parent = fs::path{path}.parent_path().string();
    if (!path.empty()) newest[parent] = std::max(newest[parent], st.st_mtime);
  }
  std::set<time_t> times;
  for (const auto& [path, expected] : newest) {
    if (path.find('+') != std::string::npos) continue;  // in a model
    // A view that may sleep has the date that it would have if it held models.
    const bool is_view = path == "contents" || fs::path{path}.parent_path() == "layouts";
    EXPECT_EQ(nodes.at(path).st_mtime, is_view ? nodes.at("models").st_mtime : expected) << path;
    times.insert(expected);
  }
  EXPECT_GT(times.size(), 3u);
}

// Ollama touches the blobs that it uses again: no reason to copy them again.
TEST_F(Attributes, TouchingABlobChangesNothing) {
  write_sample_models(store);
  const auto before = each(walk_models(Mount{store.root()}.path()), everything);
  for (const auto& blob : fs::directory_iterator{store.root() / "blobs"}) {
    set_mtime(blob.path(), 1'900'000'000);
  }
  EXPECT_EQ(each(walk_models(Mount{store.root()}.path()), everything), before);
}

// rsync's quick check sees size and time: the weights of two fine-tunes must not look alike.
TEST_F(Attributes, BlobsOfOneSizeDifferInTime) {
  const ManifestSpec first_tune = store.text_model(1), second_tune = store.text_model(2);
  store.v1("tune:one", first_tune);
  store.v1("tune:two", second_tune);
  const Mount mount{store.root()};
  const auto weights = [](const ManifestSpec& model) {
    return digest_of(model.layers[0]).blob_name();
  };
  const struct stat one = stat_of(mount / "models/tune+one/blobs" / weights(first_tune));
  const struct stat two = stat_of(mount / "models/tune+two/blobs" / weights(second_tune));
  EXPECT_EQ(one.st_size, two.st_size);
  EXPECT_NE(one.st_mtime, two.st_mtime);
}

// ---- the file system, extended attributes ----

class SmallDisk {
 public:
  explicit SmallDisk(fs::path place) : place_{std::move(place)} {
    fs::create_directory(place_);
    must({"mount", "-t", "tmpfs", "-o", "size=48m,mode=755", "tmpfs", place_.string()});
  }
  ~SmallDisk() { ::umount2(place_.c_str(), MNT_DETACH); }
  SmallDisk(const SmallDisk&) = delete;
  SmallDisk& operator=(const SmallDisk&) = delete;

 private:
  fs::path place_;
};

TEST_F(Attributes, TheMountIsAsLargeAsTheStoresDiskAndFull) {
  const SmallDisk disk{dir / "disk"};
  const StoreBuilder stored{dir / "disk/store"};
  stored.v1("first:latest", stored.text_model(1));
  const Mount mount{stored.root()};
  struct statvfs st {};
  ASSERT_EQ(::statvfs(mount.path().c_str(), &st), 0);
  EXPECT_EQ(st.f_blocks * st.f_frsize, 48u << 20);
  EXPECT_THAT((std::vector{st.f_bfree, st.f_bavail, st.f_ffree, st.f_favail}),
              ElementsAre(0, 0, 0, 0));
}

std::vector<std::string> xattrs(const fs::path& path) {
  std::istringstream out{must({"getfattr", "-d", "--absolute-names", path.string()})};
  std::vector<std::string> lines;
  for (std::string line; std::getline(out, line);) {
    if (!line.empty() && !line.starts_with("#")) lines.push_back(line);
  }
  return lines;
}

TEST_F(Attributes, ExtendedAttributesTellTheDigestsWithoutReadingTheData) {
  write_two_relatives();
  const Digest digest = Digest::of(first.json());
  const Mount mount{store.root()};
  for (const char* path :
       {"models/first+latest", "archives/first+latest.tar",
        "models/first+latest/manifests/registry.ollama.ai/library/first/latest"}) {
    EXPECT_THAT(
        xattrs(mount / path),
        UnorderedElementsAre("user.ollamafs.digest=\"" + digest.to_string() + "\"",
                             "user.ollamafs.id=\"" + digest.hex().substr(0, 12) + "\"",
                             "user.ollamafs.name=\"first:latest\"", "user.ollamafs.state=\"whole\"",
                             std::string{"user.ollamafs.media_type=\""} + kManifestType + "\""))
        << path;
  }
  const Digest weights = digest_of(first.layers[0]);
  EXPECT_THAT(xattrs(mount / "models/first+latest/blobs" / weights.blob_name()),
              ElementsAre("user.ollamafs.digest=\"" + weights.to_string() + "\""));
  EXPECT_THAT(xattrs(mount / "models/first+latest/blobs"), IsEmpty());
}

TEST_F(Attributes, AnExtendedAttributeSaysThatAModelIsBroken) {
  write_two_relatives();
  const Digest gone = digest_of(second.layers.back());
  fs::remove(store.blob_path(gone));
  const Mount mount{store.root()};
  for (const char* path : {"models/second+latest", "archives/second+latest.tar"}) {
    EXPECT_THAT(xattrs(mount / path), Contains(AllOf(StartsWith("user.ollamafs.state=\"broken: "),
                                                     HasSubstr(gone.blob_name()))));
  }
  EXPECT_THAT(xattrs(mount / "models/first+latest"), Contains("user.ollamafs.state=\"whole\""));
}

}  // namespace
}  // namespace ollamafs::test
