#include "fs/serve/bad_blobs.h"

#include <gmock/gmock.h>
#include <string.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <filesystem>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "fs/serve/file_system.h"
#include "fs/views/views.h"
#include "tests/support/few_descriptors.h"
#include "tests/support/read_back.h"
#include "tests/support/store_builder.h"
#include "tests/support/temp_dir.h"
#include "tests/unit/fs/serve/listed.h"

namespace ollamafs::test {
namespace {

namespace fs = std::filesystem;
using namespace std::chrono_literals;
using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;
using ::testing::StartsWith;

std::string name_of(const std::error_code& ec) {
  return ec ? ::strerrorname_np(ec.value()) : "ok";
}

Digest digest_of(const LayerSpec& layer) {
  return Digest::parse(layer.digest).value();
}

// ---- the list of bad blobs ----

Model model_of(const ManifestSpec& manifest) {
  const std::string json = manifest.json();
  return {.name = ModelName::parse("a:b").value(),
          .manifest = StoredManifest::from(json, std::get<Manifest>(parse_manifest(json)))};
}

Model model_with(const std::vector<const char*>& blobs) {
  ManifestSpec manifest;
  for (const char* blob : blobs) {
    manifest.layers.push_back({kModelType, Digest::of(blob).to_string(), 10});
  }
  return model_of(manifest);
}

TEST(BadBlobs, BreakEveryModelThatNamesThem) {
  BadBlobs bad;
  const Model one = model_with({"a", "shared"}), two = model_with({"shared"}),
              other = model_with({"b"});
  EXPECT_FALSE(bad.fault_of(one));
  EXPECT_TRUE(bad.add(Digest::of("shared"), FileIdentity{}, "disk on fire"));
  for (const Model& model : {one, two}) {
    EXPECT_THAT(bad.fault_of(model).value(),
                AllOf(HasSubstr(Digest::of("shared").blob_name()), HasSubstr("disk on fire")));
  }
  EXPECT_FALSE(bad.fault_of(other));
}

TEST(BadBlobs, AreNewsOnlyOnce) {
  BadBlobs bad;
  EXPECT_TRUE(bad.add(Digest::of("a"), FileIdentity{}, "first"));
  EXPECT_FALSE(bad.add(Digest::of("a"), FileIdentity{}, "second"));
  EXPECT_TRUE(bad.add(Digest::of("b"), FileIdentity{}, "first"));
  EXPECT_THAT(bad.fault_of(model_with({"a"})).value(), HasSubstr("first"));
}

TEST(BadBlobs, AreNewsOnlyOnceToManyThreads) {
  BadBlobs bad;
  std::atomic<int> news = 0;
  std::vector<std::thread> threads;
  for (int thread = 0; thread < 8; ++thread) {
    threads.emplace_back([&] {
      const Model model = model_with({"0", "99"});
      for (int i = 0; i < 100; ++i) {
        if (bad.add(Digest::of(std::to_string(i)), FileIdentity{}, "reason")) ++news;
        if (!bad.fault_of(model)) news += 1000;
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(news, 100);
}

TEST(BadBlobs, ComeBehindTheFaultsThatTheStoreHas) {
  BadBlobs bad;
  bad.add(Digest::of("a"), FileIdentity{}, "reason");
  Model model = model_with({"a"});
  model.faults = {{ProblemKind::missing, {}, "blob x is missing"},
                  {ProblemKind::bad_size, {}, "another"}};
  EXPECT_EQ(bad.fault_of(model), "blob x is missing");
}

// ---- when a store is read again ----

class BadBlobsForgotten : public ::testing::Test {
 protected:
  BadBlobsForgotten() {
    write_file(file_, "bad");
    read();
    damaged_.add(blob().digest, blob().identity, "reason");
  }
  void read() { catalog_ = Catalog::read(dir_); }
  // What follows on the catalog.
  void read_again() {
    const auto before = std::move(catalog_);
    read();
    damaged_.forget_changed(files_of(*before), files_of(*catalog_));
  }
  static BadBlobs::FileOf files_of(const Catalog& catalog) {
    return [&catalog](const Digest& digest) -> std::optional<FileIdentity> {
      const auto blob = catalog.blob_index(digest);
      return blob ? std::optional{catalog.blobs()[*blob].identity} : std::nullopt;
    };
  }
  [[nodiscard]] const Model& model() const { return catalog_->models()[0]; }
  [[nodiscard]] const Blob& blob() const {
    return *std::ranges::find(catalog_->blobs(), Digest::of("bad"), &Blob::digest);
  }

  TempDir temp_;
  StoreBuilder store_{temp_ / "models"};
  StoreDir dir_{temp_ / "models", OutsideLinks::refuse};
  Digest digest_ = [this] {
    ManifestSpec manifest;
    manifest.layers = {store_.layer(kModelType, "bad"), store_.layer(kModelType, "good")};
    return store_.v1("a:b", manifest);
  }();
  fs::path file_ = store_.blob_path(Digest::of("bad"));
  std::shared_ptr<const Catalog> catalog_;
  BadBlobs damaged_;
};

TEST_F(BadBlobsForgotten, AreBadWhileTheirFileIsTheSame) {
  read_again();
  EXPECT_TRUE(damaged_.fault_of(model()));
}

// A hard link gives the file another time, of which no catalog knows.
TEST_F(BadBlobsForgotten, AreBadAlthoughTheirFileHadAnotherName) {
  BadBlobs linked;
  FileIdentity file = blob().identity;
  file.ctime_ns += 1;
  linked.add(blob().digest, file, "reason");
  linked.forget_changed(files_of(*catalog_), files_of(*catalog_));
  EXPECT_TRUE(linked.fault_of(model()));
}

TEST_F(BadBlobsForgotten, AreGoodWhenAnotherFileIsThere) {
  write_file(file_.string() + ".new", "bad");
  fs::rename(file_.string() + ".new", file_);
  read_again();
  EXPECT_FALSE(damaged_.fault_of(model()));
  EXPECT_TRUE(damaged_.add(blob().digest, blob().identity, "again")) << "is news";
}

TEST_F(BadBlobsForgotten, AreGoodWhenTheirFileWasWrittenAgain) {
  fs::last_write_time(file_, fs::file_time_type::clock::now() + std::chrono::hours{1});
  read_again();
  EXPECT_FALSE(damaged_.fault_of(model()));
}

TEST_F(BadBlobsForgotten, AreForgottenWithTheLastModelThatNamesThem) {
  const Model before = model();
  fs::remove_all(store_.root() / "manifests");
  read_again();
  EXPECT_FALSE(damaged_.fault_of(before));
}

// ---- what readers of a file system see of them ----

// A store with three models: one and two share weights, other has its own.
class BadBlobsShown : public ::testing::Test {
 protected:
  BadBlobsShown() {
    one_ = store_.text_model(1, 200'000);
    ManifestSpec two = one_;
    two.layers.push_back(store_.layer(kSystemType, "You are number two."));
    store_.v1("one:a", one_);
    store_.v1("two:a", two);
    ManifestSpec other;
    other.layers = {store_.layer(kModelType, random_bytes(2, 200'000))};
    store_.v1("other:a", other);
  }

  void show(const BlobLimits& limits = {}, std::chrono::milliseconds hold = {}) {
    auto tree = build_tree(Catalog::read(dir_), {}, {"/view", store_.root()});
    fs_ = std::make_unique<FileSystem>(
        dir_, std::move(tree), limits,
        [this](const std::string& message) {
          const std::scoped_lock lock{mutex_};
          messages_.push_back(message);
        },
        [](const CacheNotices&) {}, hold);
  }

  [[nodiscard]] NodeRef at(const fs::path& path) const {
    NodeRef node = fs_->find(kRootInode);
    for (const fs::path& name : path) node.node = node.tree->lookup(*node, name.string());
    EXPECT_TRUE(node) << path;
    return node;
  }
  std::unique_ptr<OpenFile> open(const fs::path& path) { return fs_->open_file(at(path), ec_); }
  std::string opened(const fs::path& path) {
    (void)open(path);
    return name_of(ec_);
  }
  std::string listed(const fs::path& path) { return listed_of(*fs_, at(path)); }
  std::string read(OpenFile& file, std::size_t size, std::uint64_t offset = 0) {
    std::error_code ec;
    const std::string out = bytes_of(*fs_, file, size, offset, ec);
    return ec ? name_of(ec) : out;
  }

  [[nodiscard]] Digest weights() const { return digest_of(one_.layers[0]); }
  [[nodiscard]] fs::path weights_file() const { return store_.blob_path(weights()); }
  [[nodiscard]] fs::path weights_of(const std::string& model) const {
    return fs::path{"models"} / (model + "+a") / "blobs" / weights().blob_name();
  }

  [[nodiscard]] static fs::path manifest_of(const std::string& model) {
    return fs::path{"models"} / (model + "+a") / "manifests/registry.ollama.ai/library" / model /
           "a";
  }

  void expect_broken(const std::string& model) {
    const fs::path directory = fs::path{"models"} / (model + "+a");
    const fs::path manifests = directory / "manifests";
    for (const fs::path& below :
         {directory, directory / "blobs", manifests, manifests / "registry.ollama.ai",
          manifests / "registry.ollama.ai/library",
          manifests / "registry.ollama.ai/library" / model}) {
      EXPECT_EQ(listed(below), "BROKEN") << below;
    }
    EXPECT_EQ(opened(manifests / "registry.ollama.ai/library" / model / "a"), "EIO");
    EXPECT_EQ(opened(fs::path{"archives"} / (model + "+a.tar")), "EIO");
    EXPECT_THAT(fs_->attribute(at(directory), "user.ollamafs.state", ec_),
                AllOf(StartsWith("broken: "), HasSubstr(weights().blob_name())));
  }
  void expect_whole(const std::string& model) {
    const fs::path directory = fs::path{"models"} / (model + "+a");
    EXPECT_EQ(listed(directory), "ok");
    EXPECT_EQ(listed(directory / "blobs"), "ok");
    EXPECT_EQ(opened(directory / "manifests/registry.ollama.ai/library" / model / "a"), "ok");
    EXPECT_EQ(opened(fs::path{"archives"} / (model + "+a.tar")), "ok");
    EXPECT_EQ(fs_->attribute(at(directory), "user.ollamafs.state", ec_), "whole");
  }

  TempDir temp_;
  StoreBuilder store_{temp_ / "models"};
  ManifestSpec one_;
  StoreDir dir_{temp_ / "models", OutsideLinks::refuse};
  std::unique_ptr<FileSystem> fs_;
  std::error_code ec_;
  std::mutex mutex_;
  std::vector<std::string> messages_;
};

TEST_F(BadBlobsShown, BreakEveryModelThatNeedsThemOnceTheyFail) {
  show();
  const auto blob = open(weights_of("one"));
  EXPECT_EQ(read(*blob, 4), "GGUF");
  fs::resize_file(weights_file(), 100'000);
  EXPECT_EQ(read(*blob, 10, 99'995), "EIO");
  expect_broken("one");
  expect_broken("two");
  expect_whole("other");
  EXPECT_THAT(messages_, ElementsAre(HasSubstr(weights().blob_name())));
}

// Nobody saw it if the kernel read the blob by itself: the manifest is where it must be noticed.
TEST_F(BadBlobsShown, AreNoticedByWhoOpensTheManifest) {
  for (const bool held_open : {false, true}) {
    fs::resize_file(weights_file(), 200'000 + 4);
    show();
    const auto blob = held_open ? open(weights_of("one")) : nullptr;
    EXPECT_EQ(opened(manifest_of("one")), "ok");
    fs::resize_file(weights_file(), 100'000);
    EXPECT_EQ(opened(manifest_of("two")), "EIO");
    expect_broken("one");
    expect_broken("two");
    expect_whole("other");
  }
}

TEST_F(BadBlobsShown, BreakModelsWhenAnArchiveMeetsThem) {
  show();
  const auto archive = open("archives/two+a.tar");
  const std::size_t size = at("archives/two+a.tar")->size;
  fs::resize_file(weights_file(), 100'000);
  EXPECT_EQ(read(*archive, size), "EIO");
  expect_broken("one");
  expect_broken("two");
  expect_whole("other");
}

TEST_F(BadBlobsShown, BreakModelsWhenTheyCannotBeOpened) {
  show();
  fs::remove(weights_file());
  EXPECT_EQ(opened(weights_of("one")), "EIO");
  expect_broken("one");
  expect_broken("two");
  expect_whole("other");
  EXPECT_THAT(messages_,
              ElementsAre(AllOf(HasSubstr(weights().blob_name()), HasSubstr("No such file"))));
}

TEST_F(BadBlobsShown, BreakModelsWhenAnotherFileTookTheirPlace) {
  show();
  write_file(weights_file().string() + ".new", "GGUF" + random_bytes(9, 200'000));
  fs::rename(weights_file().string() + ".new", weights_file());
  EXPECT_EQ(opened("archives/one+a.tar"), "EIO");
  expect_broken("one");
  expect_broken("two");
}

// Who has the old file open finds it damaged after a good one took its place.
TEST_F(BadBlobsShown, SayNothingOfTheFileThatTookTheirPlace) {
  show();
  const auto old = open(weights_of("one"));
  const std::string bytes = read_file(weights_file());
  fs::rename(weights_file(), temp_ / "old");
  write_file(weights_file(), bytes);
  fs_->publish(build_tree(Catalog::read(dir_), {}, {"/view", store_.root()}, fs_->current().get()));
  fs::resize_file(temp_ / "old", 100'000);
  EXPECT_EQ(read(*old, 10, 150'000), "EIO");
  EXPECT_EQ(listed("models/one+a"), "ok");
  expect_whole("one");
}

TEST_F(BadBlobsShown, AreSpokenOfOnce) {
  show();
  const auto blob = open(weights_of("one"));
  const auto archive = open("archives/two+a.tar");
  fs::resize_file(weights_file(), 0);
  std::vector<std::thread> threads;
  for (int thread = 0; thread < 8; ++thread) {
    threads.emplace_back([&] {
      for (int i = 0; i < 20; ++i) {
        EXPECT_EQ(read(*blob, 10), "EIO");
        EXPECT_EQ(read(*archive, 300'000), "EIO");
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(messages_.size(), 1u);
}

TEST_F(BadBlobsShown, LeaveTheBlobsThatTheirModelsShareReadable) {
  const ManifestSpec third = store_.text_model(3, 100'000);  // shares all but the weights
  store_.v1("third:a", third);
  show();
  fs::remove(weights_file());
  EXPECT_EQ(opened(weights_of("two")), "EIO");
  expect_broken("two");
  expect_whole("third");
  const auto shared =
      open(fs::path{"models/third+a/blobs"} / digest_of(third.layers[1]).blob_name());
  EXPECT_THAT(read(*shared, 1000), StartsWith("{{- if .System }}"));
}

TEST_F(BadBlobsShown, StillHaveTheirAttributes) {
  show();
  fs::remove(weights_file());
  EXPECT_EQ(opened(weights_of("one")), "EIO");
  const NodeRef weights = at(weights_of("one"));
  EXPECT_EQ(stat_of(*weights.tree, *weights).st_size, 200'004);
  EXPECT_TRUE(at("models/one+a/manifests/registry.ollama.ai/library/one/a"));
}

// ---- what says nothing about a blob ----

// A process, as the driver speaks of it.
class BadBlobsMissed : public BadBlobsShown {
 protected:
  std::string opened_by(pid_t process, const fs::path& path) {
    const NodeRef node = at(path);
    (void)fs_->open_file(node, ec_, Tool{process});
    if (ec_) fs_->request_failed(node, Tool{process}, ec_.default_error_condition().value());
    return name_of(ec_);
  }
  void list(pid_t process, const fs::path& path) {
    NodeRef directory = at(path);
    EXPECT_TRUE(fs_->list(directory, true, Tool{process}).is_whole());
  }
};

// A process that missed a blob must not get the manifest; one that lists the blobs anew must.
TEST_F(BadBlobsMissed, AreSoForWhoMetAShortageOfDescriptorsOnly) {
  show();
  {
    const FewDescriptors shortage{0};
    EXPECT_EQ(opened_by(7, weights_of("one")), "EMFILE");
    EXPECT_EQ(opened_by(7, "archives/one+a.tar"), "EMFILE");
    EXPECT_NE(opened_by(7, manifest_of("one")), "ok");
  }
  EXPECT_EQ(opened_by(7, manifest_of("one")), "EIO");
  EXPECT_EQ(opened_by(8, manifest_of("one")), "ok");
  list(7, "models/one+a/blobs");
  EXPECT_EQ(opened_by(7, manifest_of("one")), "ok");
  EXPECT_EQ(opened_by(7, manifest_of("two")), "EIO");
  expect_whole("one");
  EXPECT_THAT(messages_, ElementsAre());
}

// Another process finds out that the shortage is over. That gives the first none of what it missed.
TEST_F(BadBlobsMissed, KeepTheManifestsFromTheProcessThatMissedThem) {
  show({}, 1min);
  {
    const FewDescriptors shortage{0};
    EXPECT_EQ(opened_by(7, weights_of("one")), "EMFILE");
  }
  list(8, "models/one+a/blobs");
  EXPECT_EQ(opened_by(8, manifest_of("one")), "ok");
  for (const char* model : {"one", "two"}) EXPECT_EQ(opened_by(7, manifest_of(model)), "EIO");
  EXPECT_EQ(opened_by(7, manifest_of("other")), "ok");
  list(7, "models/one+a");
  EXPECT_EQ(opened_by(7, manifest_of("one")), "EIO") << "its blobs/ it has to list";
  list(7, "models/one+a/blobs");
  EXPECT_EQ(opened_by(7, manifest_of("one")), "ok");
  EXPECT_EQ(opened_by(7, manifest_of("two")), "EIO");
}

// Mended while a process is at the model that was broken when it began.
TEST_F(BadBlobsMissed, KeepTheManifestFromTheProcessThatBeganWhenTheModelWasBroken) {
  const std::string bytes = read_file(weights_file());
  fs::remove(weights_file());
  show({}, 1min);
  EXPECT_FALSE(fs_->lookup(at("models/one+a"), "blobs", ec_));
  fs_->request_failed(at("models/one+a"), Tool{7}, ec_.value());
  write_file(weights_file(), bytes);
  fs_->publish(build_tree(Catalog::read(dir_), {}, {"/view", store_.root()}, fs_->current().get()));
  EXPECT_EQ(opened_by(7, manifest_of("one")), "EIO");
  EXPECT_EQ(opened_by(8, manifest_of("one")), "ok");
}

TEST_F(BadBlobsMissed, AreSoByAShortageAtTheReadToo) {
  show({.descriptors = 0, .memory = 0, .small = 0});  // opened anew for every reading
  const auto blob = open(weights_of("one"));
  {
    const FewDescriptors shortage{0};
    EXPECT_EQ(read(*blob, 4), "EMFILE");
    fs_->request_failed(blob->pin.ref(), Tool{7}, EMFILE);
  }
  EXPECT_EQ(opened_by(7, manifest_of("one")), "EIO");
  EXPECT_EQ(opened_by(7, "archives/one+a.tar"), "ok");
  EXPECT_EQ(read(*blob, 4), "GGUF");
  expect_whole("one");
}

}  // namespace
}  // namespace ollamafs::test
