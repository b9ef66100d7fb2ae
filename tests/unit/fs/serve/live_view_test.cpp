#include "fs/serve/live_view.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <filesystem>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "fs/views/views.h"
#include "store/catalog/model_query.h"
#include "tests/support/process.h"
#include "tests/support/read_back.h"
#include "tests/support/store_builder.h"
#include "tests/support/temp_dir.h"

namespace ollamafs::test {
namespace {

namespace fs = std::filesystem;
using namespace std::chrono_literals;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

// A store with a:t and b:t, shown and followed.
class LiveViewTest : public ::testing::Test {
 protected:
  LiveViewTest() {
    shared_ = builder_.layer(kTemplateType, "shared");
    write("a:t", "a");
    write("b:t", "b");
  }

  // A model of one blob of its own and one that all share.
  void write(const std::string& name, const std::string& own) const {
    ManifestSpec manifest;
    manifest.layers = {builder_.layer(kModelType, own), shared_};
    // At once, as servers since 0.40 do.
    const fs::path path = builder_.v1_path(*ModelName::parse(name));
    write_file(path.parent_path() / ".manifest-1", manifest.json());
    fs::rename(path.parent_path() / ".manifest-1", path);
  }
  void remove(const std::string& name) const {
    fs::remove(builder_.v1_path(*ModelName::parse(name)));
  }

  void start(bool watch = true, std::chrono::milliseconds hold = 0ms,
             LiveView::Options options = {}) {
    scanner_ = std::make_unique<StoreScanner>(dir_, watch);
    auto first = scanner_->scan();
    view_ = std::make_unique<FileSystem>(
        dir_, tree_of(first, first, nullptr), BlobLimits{}, [](const std::string&) {},
        [](const CacheNotices&) {}, hold);
    LiveView::Calls calls;
    calls.make_tree = [this](std::shared_ptr<const Catalog> catalog,
                             std::shared_ptr<const Catalog> stored, const Tree* previous) {
      ++trees_;
      outdated_ = false;
      std::this_thread::sleep_for(tree_takes_.load());
      if (fail_) throw std::runtime_error{"no tree"};
      return tree_of(std::move(catalog), std::move(stored), previous);
    };
    calls.is_outdated = [this](const Tree&) { return outdated_.load(); };
    calls.changed = [this](const Catalog&, const Catalog&) { ++changes_; };
    calls.note = [this](const std::string& text) {
      const std::scoped_lock lock{mutex_};
      notes_.push_back(text);
    };
    options.quiet = 5ms;
    options.patience = 50ms;
    live_ = std::make_unique<LiveView>(*scanner_, *view_, std::move(first), calls, options);
  }
  [[nodiscard]] std::shared_ptr<const Tree> tree_of(std::shared_ptr<const Catalog> catalog,
                                                    std::shared_ptr<const Catalog> stored,
                                                    const Tree* previous) const {
    return build_tree(std::move(catalog), std::move(stored), {}, {"/view", builder_.root()},
                      previous);
  }

  // Writes to a model's manifest as nobody sees it, by a name that it got when it was known.
  void write_unseen(const std::string& name, const std::string& own) {
    const fs::path other = temp_ / "other";
    fs::create_hard_link(builder_.v1_path(*ModelName::parse(name)), other);
    ManifestSpec manifest;
    manifest.layers = {builder_.layer(kModelType, own), shared_};
    write_file(other, manifest.json());
  }

  [[nodiscard]] std::vector<std::string> shown() const {
    std::vector<std::string> names;
    const auto tree = view_->current();
    for (const Model& model : tree->catalog().models()) names.push_back(model.shown);
    return names;
  }
  [[nodiscard]] bool shows(const std::vector<std::string>& names,
                           std::chrono::milliseconds within = 20s) const {
    return eventually([&] { return shown() == names; }, within);
  }
  // The version of a model that is shown.
  [[nodiscard]] std::string version(const std::string& name) const {
    const auto tree = view_->current();
    const Model* const model = find_model(tree->catalog(), name);
    return model ? model->manifest->digest.to_string() : "";
  }
  [[nodiscard]] std::vector<std::string> notes() {
    const std::scoped_lock lock{mutex_};
    return notes_;
  }

  // Opens a blob of a model through the view.
  [[nodiscard]] std::unique_ptr<OpenFile> open(const std::string& model,
                                               const std::string& content) {
    NodeRef node = view_->find(kRootInode);
    const fs::path path = "models/" + model + "/blobs/" + Digest::of(content).blob_name();
    for (const fs::path& name : path) {
      if (node) node.node = node.tree->lookup(*node, name.string());
    }
    std::error_code ec;
    auto file = node ? view_->open_file(node, ec) : nullptr;
    EXPECT_TRUE(file) << path;
    return file;
  }

  TempDir temp_;
  StoreBuilder builder_{temp_ / "models"};
  StoreDir dir_{temp_ / "models", OutsideLinks::refuse};
  LayerSpec shared_;
  std::unique_ptr<StoreScanner> scanner_;
  std::unique_ptr<FileSystem> view_;
  std::atomic<int> trees_ = 0, changes_ = 0;
  std::atomic<bool> fail_ = false, outdated_ = false;
  std::atomic<std::chrono::milliseconds> tree_takes_ = 0ms;
  std::mutex mutex_;
  std::vector<std::string> notes_;
  std::unique_ptr<LiveView> live_;  // ends before all that it works with
};

constexpr LiveView::Options kFastPoll{.poll = 20ms};

// ---- what is shown ----

TEST_F(LiveViewTest, ShowsWhatComesChangesAndGoes) {
  start();
  write("c:t", "c");
  EXPECT_TRUE(shows({"a:t", "b:t", "c:t"}));
  const std::string before = version("a:t");
  write("a:t", "another a");
  EXPECT_TRUE(eventually([&] { return version("a:t") != before; }));
  remove("b:t");
  EXPECT_TRUE(shows({"a:t", "c:t"}));
  fs::rename(builder_.root(), temp_ / "away");
  EXPECT_TRUE(shows({}));
  fs::rename(temp_ / "away", builder_.root());
  EXPECT_TRUE(shows({"a:t", "c:t"}));
  EXPECT_THAT(notes(), IsEmpty());
}

TEST_F(LiveViewTest, ShowsAChangeFromBeforeItBegan) {
  scanner_ = std::make_unique<StoreScanner>(dir_, true);
  const auto first = scanner_->scan();
  FileSystem view{dir_, tree_of(first, first, nullptr), {}, [](const std::string&) {}};
  write("c:t", "c");
  LiveView::Calls calls;
  calls.make_tree = [&](auto catalog, auto stored, const Tree* previous) {
    return tree_of(catalog, stored, previous);
  };
  calls.changed = [](const Catalog&, const Catalog&) {};
  calls.note = [](const std::string&) {};
  const LiveView live{*scanner_, view, first, calls, {}};
  EXPECT_TRUE(eventually([&] { return view.current()->catalog().models().size() == 3; }));
}

TEST_F(LiveViewTest, ShowsChangesWithoutAWatch) {
  start(false, 0ms, kFastPoll);
  write("c:t", "c");
  EXPECT_TRUE(shows({"a:t", "b:t", "c:t"}));
  remove("a:t");
  EXPECT_TRUE(shows({"b:t", "c:t"}));
}

TEST_F(LiveViewTest, ReadsAManifestAgainThatWasBeingWritten) {
  const fs::path path = builder_.v1_path(*ModelName::parse("c:t"));
  write_file(path, "{");
  start(false, 0ms, {.poll = 1h});
  EXPECT_THAT(shown(), ElementsAre("a:t", "b:t"));
  write_file(path, read_file(builder_.v1_path(*ModelName::parse("a:t"))));
  EXPECT_TRUE(shows({"a:t", "b:t", "c:t"}));
}

// ---- what it costs ----

TEST_F(LiveViewTest, MakesNoTreeWhereNothingChanged) {
  start(true, 0ms, {.poll = 5ms, .always_poll = true});
  EXPECT_FALSE(eventually([&] { return trees_ > 0; }, 200ms));
  EXPECT_EQ(changes_, 0);
  write("c:t", "c");
  EXPECT_TRUE(shows({"a:t", "b:t", "c:t"}));
  EXPECT_FALSE(eventually([&] { return trees_ > 1; }, 200ms));
  EXPECT_EQ(changes_, 1);
}

// Its archive is of what the store has.
TEST_F(LiveViewTest, MakesOneTreeWhileAModelInUseHoldsBackTheOnlyChange) {
  start(true, 1h, {.poll = 5ms, .always_poll = true});
  const auto file = open("a+t", "a");
  write("a:t", "another a");
  EXPECT_TRUE(eventually([&] { return trees_ == 1; }));
  EXPECT_FALSE(eventually([&] { return trees_ > 1; }, 200ms));
  EXPECT_EQ(changes_, 1);
  const auto shown = view_->current();
  EXPECT_NE(shown->catalog().at_view_name("a+t")->manifest->digest,
            shown->stored().at_view_name("a+t")->manifest->digest);
}

// ---- models in use ----

TEST_F(LiveViewTest, KeepsAModelInUseAndThenChangesItByItself) {
  constexpr auto hold = 300ms;
  start(true, hold);
  const std::string old = version("a:t");
  auto file = open("a+t", "a");
  write("a:t", "another a");
  fs::remove(builder_.blob_path(Digest::of("a")));
  ASSERT_TRUE(eventually([&] { return changes_ == 1; }));
  write("c:t", "c");
  ASSERT_TRUE(shows({"a:t", "b:t", "c:t"})) << "others do change, unless they share its blobs";
  EXPECT_EQ(version("a:t"), old);
  EXPECT_TRUE(open("a+t", "shared"));
  // Nothing happens in the store from here on.
  const auto closed = std::chrono::steady_clock::now();
  file.reset();
  EXPECT_EQ(version("a:t"), old);
  EXPECT_TRUE(eventually([&] { return version("a:t") != old; }));
  EXPECT_GE(std::chrono::steady_clock::now() - closed, hold);
  EXPECT_EQ(view_->usage().blobs, 0u);
}

TEST_F(LiveViewTest, KeepsAModelInUseThatIsRemoved) {
  start(true, 50ms);
  {
    const auto file = open("a+t", "a");
    remove("a:t");
    fs::remove(builder_.blob_path(Digest::of("a")));
    ASSERT_TRUE(eventually([&] { return changes_ == 1; }));
    EXPECT_THAT(shown(), ElementsAre("a:t", "b:t"));
    std::error_code ec;
    EXPECT_EQ(bytes_of(*view_, *file, 10, 0, ec), "a");
  }
  EXPECT_TRUE(shows({"b:t"}));
}

TEST_F(LiveViewTest, ChangesAModelAtTheLastCloseWithoutAHold) {
  start();
  auto file = open("a+t", "a");
  remove("a:t");
  ASSERT_TRUE(eventually([&] { return changes_ == 1; }));
  EXPECT_THAT(shown(), ElementsAre("a:t", "b:t"));
  file.reset();
  write_file(temp_ / "unrelated",
             "");  // it wakes up for this, and must not forget what it waits for
  EXPECT_TRUE(shows({"b:t"}));
}

TEST_F(LiveViewTest, LetsGoOfWhatItHeldThoughNothingChanged) {
  start(true, 20ms);
  { const auto file = open("a+t", "a"); }
  EXPECT_TRUE(eventually([&] { return view_->usage().blobs == 0; }));
  EXPECT_EQ(trees_, 0);
}

// What a catalog does not hold, as the modes of folders.
TEST_F(LiveViewTest, MakesATreeOfTheSameCatalogIfTheShownOneIsOutdated) {
  start();
  outdated_ = true;
  fs::permissions(builder_.root() / "manifests/registry.ollama.ai", fs::perms{0700});
  EXPECT_TRUE(eventually([&] { return trees_ == 1; }));
  EXPECT_EQ(changes_, 0);
}

// One tool after the other begins a use; the change must be seen all the same.
TEST_F(LiveViewTest, ShowsAChangeAlthoughUsesBeginAllTheTime) {
  start();
  tree_takes_ = 30ms;
  std::atomic<bool> done = false;
  std::thread tool{[&] {
    while (!done) (void)open("b+t", "b");
  }};
  write("c:t", "c");
  EXPECT_TRUE(shows({"a:t", "b:t", "c:t"}));
  done = true;
  tool.join();
}

// ---- troubles ----

TEST_F(LiveViewTest, ShowsWhatItHadWhileTheStoreCannotBeRead) {
  start(true, 0ms, kFastPoll);
  fs::rename(builder_.root(), temp_ / "away");
  fs::create_symlink("models", temp_ / "new");  // leads to itself, once it is there
  fs::rename(temp_ / "new", builder_.root());
  // Nothing may be there for a moment.
  ASSERT_TRUE(eventually([&] { return !notes().empty(); }));
  const auto before = shown();
  EXPECT_THAT(notes(), ElementsAre(HasSubstr("cannot be read")));
  write_file(temp_ / "away/manifests/registry.ollama.ai/library/c/t",
             read_file(temp_ / "away/manifests/registry.ollama.ai/library/a/t"));
  EXPECT_EQ(shown(), before);
  fs::remove(builder_.root());
  fs::rename(temp_ / "away", builder_.root());
  EXPECT_TRUE(shows({"a:t", "b:t", "c:t"}));
  EXPECT_EQ(notes().size(), 1u);
}

TEST_F(LiveViewTest, ShowsWhatItHadWhileNoTreeCanBeMade) {
  start();
  fail_ = true;
  write("c:t", "c");
  ASSERT_TRUE(eventually([&] { return trees_ > 1; })) << "it is tried again";
  EXPECT_THAT(shown(), ElementsAre("a:t", "b:t"));
  EXPECT_THAT(notes(), ElementsAre(HasSubstr("no tree")));
  fail_ = false;
  EXPECT_TRUE(shows({"a:t", "b:t", "c:t"}));
  EXPECT_EQ(changes_, 1);
  EXPECT_EQ(notes().size(), 1u);
}

TEST_F(LiveViewTest, SurvivesThatNoTreeCanBeMadeWhenAUseEnds) {
  start(true, 50ms);
  auto file = open("a+t", "a");
  remove("a:t");
  ASSERT_TRUE(eventually([&] { return changes_ == 1; }));
  fail_ = true;
  file.reset();
  ASSERT_TRUE(eventually([&] { return !notes().empty(); }));
  fail_ = false;
  EXPECT_TRUE(shows({"b:t"}));
}

// ---- its end ----

TEST_F(LiveViewTest, EndsAtOnce) {
  start(true, 1h);
  const auto file = open("a+t", "a");
  write("a:t", "another a");
  const auto begun = std::chrono::steady_clock::now();
  live_.reset();
  EXPECT_LT(std::chrono::steady_clock::now() - begun, 5s);
}

// ---- what is not seen at all ----

TEST_F(LiveViewTest, LooksAtEverythingNowAndThen) {
  std::this_thread::sleep_for(150ms);  // what was written just now is not believed in
  start(true, 0ms, {.look_again = 200ms});
  std::this_thread::sleep_for(50ms);
  const std::string before = version("a:t");
  write_unseen("a:t", "another a");
  EXPECT_TRUE(eventually([&] { return version("a:t") != before; }));
}

}  // namespace
}  // namespace ollamafs::test
