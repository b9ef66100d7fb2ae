// What happens to the kernel's view of things when the store has changed and a new snapshot is
// shown.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <cerrno>
#include <chrono>
#include <filesystem>
#include <functional>
#include <future>
#include <memory>
#include <optional>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include "tests/protocol/fake_kernel.h"
#include "tests/protocol/opened.h"
#include "tests/protocol/served_store.h"

namespace ollamafs::test {
namespace {

using ::testing::AnyOf;
using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::Not;

namespace fs = std::filesystem;

// A model that stays and one that goes, with weights of its own.
class SnapshotTest : public ::testing::Test {
 protected:
  explicit SnapshotTest(unsigned threads = 1, std::chrono::milliseconds hold = {})
      : store{[this](const StoreBuilder& builder) {
                staying = builder.text_model(1, 300'000);
                going = builder.text_model(2, 2'000'000);
                builder.v1("stays:a", staying);
                builder.v1("goes:b", going);
              },
              hold},
        kernel{store.fs(), {.threads = threads}} {}

  // Ollama removes the model, its weights with it.
  void remove_model() {
    fs::remove(store.builder().v1_path(*ModelName::parse("goes:b")));
    fs::remove(store.blob(going.layers[0]));
    store.rescan();
  }

  std::string weights_path() const { return "models/goes+b/blobs/" + blob_name(going.layers[0]); }

  ManifestSpec staying, going;
  ServedStore store;
  FakeKernel kernel;
};

TEST_F(SnapshotTest, AFileThatIsOpenIsReadToItsEndAlthoughItsModelWentAway) {
  const std::string content = read_file(store.blob(going.layers[0]));
  OpenedFile file{kernel, weights_path()};
  std::string read = file.read(0, 100'000).value;
  remove_model();
  while (read.size() < content.size() + 1) {
    const auto more = file.read(read.size(), 100'000);
    ASSERT_EQ(more.error, 0);
    if (more.value.empty()) break;
    read += more.value;
  }
  EXPECT_TRUE(read == content);
}

TEST_F(SnapshotTest, AnArchiveThatIsOpenIsReadToItsEndAlthoughItsModelWentAway) {
  const std::string content = kernel.content(kernel.walk("archives/goes+b.tar"));
  OpenedFile file{kernel, "archives/goes+b.tar"};
  remove_model();
  EXPECT_TRUE(file.read(0, 1 << 20).value == content.substr(0, 1 << 20));
  EXPECT_TRUE(file.read(content.size() - 500'000, 1 << 20).value ==
              content.substr(content.size() - 500'000));
}

TEST_F(SnapshotTest, AManifestThatIsOpenIsReadToItsEndAlthoughItsModelWentAway) {
  OpenedFile file{kernel, "models/goes+b/manifests/registry.ollama.ai/library/goes/b"};
  remove_model();
  EXPECT_EQ(file.read(0, 4096).value, going.json());
}

TEST_F(SnapshotTest, TheNumberOfAnOpenFileAnswersUntilItsLastRelease) {
  OpenedFile first{kernel, weights_path()};
  OpenedFile second{kernel, first.node()};
  const fuse_attr before = kernel.getattr(first.node()).value.attr;
  remove_model();
  EXPECT_EQ(bytes_of(kernel.getattr(first.node()).value.attr), bytes_of(before));
  first.close();
  EXPECT_EQ(bytes_of(kernel.getattr(first.node()).value.attr), bytes_of(before));
  second.close();
  EXPECT_EQ(kernel.getattr(first.node()).error, ESTALE);  // one thread: the release is over
  EXPECT_EQ(store.fs().usage().blobs, 0U);
}

// As with a path like /proc/self/fd/3: the kernel opens the number that it has.
TEST_F(SnapshotTest, AnOpenFileCanBeOpenedAgainByItsNumber) {
  OpenedFile first{kernel, weights_path()};
  remove_model();
  OpenedFile second{kernel, first.node()};
  first.close();
  EXPECT_EQ(second.read(1000, 100).value, ("GGUF" + random_bytes(2, 2'000'000)).substr(1000, 100));
}

TEST_F(SnapshotTest, WhatWentAwayUnopenedIsStaleByNumberAndMissingByName) {
  const std::uint64_t directory = kernel.walk("models/goes+b");
  const std::uint64_t weights = kernel.walk(weights_path());
  remove_model();
  EXPECT_EQ(kernel.getattr(directory).error, ESTALE);
  EXPECT_EQ(kernel.readdirplus(directory).error, ESTALE);
  EXPECT_EQ(kernel.lookup(directory, "blobs").error, ESTALE);
  EXPECT_EQ(kernel.open(weights).error, ESTALE);
  EXPECT_EQ(kernel.lookup(kernel.walk("models"), "goes+b").error, ENOENT);
  EXPECT_EQ(kernel.lookup(kernel.walk("archives"), "goes+b.tar").error, ENOENT);
}

TEST_F(SnapshotTest, WhatStaysKeepsItsNumber) {
  const std::vector<std::string> paths{"models", "models/stays+a", "archives/stays+a.tar",
                                       "models/stays+a/blobs/" + blob_name(staying.layers[0])};
  std::vector<std::uint64_t> before;
  for (const std::string& path : paths) before.push_back(kernel.walk(path));
  remove_model();
  for (std::size_t i = 0; i < paths.size(); ++i) EXPECT_EQ(kernel.walk(paths[i]), before[i]);
}

TEST_F(SnapshotTest, ASharedBlobShowsHowOftenItIsVisibleNow) {
  const LayerSpec& shared = staying.layers[1];  // both have the same template
  const std::uint64_t node = kernel.walk("models/stays+a/blobs/" + blob_name(shared));
  EXPECT_EQ(kernel.getattr(node).value.attr.nlink,
            7U);  // two models in three views, and layouts/ollama
  OpenedFile file{kernel, node};
  remove_model();
  EXPECT_EQ(kernel.getattr(node).value.attr.nlink, 4U);
}

TEST_F(SnapshotTest, ANewVersionOfAModelHasNewNumbersAndTheOldOneIsReadToItsEnd) {
  const std::string path = "models/goes+b/manifests/registry.ollama.ai/library/goes/b";
  const std::uint64_t directory = kernel.walk("models/goes+b");
  OpenedFile old{kernel, path};
  ManifestSpec renewed = going;
  renewed.layers.push_back(store.builder().layer(kSystemType, "You are new."));
  store.builder().v1("goes:b", renewed);
  store.rescan();
  EXPECT_NE(kernel.walk("models/goes+b"), directory);
  EXPECT_NE(kernel.walk(path), old.node());
  EXPECT_EQ(kernel.open(kernel.walk(path)).error, EIO) << "to who knows the old one's blobs";
  (void)kernel.list(kernel.walk("models/goes+b/blobs"));
  EXPECT_EQ(kernel.content(kernel.walk(path)), renewed.json());
  EXPECT_EQ(old.read(0, 4096).value, going.json());
}

// A tool that was there before a change goes by what it had listed, by paths or by the numbers of
// directories, whatever it asks for meanwhile.
TEST_F(SnapshotTest, WhoWasThereGetsTheNewManifestOnlyAfterListingTheModelsBlobs) {
  const std::string path = "models/goes+b/manifests/registry.ollama.ai/library/goes/b";
  const std::uint64_t own = kernel.walk("models/goes+b");
  const std::uint64_t blobs = kernel.walk("models/goes+b/blobs");
  const std::string staying_path = "models/stays+a/manifests/registry.ollama.ai/library/stays/a";
  ManifestSpec renewed = going;
  renewed.layers.push_back(store.builder().layer(kSystemType, "You are new."));
  store.builder().v1("goes:b", renewed);
  store.rescan();
  const std::uint64_t manifest = kernel.walk(path);
  const std::function<int()> requests[] = {
      [&] { return kernel.lookup(own, "manifests").error; },
      [&] { return kernel.readdirplus(blobs).error; },
      [&] { return kernel.lookup(blobs, blob_name(going.layers[0])).error; }};
  for (const auto& request : requests) {
    EXPECT_EQ(request(), ESTALE);
    EXPECT_EQ(kernel.open(manifest).error, EIO);
  }
  (void)kernel.list(kernel.walk("models/goes+b"));
  EXPECT_EQ(kernel.open(manifest).error, EIO);
  (void)kernel.list(kernel.walk("models/stays+a/blobs"));
  EXPECT_EQ(kernel.open(manifest).error, EIO);
  EXPECT_EQ(kernel.content(kernel.walk(staying_path)), staying.json());  // which did not change
  (void)kernel.list(kernel.walk("models/goes+b/blobs"));
  EXPECT_EQ(kernel.content(manifest), renewed.json());
}

// ---- directories ----

// A number that is a digest's stays the same when another file takes the blob's place.
TEST_F(SnapshotTest, ABlobThatWasMendedIsNotReadFromTheDamagedFile) {
  const fs::path file = store.blob(going.layers[0]);
  const std::string good = read_file(file);
  std::string bad = good;
  bad[1000] = static_cast<char>(~bad[1000]);
  write_file(file, bad);
  OpenedFile damaged{kernel, weights_path()};
  write_file(file.string() + ".new", good);
  fs::rename(file.string() + ".new", file);
  store.rescan();
  OpenedFile mended{kernel, weights_path()};
  EXPECT_EQ(mended.node(), damaged.node());
  EXPECT_TRUE(mended.read(0, 2000).value == good.substr(0, 2000));
  EXPECT_TRUE(damaged.read(0, 2000).value == bad.substr(0, 2000));
}

// A listing goes on in whatever snapshot is current, with what it still has.
TEST_F(SnapshotTest, AListingGoesOnBehindANameThatWentAway) {
  ListedDirectory directory{kernel, "models"};
  const auto listed = directory.rest(FUSE_READDIRPLUS);
  ASSERT_THAT(names_of(listed), ElementsAre(".", "..", "goes+b", "stays+a"));
  remove_model();
  for (const std::uint32_t opcode : {FUSE_READDIR, FUSE_READDIRPLUS}) {
    EXPECT_THAT(names_of(directory.rest(opcode, listed[2].next)), ElementsAre("stays+a"));
    EXPECT_THAT(names_of(directory.rest(opcode, listed[1].next)), ElementsAre("stays+a"));
  }
}

TEST_F(SnapshotTest, AListingSkipsAndRepeatsNothingBecauseOfNamesThatCome) {
  ListedDirectory directory{kernel, "models"};
  const auto listed = directory.rest(FUSE_READDIRPLUS);
  for (const char* name : {"a:new", "h:new", "i:new", "z:new"}) store.builder().v1(name, going);
  store.rescan();
  EXPECT_THAT(names_of(directory.rest(FUSE_READDIRPLUS, listed[2].next)),
              ElementsAre("h+new", "i+new", "stays+a", "z+new"));
  EXPECT_THAT(names_of(directory.rest(FUSE_READDIRPLUS, listed[3].next)), ElementsAre("z+new"));
}

TEST_F(SnapshotTest, AnOldSnapshotGoesWithTheLastThatIsOpenInIt) {
  auto tree = store.scan();
  const std::weak_ptr<const Tree> old = tree;
  store.fs().publish(std::move(tree));
  OpenedFile file{kernel, weights_path()};
  remove_model();
  EXPECT_FALSE(old.expired());
  file.close();
  kernel.settle();
  EXPECT_TRUE(old.expired());
}

// ---- all at once ----

// Tools that work by path while a model comes and goes.
class Storm : public SnapshotTest {
 protected:
  static constexpr unsigned kThreads = 8;

  struct File {
    std::string path;
    bool stays;
    std::string content;
  };

  Storm() : SnapshotTest{kThreads} {
    for (const std::string path : {"archives/stays+a.tar", "archives/goes+b.tar",
                                   "models/goes+b/manifests/registry.ollama.ai/library/goes/b"}) {
      files.push_back(
          {path, path.find("stays") != std::string::npos, kernel.content(kernel.walk(path))});
    }
    files.push_back({weights_path(), false, read_file(store.blob(going.layers[0]))});
  }

  // The node at a path, or nothing if it went away on the way there.
  std::optional<std::uint64_t> find(const File& file) {
    std::uint64_t node = FUSE_ROOT_ID;
    for (const auto& part : fs::path{file.path}) {
      const auto answer = kernel.lookup(node, part.string());
      if (answer.error != 0) {
        EXPECT_TRUE(answer.error == ENOENT || answer.error == ESTALE) << answer.error;
        EXPECT_FALSE(file.stays) << file.path;
        return std::nullopt;
      }
      node = answer.value.nodeid;
    }
    return node;
  }

  // A manifest is given to who has listed the blobs since the model came.
  void list_blobs_of(const File& file) {
    const auto at = file.path.find("manifests");
    if (at == std::string::npos) return;
    if (const auto blobs = find({file.path.substr(0, at) + "blobs", file.stays, ""}))
      (void)kernel.readdirplus(*blobs);
  }

  // Opens a file and reads some of it. False if it is not there.
  bool read_some(const File& file, std::mt19937& random) {
    list_blobs_of(file);
    const auto node = find(file);
    if (!node) return false;
    const auto opened = kernel.open(*node);
    if (opened.error != 0) {
      const bool is_manifest = file.path.find("manifests") != std::string::npos;
      EXPECT_TRUE(opened.error == ESTALE || (is_manifest && opened.error == EIO)) << opened.error;
      EXPECT_FALSE(file.stays) << file.path;
      return false;
    }
    for (int i = 0; i < 4; ++i) {
      const std::size_t offset = random() % file.content.size();
      const auto answer = kernel.read(*node, opened.value.fh, offset, 200'000);
      EXPECT_TRUE(answer.value == file.content.substr(offset, 200'000)) << file.path;
      EXPECT_EQ(kernel.getattr(*node).value.attr.size, file.content.size());
    }
    EXPECT_EQ(kernel.release(*node, opened.value.fh), 0);
    return true;
  }

  void list_models() {
    ListedDirectory directory{kernel, "models"};
    const auto names = names_of(directory.rest(FUSE_READDIRPLUS, 0, 200));
    EXPECT_THAT(names, AnyOf(ElementsAre(".", "..", "goes+b", "stays+a"),
                             ElementsAre(".", "..", "stays+a")));
  }

  // Until it has met the model that goes both there and gone, which takes a few rounds.
  void use(unsigned seed) {
    std::mt19937 random{seed};
    for (int round = 0; round < 20 || (round < 10'000 && (found == 0 || gone == 0)); ++round) {
      const File& file = files[random() % files.size()];
      const bool there = read_some(file, random);
      if (!file.stays) ++(there ? found : gone);
      list_models();
    }
  }

  std::vector<File> files;
  std::atomic<unsigned> found{0}, gone{0};
};

TEST_F(Storm, EveryToolGetsWhatItOpenedWhileAModelComesAndGoes) {
  auto with = store.scan();
  fs::remove(store.builder().v1_path(*ModelName::parse("goes:b")));
  auto without = store.scan(with.get());
  const std::weak_ptr<const Tree> shown[] = {with, without};

  std::vector<std::future<void>> tools;
  for (unsigned seed = 0; seed < kThreads; ++seed) {
    tools.push_back(std::async(std::launch::async, [this, seed] { use(seed); }));
  }
  std::atomic<bool> over = false;
  std::thread ollama{[&] {
    while (!over) {
      store.fs().publish(without);
      std::this_thread::yield();
      store.fs().publish(with);
      std::this_thread::yield();
    }
  }};
  for (auto& tool : tools) tool.wait();
  over = true;
  ollama.join();
  for (auto& tool : tools) tool.get();
  EXPECT_GT(found, 0U);
  EXPECT_GT(gone, 0U);

  // Nothing is left of all that.
  kernel.disconnect();
  kernel.wait_for_end();
  with.reset();
  without.reset();
  store.rescan();
  EXPECT_EQ(store.fs().usage().blobs, 0U);
  for (const auto& tree : shown) EXPECT_TRUE(tree.expired());
}

}  // namespace
}  // namespace ollamafs::test
