#include "fs/serve/version_guard.h"

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

using CatalogPtr = std::shared_ptr<const Catalog>;
using Contents = std::vector<std::string>;  // of the blobs that a version has

constexpr auto kLong = std::chrono::hours{1};
constexpr pid_t kTool = 100, kOther = 200;
constexpr const char* kModel = "a+t";  // a:t in the view

class VersionGuardTest : public ::testing::Test {
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

  static void open(VersionGuard& guard, const Contents& contents, pid_t tool = kTool) {
    for (const std::string& content : contents) guard.opened(tool, Digest::of(content));
  }
  static void miss(VersionGuard& guard, const std::string& content, pid_t tool = kTool) {
    guard.missed(tool, kModel, Digest::of(content).blob_name());
  }

  TempDir temp_;
  StoreBuilder store_{temp_ / "models"};
  StoreDir dir_{temp_ / "models", OutsideLinks::refuse};
};

// A guard that saw one version come after another.
class VersionGuardAfterAChange : public VersionGuardTest {
 protected:
  VersionGuardAfterAChange() {
    guard_.changed(*version({"shared", "more", "old"}),
                   *version({"shared", "more", "new", "newer"}));
  }

  AtWork at_work_{kLong};
  VersionGuard guard_{at_work_, kLong};
};

TEST_F(VersionGuardTest, RefusesNobodyWhereNothingChanged) {
  AtWork at_work{kLong};
  VersionGuard guard{at_work, kLong};
  const auto catalog = version({"one", "two"});
  guard.changed(*catalog, *version({"one", "two"}));
  open(guard, {"one"});
  miss(guard, "three");
  EXPECT_FALSE(guard.refuses(kTool, kModel));
}

TEST_F(VersionGuardAfterAChange, RefusesAToolThatOpenedSharedBlobsOnly) {
  open(guard_, {"shared", "more"});
  EXPECT_TRUE(guard_.refuses(kTool, kModel));
}

TEST_F(VersionGuardAfterAChange, RefusesAToolThatOpenedSomeOfTheNewBlobs) {
  open(guard_, {"shared", "more", "new"});
  EXPECT_TRUE(guard_.refuses(kTool, kModel));
}

TEST_F(VersionGuardAfterAChange, TakesAToolThatOpenedAllOfTheNewBlobs) {
  open(guard_, {"new", "shared", "newer"});
  EXPECT_FALSE(guard_.refuses(kTool, kModel));
}

TEST_F(VersionGuardAfterAChange, RefusesAToolThatLookedForABlobThatIsNoMore) {
  open(guard_, {"shared", "more", "new", "newer"});
  miss(guard_, "old");
  EXPECT_TRUE(guard_.refuses(kTool, kModel));
}

TEST_F(VersionGuardAfterAChange, DoesNotMindOtherNamesThatAToolLookedFor) {
  miss(guard_, "never there");
  guard_.missed(kTool, kModel, "README");
  guard_.missed(kTool, "b+t", Digest::of("old").blob_name());
  EXPECT_FALSE(guard_.refuses(kTool, kModel));
}

// Its request came before the change, and was answered after it.
TEST_F(VersionGuardAfterAChange, RefusesAToolThatOpenedABlobOfTheOldVersionLate) {
  open(guard_, {"old"});
  EXPECT_TRUE(guard_.refuses(kTool, kModel));
  open(guard_, {"new", "newer"});
  EXPECT_FALSE(guard_.refuses(kTool, kModel)) << "it may have been for another model";
}

TEST_F(VersionGuardAfterAChange, TakesWhoReadsTheManifestAlone) {
  EXPECT_FALSE(guard_.refuses(kTool, kModel));
  open(guard_, {"unrelated"});
  EXPECT_FALSE(guard_.refuses(kTool, kModel));
}

TEST_F(VersionGuardAfterAChange, JudgesEachToolByWhatItDidItself) {
  open(guard_, {"shared", "more"});
  open(guard_, {"new", "newer"}, kOther);
  EXPECT_TRUE(guard_.refuses(kTool, kModel));
  EXPECT_FALSE(guard_.refuses(kOther, kModel));
}

TEST_F(VersionGuardAfterAChange, RefusesNoOtherModel) {
  open(guard_, {"shared"});
  EXPECT_FALSE(guard_.refuses(kTool, "b+t"));
}

TEST_F(VersionGuardTest, TakesAToolOfAVersionThatOnlyLostBlobs) {
  AtWork at_work{kLong};
  VersionGuard guard{at_work, kLong};
  guard.changed(*version({"shared", "old"}), *version({"shared"}));
  open(guard, {"shared"});
  EXPECT_FALSE(guard.refuses(kTool, kModel));
  miss(guard, "old");
  EXPECT_TRUE(guard.refuses(kTool, kModel));
}

// A large blob takes longer than the hold.
TEST_F(VersionGuardTest, WatchesAToolForAsLongAsItReadsABlob) {
  AtWork at_work{500ms};
  VersionGuard guard{at_work, 500ms};
  guard.changed(*version({"old", "both"}), *version({"both", "new"}));
  std::optional<AtWork::Use> use{at_work.open(kTool)};
  open(guard, {"both"});
  std::this_thread::sleep_for(600ms);
  EXPECT_TRUE(guard.refuses(kTool, kModel));
  use.reset();
  EXPECT_TRUE(guard.refuses(kTool, kModel));
  std::this_thread::sleep_for(600ms);
  EXPECT_FALSE(guard.refuses(kTool, kModel));
}

// A tool that copies many models lists them at first, and may come to this one hours later.
TEST_F(VersionGuardTest, KeepsAChangeForWhoWasAtWorkBeforeIt) {
  AtWork at_work{500ms};
  VersionGuard guard{at_work, 500ms};
  std::optional<AtWork::Use> other_model{at_work.open(kTool)};
  guard.changed(*version({"old", "both"}), *version({"both", "new"}));
  std::this_thread::sleep_for(600ms);
  open(guard, {"both"});
  EXPECT_TRUE(guard.refuses(kTool, kModel));
  other_model.reset();
  std::this_thread::sleep_for(600ms);
  EXPECT_FALSE(guard.refuses(kTool, kModel));
}

// What it lacks it has from an earlier copy. But it may have listed what the kernel had still in
// memory; and who asks for what is no more goes by an old list.
TEST_F(VersionGuardAfterAChange, TakesAToolThatWasStartedAMomentAfterIt) {
  const Background soon{{"sleep", "inf"}};
  std::this_thread::sleep_for(1'050ms);
  const Background later{{"sleep", "inf"}};
  for (const pid_t tool : {::getpid(), soon.pid(), later.pid()}) open(guard_, {"shared"}, tool);
  EXPECT_TRUE(guard_.refuses(::getpid(), kModel));
  EXPECT_TRUE(guard_.refuses(soon.pid(), kModel));
  EXPECT_FALSE(guard_.refuses(later.pid(), kModel));
  miss(guard_, "old", later.pid());
  EXPECT_TRUE(guard_.refuses(later.pid(), kModel));
}

TEST_F(VersionGuardAfterAChange, TakesAToolThatBeginsAnew) {
  open(guard_, {"shared"});
  miss(guard_, "old");
  guard_.begins(kOther, kModel);
  guard_.begins(kTool, "b+t");
  EXPECT_TRUE(guard_.refuses(kTool, kModel));
  guard_.begins(kTool, kModel);
  EXPECT_FALSE(guard_.refuses(kTool, kModel));
  open(guard_, {"shared"});
  EXPECT_TRUE(guard_.refuses(kTool, kModel)) << "it has to open the new ones again";
}

TEST_F(VersionGuardAfterAChange, TellsOnceWhoWillBeRefused) {
  EXPECT_FALSE(guard_.missed(kTool, kModel, Digest::of("never there").blob_name()));
  EXPECT_TRUE(guard_.missed(kTool, kModel, Digest::of("old").blob_name()));
  EXPECT_FALSE(guard_.missed(kTool, kModel, Digest::of("old").blob_name()));
}

// Who was not at work before it, and comes after the hold, has not listed it before the change.
TEST_F(VersionGuardTest, ConcernsOnlyWhoWasThereWhenItIsKept) {
  AtWork at_work{500ms};
  VersionGuard guard{at_work, 500ms};
  const AtWork::Use use{at_work.open(kTool)}, of_other{at_work.open(kOther)};
  guard.changed(*version({"old", "both"}), *version({"both", "new"}));
  const pid_t third = ::getpid();
  const AtWork::Use of_third{at_work.open(third)};
  std::this_thread::sleep_for(600ms);
  open(guard, {"both"}, third);
  EXPECT_FALSE(guard.refuses(third, kModel));
  open(guard, {"both"}, kOther);
  EXPECT_TRUE(guard.refuses(kOther, kModel));
}

TEST_F(VersionGuardTest, ConcernsOnlyWhoWasThereWhenAReturnIsKept) {
  constexpr auto hold = 300ms;
  AtWork at_work{hold};
  VersionGuard guard{at_work, hold};
  const AtWork::Use use{at_work.open(kTool)};
  const auto one = version({"shared", "own"}), none = with({});
  guard.changed(*one, *none);
  guard.changed(*none, *one);
  EXPECT_TRUE(guard.refuses(::getpid(), kModel));
  std::this_thread::sleep_for(2 * hold);
  EXPECT_TRUE(guard.refuses(kTool, kModel));
  EXPECT_FALSE(guard.refuses(::getpid(), kModel));
  guard.begins(::getpid(), kModel);
  EXPECT_FALSE(guard.refuses(::getpid(), kModel));
  open(guard, {"shared", "own"}, ::getpid());
  EXPECT_FALSE(guard.refuses(::getpid(), kModel));
}

TEST_F(VersionGuardTest, ForgetsAChangeAfterTheHold) {
  constexpr auto hold = 200ms;
  AtWork at_work{hold};
  VersionGuard guard{at_work, hold};
  const auto before = version({"shared", "old"}), after = version({"shared", "new"});
  const auto begun = AtWork::Clock::now();
  guard.changed(*before, *after);
  open(guard, {"shared"});
  EXPECT_TRUE(eventually([&] { return !guard.refuses(kTool, kModel); }));
  EXPECT_GE(AtWork::Clock::now() - begun, hold);
}

TEST_F(VersionGuardTest, RefusesNobodyWithoutAHold) {
  AtWork at_work{0ms};
  VersionGuard guard{at_work, 0ms};
  guard.changed(*version({"shared", "old"}), *version({"shared", "new"}));
  open(guard, {"shared"});
  miss(guard, "old");
  EXPECT_FALSE(guard.refuses(kTool, kModel));
}

TEST_F(VersionGuardTest, TakesARemovalAndAnotherVersionForAChange) {
  AtWork at_work{kLong};
  VersionGuard guard{at_work, kLong};
  const auto old = version({"shared", "old"}), none = with({}), fresh = version({"shared", "new"});
  guard.changed(*old, *none);
  open(guard, {"shared"});
  EXPECT_FALSE(guard.refuses(kTool, kModel)) << "who has the old manifest open may read it";
  guard.changed(*none, *fresh);
  EXPECT_TRUE(guard.refuses(kTool, kModel));
  open(guard, {"shared"}, kOther);
  EXPECT_TRUE(guard.refuses(kOther, kModel));
  open(guard, {"new"}, kOther);
  EXPECT_FALSE(guard.refuses(kOther, kModel));
  miss(guard, "old", kOther);
  EXPECT_TRUE(guard.refuses(kOther, kModel));
}

// While it was gone a tool may have looked for every blob, and for the model, in vain.
TEST_F(VersionGuardTest, TakesAllOfAModelThatReturnsForAdded) {
  AtWork at_work{kLong};
  VersionGuard guard{at_work, kLong};
  const auto one = version({"shared", "own"}), none = with({});
  guard.changed(*one, *none);
  guard.changed(*none, *one);
  EXPECT_TRUE(guard.refuses(::getpid(), kModel)) << "who reads the manifest alone, too";
  open(guard, {"shared"});
  EXPECT_TRUE(guard.refuses(kTool, kModel));
  open(guard, {"own"});
  EXPECT_FALSE(guard.refuses(kTool, kModel));
}

// However long it was gone.
TEST_F(VersionGuardTest, TakesAllOfAModelThatReturnsLaterForAdded) {
  constexpr auto hold = 500ms;
  AtWork at_work{hold};
  VersionGuard guard{at_work, hold};
  const auto one = version({"shared", "own"}), none = with({});
  guard.changed(*one, *none);
  std::this_thread::sleep_for(hold + 100ms);
  guard.changed(*none, *one);
  EXPECT_TRUE(guard.refuses(::getpid(), kModel));
  EXPECT_TRUE(eventually([&] { return !guard.refuses(::getpid(), kModel); }));
}

TEST_F(VersionGuardTest, TakesWhoListsAModelThatReturned) {
  AtWork at_work{kLong};
  VersionGuard guard{at_work, kLong};
  const auto one = version({"shared", "own"}), none = with({});
  guard.changed(*one, *none);
  guard.changed(*none, *one);
  guard.begins(kTool, kModel);
  EXPECT_FALSE(guard.refuses(kTool, kModel));
  EXPECT_TRUE(guard.refuses(kOther, kModel));
  guard.changed(*one, *none);
  guard.changed(*none, *one);
  EXPECT_TRUE(guard.refuses(kTool, kModel)) << "it went once more";
}

TEST_F(VersionGuardTest, TakesWhoWasStartedAfterAModelReturned) {
  AtWork at_work{kLong};
  VersionGuard guard{at_work, kLong};
  const auto one = version({"shared", "own"}), none = with({});
  guard.changed(*one, *none);
  guard.changed(*none, *one);
  std::this_thread::sleep_for(1'050ms);
  const Background later{{"sleep", "inf"}};
  EXPECT_FALSE(guard.refuses(later.pid(), kModel));
  EXPECT_TRUE(guard.refuses(::getpid(), kModel));
}

TEST_F(VersionGuardTest, TakesAModelThatIsNewForNoChange) {
  AtWork at_work{kLong};
  VersionGuard guard{at_work, kLong};
  guard.changed(*with({}), *version({"shared", "own"}));
  open(guard, {"shared"});
  EXPECT_FALSE(guard.refuses(kTool, kModel));
}

TEST_F(VersionGuardTest, SumsUpChangesThatFollowOneAnother) {
  AtWork at_work{kLong};
  VersionGuard guard{at_work, kLong};
  const auto first = version({"shared", "1"}), second = version({"shared", "1", "2"}),
             third = version({"shared", "2", "3"});
  guard.changed(*first, *second);
  guard.changed(*second, *third);
  open(guard, {"shared", "3"});
  EXPECT_TRUE(guard.refuses(kTool, kModel)) << "the first version lacked 2 too";
  open(guard, {"2"});
  EXPECT_FALSE(guard.refuses(kTool, kModel));
  miss(guard, "1");
  EXPECT_TRUE(guard.refuses(kTool, kModel));
}

TEST_F(VersionGuardTest, TakesAnOlderVersionThatCameBackAsItIs) {
  AtWork at_work{kLong};
  VersionGuard guard{at_work, kLong};
  const auto first = version({"shared", "1"}), second = version({"shared", "2"});
  guard.changed(*first, *second);
  guard.changed(*second, *first);
  open(guard, {"shared"});
  EXPECT_TRUE(guard.refuses(kTool, kModel)) << "by what the second listed";
  open(guard, {"1"});
  EXPECT_FALSE(guard.refuses(kTool, kModel));
}

TEST_F(VersionGuardTest, FindsChangesAmongManyModels) {
  AtWork at_work{kLong};
  VersionGuard guard{at_work, kLong};
  const auto before = with({{"0:t", {"x"}}, {"a:t", {"s", "old"}}, {"b:t", {"s"}}, {"z:t", {"x"}}});
  const auto after = with({{"a:t", {"s", "new"}}, {"b:t", {"s"}}, {"c:t", {"s", "n"}}});
  guard.changed(*before, *after);
  open(guard, {"s", "x"});
  EXPECT_TRUE(guard.refuses(kTool, "a+t"));
  for (const char* same : {"0+t", "b+t", "c+t", "z+t"}) EXPECT_FALSE(guard.refuses(kTool, same));
}

TEST_F(VersionGuardTest, MayBeAskedByManyThreads) {
  AtWork at_work{kLong};
  VersionGuard guard{at_work, kLong};
  const auto first = version({"shared", "1"}), second = version({"shared", "2"});
  std::vector<std::thread> threads;
  for (pid_t tool = 1; tool <= 4; ++tool) {
    threads.emplace_back([&, tool] {
      for (int i = 0; i < 300; ++i) {
        open(guard, {"shared"}, tool);
        miss(guard, "1", tool);
        (void)guard.refuses(tool, kModel);
      }
    });
  }
  for (int i = 0; i < 100; ++i) {
    guard.changed(*first, *second);
    guard.changed(*second, *first);
  }
  for (std::thread& thread : threads) thread.join();
  open(guard, {"1", "2"}, kOther);
  EXPECT_FALSE(guard.refuses(kOther, kModel));
}

// ---- directories that are no more ----

TEST_F(VersionGuardAfterAChange, RefusesAToolThatAskedForADirectoryThatIsNoMoreUntilItBeginsAnew) {
  EXPECT_TRUE(guard_.missed_directory(kTool, kModel));
  EXPECT_FALSE(guard_.missed_directory(kTool, kModel));  // it is known
  EXPECT_TRUE(guard_.refuses(kTool, kModel));
  EXPECT_FALSE(guard_.refuses(kOther, kModel));
  guard_.begins(kTool, kModel);
  EXPECT_FALSE(guard_.refuses(kTool, kModel));
}

TEST_F(VersionGuardAfterAChange, TakesADirectoryOfAnotherModelForNoMiss) {
  EXPECT_FALSE(guard_.missed_directory(kTool, "another+t"));
  EXPECT_FALSE(guard_.refuses(kTool, kModel));
}

// ---- by the file system ----

TEST_F(VersionGuardTest, StandsInFrontOfTheManifestInTheView) {
  const auto tree = [&](const CatalogPtr& catalog, const Tree* previous = nullptr) {
    return build_tree(catalog, {}, {"/view", store_.root()}, previous);
  };
  FileSystem view{dir_,
                  tree(version({"shared", "old"})),
                  {},
                  [](const std::string&) {},
                  [](const CacheNotices&) {},
                  kLong};
  view.publish(tree(version({"shared", "new"}), view.current().get()));
  const auto at = [&](const fs::path& path) {
    NodeRef node = view.find(kRootInode);
    for (const fs::path& name : path) node.node = node.tree->lookup(*node, name.string());
    return node;
  };
  const auto blobs = at("models/a+t/blobs");
  const auto manifest = at("models/a+t/manifests/registry.ollama.ai/library/a/t");
  const auto open = [&](const NodeRef& node, pid_t tool) {
    std::error_code ec;
    (void)view.open_file(node, ec, Tool{tool});
    return ec;
  };
  const auto blob = [&](const std::string& content, pid_t tool) {
    std::error_code ec;
    const NodeRef node = view.lookup(blobs, Digest::of(content).blob_name(), ec, Tool{tool});
    return ec ? ec : open(node, tool);
  };
  EXPECT_FALSE(open(manifest, 1));
  EXPECT_FALSE(blob("shared", 2));
  EXPECT_EQ(open(manifest, 2), std::errc::io_error);
  EXPECT_EQ(blob("old", 3), std::errc::no_such_file_or_directory);
  EXPECT_EQ(open(manifest, 3), std::errc::io_error);
  EXPECT_FALSE(blob("shared", 4) || blob("new", 4));
  EXPECT_FALSE(open(manifest, 4));
  EXPECT_FALSE(open(manifest, 1));
}

}  // namespace
}  // namespace ollamafs::test
