#include "fs/serve/manifest_guard.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <chrono>
#include <filesystem>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "fs/serve/file_system.h"
#include "fs/views/views.h"
#include "tests/support/process.h"
#include "tests/support/store_builder.h"
#include "tests/support/temp_dir.h"

namespace ollamafs::test {
namespace {

namespace fs = std::filesystem;
using namespace std::chrono_literals;
using ::testing::ElementsAre;
using ::testing::IsEmpty;

using CatalogPtr = std::shared_ptr<const Catalog>;
using Contents = std::vector<std::string>;  // of the blobs that a version has

const std::string kModel = "a+t";  // a:t in the view

// A process that begins now. A process's beginning is known to a hundredth of a second.
class Newcomer {
 public:
  Newcomer() {
    std::this_thread::sleep_for(30ms);
    process_.emplace(std::vector<std::string>{"sleep", "inf"});
  }
  [[nodiscard]] pid_t pid() const { return process_->pid(); }

 private:
  std::optional<Background> process_;
};

class ManifestGuardTest : public ::testing::Test {
 protected:
  // A store with these models.
  CatalogPtr with(const std::map<std::string, Contents>& models) {
    fs::remove_all(store_.root() / "manifests");
    for (const auto& [name, contents] : models) {
      ManifestSpec manifest;
      for (const std::string& content : contents)
        manifest.layers.push_back(store_.layer(kModelType, content));
      store_.v1(name, manifest);
    }
    return Catalog::read(dir_);
  }
  // One with this version of a:t.
  CatalogPtr version(const Contents& contents) { return with({{"a:t", contents}}); }

  // Shows another catalog, of which the kernel is told at once.
  void show(const CatalogPtr& catalog) {
    guard_.kernel_was_told(change(*shown_, *catalog));
    shown_ = catalog;
  }
  // Returns its number.
  std::uint64_t change(const Catalog& before, const Catalog& after) {
    const auto change = guard_.prepare(before, after);
    guard_.commit(change);
    return change.number;
  }
  void list(pid_t process, const std::string& model = kModel) {
    guard_.listed(process, *shown_->at_view_name(model));
  }
  bool miss(pid_t process, const std::string& model = kModel) {
    const std::string* const models[] = {&model};
    return guard_.missed(process, models);
  }
  [[nodiscard]] bool refuses(pid_t process, const std::string& model = kModel) const {
    return guard_.refuses(process, *shown_->at_view_name(model));
  }
  [[nodiscard]] bool watches(const std::string& model = kModel) const {
    return guard_.watches(*shown_->at_view_name(model));
  }

  TempDir temp_;
  StoreBuilder store_{temp_ / "models"};
  StoreDir dir_{temp_ / "models", OutsideLinks::refuse};
  const Newcomer old_, other_;  // were there before anything changed
  ManifestGuard guard_;
  CatalogPtr shown_ = version({"shared", "old"});
};

// ---- changes ----

TEST_F(ManifestGuardTest, RefusesNobodyWhereNothingChanged) {
  show(version({"shared", "old"}));
  EXPECT_FALSE(refuses(old_.pid()));
  EXPECT_FALSE(watches());
}

TEST_F(ManifestGuardTest, RefusesWhoWasThereBeforeAChangeUntilItListsTheBlobs) {
  show(version({"shared", "new"}));
  EXPECT_TRUE(watches());
  EXPECT_TRUE(refuses(old_.pid()));
  list(old_.pid());
  EXPECT_FALSE(refuses(old_.pid()));
  EXPECT_TRUE(refuses(other_.pid())) << "the listing of one is none of the other";
}

TEST_F(ManifestGuardTest, TakesWhoBeganAfterTheChange) {
  show(version({"shared", "new"}));
  const Newcomer newcomer;
  EXPECT_FALSE(refuses(newcomer.pid()));
  EXPECT_TRUE(refuses(old_.pid()));
}

// Until the kernel has forgotten the old version, who begins may still be given it.
TEST_F(ManifestGuardTest, TakesWhoBeganBeforeTheKernelWasToldForOneWhoWasThere) {
  const auto next = version({"shared", "new"});
  const auto number = change(*shown_, *next);
  shown_ = next;
  const Newcomer early;
  EXPECT_TRUE(refuses(early.pid()));
  guard_.kernel_was_told(number - 1);
  EXPECT_TRUE(refuses(Newcomer{}.pid()));
  guard_.kernel_was_told(number);
  EXPECT_TRUE(refuses(early.pid()));
  EXPECT_FALSE(refuses(Newcomer{}.pid()));
  list(early.pid());
  EXPECT_FALSE(refuses(early.pid()));
}

TEST_F(ManifestGuardTest, AsksForAnotherListingAfterEveryChange) {
  for (const char* content : {"one", "two", "one"}) {
    show(version({"shared", content}));
    EXPECT_TRUE(refuses(old_.pid()));
    list(old_.pid());
    EXPECT_FALSE(refuses(old_.pid()));
  }
}

// A listing that was asked for before the change, and is noted after it.
TEST_F(ManifestGuardTest, TakesAListingOfAnotherVersionForNone) {
  const auto before = shown_;
  show(version({"shared", "new"}));
  guard_.listed(old_.pid(), *before->at_view_name(kModel));
  EXPECT_TRUE(refuses(old_.pid()));
}

// It may have looked for the model while it was gone, and missed it.
TEST_F(ManifestGuardTest, TakesAModelThatReturnsForAChange) {
  const auto same = shown_;
  list(old_.pid());
  show(with({}));
  show(same);
  EXPECT_TRUE(refuses(old_.pid()));
  EXPECT_FALSE(refuses(Newcomer{}.pid()));
  list(old_.pid());
  EXPECT_FALSE(refuses(old_.pid()));
  show(with({}));
  show(same);
  EXPECT_TRUE(refuses(old_.pid())) << "it went once more";
}

TEST_F(ManifestGuardTest, TakesAModelThatIsNewForNone) {
  show(with({}));
  show(with({{"b:t", {"shared"}}}));
  EXPECT_FALSE(refuses(old_.pid(), "b+t"));
  EXPECT_FALSE(watches("b+t"));
}

TEST_F(ManifestGuardTest, FindsChangesAmongManyModels) {
  show(with({{"0:t", {"x"}}, {"a:t", {"s", "old"}}, {"b:t", {"s"}}, {"z:t", {"x"}}}));
  const auto next = with({{"a:t", {"s", "new"}}, {"b:t", {"s"}}, {"c:t", {"s", "n"}}});
  EXPECT_THAT(guard_.prepare(*shown_, *next).models, ElementsAre(0u));
  (void)change(*shown_, *next);
  shown_ = next;
  EXPECT_TRUE(refuses(old_.pid(), "a+t"));
  for (const char* const name : {"b+t", "c+t"}) EXPECT_FALSE(refuses(old_.pid(), name)) << name;
}

// ---- misses ----

TEST_F(ManifestGuardTest, RefusesWhoMissedAPartUntilItListsTheBlobs) {
  EXPECT_TRUE(miss(old_.pid()));
  EXPECT_TRUE(watches());
  EXPECT_TRUE(refuses(old_.pid()));
  EXPECT_FALSE(refuses(other_.pid()));
  list(old_.pid());
  EXPECT_FALSE(refuses(old_.pid()));
}

TEST_F(ManifestGuardTest, TellsOnceThatAProcessMissedSomething) {
  EXPECT_TRUE(miss(old_.pid()));
  EXPECT_FALSE(miss(old_.pid()));
  EXPECT_TRUE(miss(other_.pid()));
  list(old_.pid());
  EXPECT_TRUE(miss(old_.pid())) << "it would have had the manifest";
}

TEST_F(ManifestGuardTest, KnowsOfWhichModelsAPartWasMissed) {
  show(with({{"a:t", {"s", "a"}}, {"b:t", {"s"}}, {"c:t", {"c"}}}));
  const std::string a = "a+t", b = "b+t";
  const std::string* const users[] = {&a, &b};
  EXPECT_TRUE(guard_.missed(old_.pid(), users));
  list(old_.pid(), a);
  list(old_.pid(), "c+t");
  EXPECT_FALSE(refuses(old_.pid(), a));
  EXPECT_TRUE(refuses(old_.pid(), b));
  EXPECT_FALSE(refuses(old_.pid(), "c+t"));
}

// Where there is no memory to note who missed what.
TEST_F(ManifestGuardTest, RefusesAllWhoAreThereWhenItIsUnknownWhoMissedWhat) {
  guard_.missed_something();
  EXPECT_TRUE(watches());
  EXPECT_TRUE(refuses(old_.pid()));
  EXPECT_FALSE(refuses(Newcomer{}.pid()));
  list(old_.pid());
  EXPECT_FALSE(refuses(old_.pid()));
  EXPECT_TRUE(refuses(other_.pid()));
}

TEST_F(ManifestGuardTest, MayBeAskedByManyThreads) {
  const auto first = shown_, second = version({"shared", "2"});
  std::vector<std::thread> threads;
  for (int thread = 0; thread < 4; ++thread) {
    threads.emplace_back([&] {
      for (int i = 0; i < 300; ++i) {
        miss(::getpid());
        guard_.listed(::getpid(), *second->at_view_name(kModel));
        (void)guard_.refuses(::getpid(), *second->at_view_name(kModel));
      }
    });
  }
  for (int i = 0; i < 100; ++i) {
    guard_.kernel_was_told(change(*first, *second));
    guard_.kernel_was_told(change(*second, *first));
  }
  for (std::thread& thread : threads) thread.join();
  show(second);
  list(old_.pid());
  EXPECT_FALSE(refuses(old_.pid()));
}

// ---- in the file system ----

class GuardedView : public ManifestGuardTest {
 protected:
  GuardedView()
      : view_{dir_,
              tree(shown_),
              {},
              [](const std::string&) {},
              [this](const CacheNotices& given) {
                notices_.insert(notices_.end(), given.begin(), given.end());
              }} {}

  std::shared_ptr<const Tree> tree(const CatalogPtr& catalog, const Tree* previous = nullptr) {
    return build_tree(catalog, {}, {"/view", store_.root()}, previous);
  }
  void publish(const CatalogPtr& catalog) {
    view_.publish(tree(catalog, view_.current().get()));
    view_.kernel_was_told(notices_.back().node);
    notices_.clear();
  }
  [[nodiscard]] NodeRef at(const fs::path& path) const {
    NodeRef node = view_.find(kRootInode);
    for (const fs::path& name : path) node.node = node.tree->lookup(*node, name.string());
    return node;
  }
  std::error_code open(pid_t process, const fs::path& path) {
    std::error_code ec;
    (void)view_.open_file(at(path), ec, Tool{process});
    return ec;
  }
  void list(pid_t process, const fs::path& path) {
    NodeRef directory = at(path);
    EXPECT_TRUE(view_.list(directory, true, Tool{process}).is_whole());
    view_.answered_listing(directory, directory->ino);
  }
  // The directories whose listings the kernel was told to forget since this was last asked.
  std::vector<InodeNumber> forgotten() {
    std::vector<InodeNumber> nodes;
    for (const CacheNotice& notice : notices_) {
      if (notice.what == CacheNotice::What::content) nodes.push_back(notice.node);
    }
    notices_.clear();
    return nodes;
  }

  const fs::path blobs_ = "models/a+t/blobs";
  const fs::path manifest_ = "models/a+t/manifests/registry.ollama.ai/library/a/t";
  std::vector<CacheNotice> notices_;
  FileSystem view_;
};

TEST_F(GuardedView, GivesNoManifestToAProcessThatOpenedNothingSinceItHasTheBlobs) {
  list(old_.pid(), blobs_);
  publish(version({"shared", "new"}));
  EXPECT_EQ(open(old_.pid(), manifest_), std::errc::io_error);
  EXPECT_FALSE(open(Newcomer{}.pid(), manifest_));
}

TEST_F(GuardedView, GivesTheManifestToAProcessThatListsTheBlobsAnew) {
  publish(version({"shared", "new"}));
  list(old_.pid(), "models/a+t");
  EXPECT_EQ(open(old_.pid(), manifest_), std::errc::io_error)
      << "that is not the listing of blobs/";
  list(old_.pid(), blobs_);
  EXPECT_FALSE(open(old_.pid(), manifest_));
}

// The kernel must ask for every listing that matters, and for no other.
TEST_F(GuardedView, LetsTheKernelKeepNoListingOfTheBlobsOfAModelThatChanged) {
  list(old_.pid(), blobs_);
  EXPECT_THAT(forgotten(), IsEmpty());
  publish(version({"shared", "new"}));
  for (int i = 0; i < 2; ++i) {
    list(old_.pid(), blobs_);
    EXPECT_THAT(forgotten(), ElementsAre(at(blobs_)->ino));
  }
  list(old_.pid(), "models/a+t");
  EXPECT_THAT(forgotten(), IsEmpty());
  EXPECT_TRUE(open(other_.pid(), manifest_));
  EXPECT_THAT(forgotten(), ElementsAre(at(blobs_)->ino));
}

// A model that is there again has the numbers that it had: what the kernel kept of it is right, but
// nobody would see that it is listed.
TEST_F(GuardedView, LetsTheKernelKeepNoListingOfTheBlobsOfAModelThatIsThereAgain) {
  const auto same = shown_;
  const auto blobs = at(blobs_)->ino;
  publish(with({}));
  view_.publish(tree(same, view_.current().get()));
  EXPECT_EQ(at(blobs_)->ino, blobs);
  EXPECT_THAT(forgotten(), ::testing::Contains(blobs));
}

}  // namespace
}  // namespace ollamafs::test
