// Inode numbers, the order of listings, links: the first four rows of docs/view.md §2.
#include <dirent.h>
#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <map>

#include "store/base/dir_stream.h"
#include "store/base/unique_fd.h"
#include "tests/mounted/mount.h"
#include "tests/mounted/walk.h"
#include "tests/support/sample_store.h"

namespace ollamafs::test {
namespace {

namespace fs = std::filesystem;
using ::testing::Contains;
using ::testing::EndsWith;

ino_t number(const struct stat& st) {
  return st.st_ino;
}

class Inodes : public ::testing::Test, public TwoRelatives {
 protected:
  // The same models in files of other dates and another owner.
  fs::path copy_of_store() {
    const fs::path copy = dir / "copy";
    must({"cp", "-a", store.root().string(), copy.string()});
    must({"chown", "-hR", "1234:5678", copy.string()});
    must({"find", copy.string(), "-exec", "touch", "-h", "-d", "2020-02-02", "{}", "+"});
    return copy;
  }
};

TEST_F(Inodes, EveryInodeIsTheSameAfterARemount) {
  write_sample_models(store);
  const MountDir place;
  const auto numbers = [&] {
    must({binary(), "mount", "--store", store.root().string(), place.path().string()});
    const auto found = each(walk(place.path()), number);
    must({binary(), "umount", place.path().string()});
    return found;
  };
  const auto before = numbers();
  EXPECT_THAT(before, Contains(::testing::Key("README.txt")));
  EXPECT_EQ(numbers(), before);
}

TEST_F(Inodes, InodesAreTheSameOnAMountOfACopyOfTheStore) {
  write_sample_models(store);
  const Mount mount{store.root()};
  const Mount other{copy_of_store()};
  EXPECT_EQ(each(walk_models(other.path()), number), each(walk_models(mount.path()), number));
}

// A running count would be the same after a remount as well, until the store holds another model.
TEST_F(Inodes, InodesDoNotDependOnTheOtherModels) {
  write_two_relatives();
  const auto before = each(walk_models(Mount{store.root()}.path()), number);
  store.v1("a-newcomer:latest", store.text_model(2));
  const auto after = each(walk_models(Mount{store.root()}.path()), number);
  EXPECT_GT(after.size(), before.size());
  for (const auto& [path, ino] : before) EXPECT_EQ(after.at(path), ino) << path;
}

TEST_F(Inodes, NewContentOfAModelHasNewInodes) {
  write_two_relatives();
  const Nodes before = walk_models(Mount{store.root()}.path());
  store.v1("first:latest", second);  // as a pull does: another manifest under the same name
  const Nodes after = walk_models(Mount{store.root()}.path());
  const std::string model = "first+latest", weights = digest_of(first.layers[0]).blob_name();
  for (const std::string& path : {model, model + "/blobs", model + "/manifests",
                                  model + "/manifests/registry.ollama.ai/library/first/latest",
                                  "archives/" + model + ".tar"}) {
    EXPECT_NE(after.at(path).st_ino, before.at(path).st_ino) << path;
  }
  EXPECT_EQ(after.at(model + "/blobs/" + weights).st_ino,
            before.at(model + "/blobs/" + weights).st_ino);
}

// As NFS has it: the handle is made of the number and the generation.
TEST_F(Inodes, AFileHandleSurvivesARemount) {
  write_two_relatives();
  const fs::path manifest = "models/first+latest/manifests/registry.ollama.ai/library/first/latest";
  alignas(file_handle) char room[sizeof(file_handle) + MAX_HANDLE_SZ] = {};
  auto* handle = reinterpret_cast<file_handle*>(room);
  handle->handle_bytes = MAX_HANDLE_SZ;
  {
    const Mount mount{store.root()};
    int mount_id = 0;
    ASSERT_EQ(::name_to_handle_at(AT_FDCWD, (mount / manifest).c_str(), handle, &mount_id, 0), 0);
  }
  const Mount again{store.root()};
  const UniqueFd root{::open(again.path().c_str(), O_RDONLY | O_DIRECTORY)};
  const UniqueFd file{::open_by_handle_at(root.get(), handle, O_RDONLY)};
  ASSERT_TRUE(file) << std::strerror(errno);
  EXPECT_EQ(read_file("/proc/self/fd/" + std::to_string(file.get())), first.json());
}

// `cp -r` copies in the order of inodes.
TEST_F(Inodes, BlobsComeBeforeManifestsInTheOrderOfInodes) {
  write_sample_models(store);
  write_many_models(store, 40);
  const Mount mount{store.root()};
  const auto models = models_in(mount.path());
  EXPECT_GT(models.size(), 40u);
  for (const std::string& model : models) {
    EXPECT_LT(stat_of(mount / "models" / model / "blobs").st_ino,
              stat_of(mount / "models" / model / "manifests").st_ino)
        << model;
  }
}

// Before `cp -r` asks for more than names, it goes by the numbers in the listing.
TEST_F(Inodes, ListingsTellTheInodesThatStatTells) {
  write_sample_models(store);
  const Mount mount{store.root()};
  const Nodes nodes = walk(mount.path());
  std::size_t entries = 0;
  for (const auto& [path, st] : nodes) {
    if (!S_ISDIR(st.st_mode)) continue;
    const DirStream stream{::opendir((mount / path).c_str())};
    while (const dirent* entry = ::readdir(stream.get())) {
      const std::string name = entry->d_name;
      if (name == "." || name == "..") continue;
      EXPECT_EQ(entry->d_ino, nodes.at((fs::path{path} / name).string()).st_ino) << path << name;
      ++entries;
    }
  }
  EXPECT_EQ(entries, nodes.size() - 1);
}

// `tar` copies in the order of the listing.
TEST_F(Inodes, EveryDirectoryIsListedByName) {
  write_sample_models(store);
  const Mount mount{store.root()};
  std::size_t longest = 0;
  for (const auto& [path, st] : walk(mount.path())) {
    if (!S_ISDIR(st.st_mode)) continue;
    const auto names = listing(mount / path);
    EXPECT_TRUE(std::is_sorted(names.begin(), names.end())) << path;
    longest = std::max(longest, names.size());
  }
  EXPECT_GT(longest, 40u);
  EXPECT_EQ(must({"ls", "-U", (mount / "models/gemma3+4b").string()}), "blobs\nmanifests\n");
}

// ---- links ----

TEST_F(Inodes, ABlobHasAsManyLinksAsItHasNames) {
  write_sample_models(store);
  const Mount mount{store.root()};
  const Nodes nodes = walk_awake(mount.path());
  std::map<ino_t, nlink_t> names;
  for (const auto& [path, st] : nodes) ++names[st.st_ino];
  nlink_t most = 0;
  for (const auto& [path, st] : nodes) {
    if (!S_ISREG(st.st_mode)) continue;
    EXPECT_EQ(st.st_nlink, names[st.st_ino]) << path;
    most = std::max(most, st.st_nlink);
  }
  EXPECT_GE(most, 5u) << "the sample's models share no blobs";
}

// `find` takes a directory of two links for one without directories in it.
TEST_F(Inodes, ADirectoryHasTwoLinksAndOneForEachDirectoryInIt) {
  write_sample_models(store);
  const Mount mount{store.root()};
  const Nodes nodes = walk_awake(mount.path());
  for (const auto& [path, st] : nodes) {
    if (!S_ISDIR(st.st_mode)) continue;
    const auto below = std::ranges::count_if(nodes, [&](const auto& node) {
      return S_ISDIR(node.second.st_mode) && !node.first.empty() &&
             fs::path{node.first}.parent_path() == path;
    });
    EXPECT_EQ(st.st_nlink, static_cast<nlink_t>(2 + below)) << path;
  }
}

class SharedWeights : public Inodes, public ::testing::WithParamInterface<const char*> {};

TEST_P(SharedWeights, AreOneFileInTheCopy) {
  write_two_relatives();
  const Mount mount{store.root()};
  const fs::path target = dir / "target";
  fs::create_directory(target);
  must({"sh", "-c", GetParam(), "sh", target.string()}, {.directory = mount / "models"});
  const std::string weights = "blobs/" + digest_of(first.layers[0]).blob_name();
  EXPECT_EQ(stat_of(target / "first+latest" / weights).st_ino,
            stat_of(target / "second+latest" / weights).st_ino);
  EXPECT_EQ(read_file(target / "second+latest" / weights),
            read_file(store.blob_path(digest_of(first.layers[0]))));
}

INSTANTIATE_TEST_SUITE_P(By, SharedWeights,
                         ::testing::Values("rsync -aH first+latest second+latest \"$1\"",
                                           "cp -a first+latest second+latest \"$1\"",
                                           "tar -c . | tar -x -C \"$1\""),
                         [](const auto& test) {
                           const std::string command = test.param;
                           return command.substr(0, command.find(' '));
                         });

TEST_F(Inodes, DuCountsSharedWeightsOnce) {
  write_two_relatives();
  const Mount mount{store.root()};
  const std::string weights = "/blobs/" + digest_of(first.layers[0]).blob_name();
  EXPECT_THAT(must({"du", "-cb", "first+latest" + weights, "second+latest" + weights},
                   {.directory = mount / "models"}),
              EndsWith("\n" + std::to_string(first.layers[0].size) + "\ttotal\n"));
}

}  // namespace
}  // namespace ollamafs::test
