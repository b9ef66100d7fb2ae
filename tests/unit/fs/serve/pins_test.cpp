#include "fs/serve/pins.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <filesystem>
#include <memory>
#include <optional>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include "tests/support/process.h"
#include "tests/support/store_builder.h"
#include "tests/support/temp_dir.h"

namespace ollamafs::test {
namespace {

namespace fs = std::filesystem;
using namespace std::chrono_literals;
using ::testing::ElementsAre;
using ::testing::IsEmpty;

using Clock = Pins::Clock;
using CatalogPtr = std::shared_ptr<const Catalog>;

constexpr auto kLong = std::chrono::hours{1};
constexpr pid_t kTool = 4'000'000;  // there is no such process

// Models one and two share their template; other shares nothing. Every blob has a descriptor of its
// own while it is open.
class PinsTest : public ::testing::Test {
 protected:
  PinsTest() {
    shared_ = store_.layer(kTemplateType, "shared");
    write("one", {"one a", "one b"}, true);
    write("two", {"two a"}, true);
    write("other", {"other a", "other b"});
    read();
  }

  void write(const std::string& name, const std::vector<std::string>& contents,
             bool with_shared = false) const {
    ManifestSpec manifest;
    for (const std::string& content : contents)
      manifest.layers.push_back(store_.layer(kModelType, content));
    if (with_shared) manifest.layers.push_back(shared_);
    store_.v1(name + ":t", manifest);
  }
  void read() { catalog_ = Catalog::read(dir_); }

  [[nodiscard]] std::uint32_t blob(const std::string& content) const {
    const auto it = std::ranges::find(catalog_->blobs(), Digest::of(content), &Blob::digest);
    EXPECT_NE(it, catalog_->blobs().end()) << content;
    return static_cast<std::uint32_t>(it - catalog_->blobs().begin());
  }
  [[nodiscard]] Pins::Use open(Pins& pins, const std::string& content) const {
    return pins.open(*catalog_, blob(content), kTool);
  }
  [[nodiscard]] std::vector<std::string> pinned(Pins& pins) const {
    return pinned(pins, *catalog_);
  }
  [[nodiscard]] static std::vector<std::string> pinned(Pins& pins, const Catalog& catalog) {
    std::vector<std::string> names;
    for (const std::uint32_t i : pins.pinned(catalog)) names.push_back(catalog.models()[i].shown);
    return names;
  }

  // Whether a blob can be opened, from what the catalog says.
  [[nodiscard]] bool can_be_had(const std::string& content) {
    std::error_code ec;
    const auto open = pool_.open(catalog_->blobs()[blob(content)], ec);
    return open != nullptr;
  }

  TempDir temp_;
  StoreBuilder store_{temp_ / "models"};
  StoreDir dir_{temp_ / "models", OutsideLinks::refuse};
  BlobPool pool_{dir_, {.descriptors = 1000, .memory = 0, .small = 0}};
  LayerSpec shared_;
  CatalogPtr catalog_;
};

// ---- which models, and for how long ----

TEST_F(PinsTest, PinNothingBeforeABlobIsOpened) {
  Pins pins{pool_, kLong};
  EXPECT_THAT(pinned(pins), IsEmpty());
  EXPECT_FALSE(pins.next_end());
}

TEST_F(PinsTest, PinTheModelsThatNameAnOpenBlob) {
  Pins pins{pool_, kLong};
  const auto use = open(pins, "other a");
  EXPECT_THAT(pinned(pins), ElementsAre("other:t"));
  const auto shared = open(pins, "shared");
  EXPECT_THAT(pinned(pins), ElementsAre("one:t", "other:t", "two:t"));
}

// Nobody can be in the midst of it, and what mends it must be seen.
TEST_F(PinsTest, PinNoModelThatIsBroken) {
  fs::remove(store_.blob_path(Digest::of("two a")));
  read();
  Pins pins{pool_, kLong};
  const auto use = open(pins, "shared");
  EXPECT_THAT(pinned(pins), ElementsAre("one:t"));
}

TEST_F(PinsTest, PinAModelOnceThoughManyOfItsBlobsAreOpen) {
  Pins pins{pool_, kLong};
  const auto a = open(pins, "one a");
  const auto b = open(pins, "one b");
  EXPECT_THAT(pins.pinned(*catalog_), ElementsAre(0u));
}

// What came after the blob was opened, nobody can be in the midst of.
TEST_F(PinsTest, SpeakOfTheModelsOfTheCatalogThatIsShown) {
  Pins pins{pool_, kLong};
  const auto use = open(pins, "shared");
  fs::remove(store_.v1_path(*ModelName::parse("one:t")));
  write("late", {"late a"}, true);
  EXPECT_THAT(pinned(pins, *Catalog::read(dir_)), ElementsAre("two:t"));
}

TEST_F(PinsTest, PinNoOtherVersionThanThatWhichWasOpened) {
  Pins pins{pool_, kLong};
  const auto use = open(pins, "other a");
  write("other", {"other a", "other c"});
  EXPECT_THAT(pinned(pins, *Catalog::read(dir_)), IsEmpty());
  EXPECT_THAT(pinned(pins), ElementsAre("other:t"));
}

TEST_F(PinsTest, PinUntilTheTimeAfterTheLastClose) {
  constexpr auto hold = 100ms;
  Pins pins{pool_, hold};
  std::optional<Pins::Use> first{open(pins, "one a")}, second{open(pins, "one a")};
  first.reset();
  EXPECT_FALSE(eventually([&] { return pinned(pins).empty(); }, 2 * hold));  // one is open still
  const auto closed = Clock::now();
  second.reset();
  EXPECT_TRUE(eventually([&] { return pinned(pins).empty(); }));
  EXPECT_GE(Clock::now() - closed, hold);
  EXPECT_FALSE(pins.next_end());
}

TEST_F(PinsTest, SayWhenTheFirstUseIsOver) {
  Pins pins{pool_, kLong};
  const auto before = Clock::now();
  { const auto use = open(pins, "one a"); }
  const auto after = Clock::now();
  { const auto use = open(pins, "other a"); }
  EXPECT_GE(pins.next_end(), before + kLong);
  EXPECT_LE(pins.next_end(), after + kLong);
}

// Nobody is told of a close. Who waits has to wake up in time for the earliest that may come.
TEST_F(PinsTest, SayNoLaterThanWhenAnOpenUseMayBeOver) {
  for (const Pins::Clock::duration hold : {0ms, 100ms}) {
    Pins pins{pool_, std::chrono::duration_cast<std::chrono::milliseconds>(hold)};
    const auto use = open(pins, "one a");
    const auto end = pins.next_end();
    ASSERT_TRUE(end);
    EXPECT_GT(*end, Clock::now()) << "who waits must not spin";
    EXPECT_LE(*end, Clock::now() + std::max<Clock::duration>(hold, 1s));
  }
}

TEST_F(PinsTest, PinOnIfABlobIsOpenedAgainInTime) {
  constexpr auto hold = 100ms;
  Pins pins{pool_, hold};
  const auto begun = pins.begun();
  { const auto use = open(pins, "one a"); }
  EXPECT_EQ(pins.begun(), begun + 1);
  const auto again = open(pins, "one a");
  EXPECT_EQ(pins.begun(), begun + 1) << "it is the same use";
  EXPECT_FALSE(eventually([&] { return pinned(pins).empty(); }, 2 * hold));
}

TEST_F(PinsTest, LetGoAtTheLastCloseWithoutAHold) {
  Pins pins{pool_, 0ms};
  {
    const auto first = open(pins, "one a");
    const auto second = open(pins, "one a");
    EXPECT_THAT(pinned(pins), ElementsAre("one:t"));
    EXPECT_EQ(pool_.usage().blobs, 0u) << "who opened it has it";
  }
  EXPECT_THAT(pinned(pins), IsEmpty());
  EXPECT_FALSE(pins.next_end());
}

TEST_F(PinsTest, DoNotCountWhatIsOpenedWhileTheyAreNotEnabled) {
  Pins pins{pool_, kLong};
  pins.enable(false);
  {
    const auto use = open(pins, "one a");
    EXPECT_THAT(pinned(pins), IsEmpty());
    pins.enable(true);
    const auto counted = open(pins, "other a");
    EXPECT_THAT(pinned(pins), ElementsAre("other:t"));
  }
  EXPECT_THAT(pinned(pins), ElementsAre("other:t"));
  EXPECT_EQ(pins.begun(), 1u);
}

TEST_F(PinsTest, EndAUseOnceThoughItWasMoved) {
  Pins pins{pool_, 0ms};
  std::optional<Pins::Use> use{open(pins, "one a")};
  {
    const Pins::Use moved{std::move(*use)};
    use.reset();
    EXPECT_THAT(pinned(pins), ElementsAre("one:t"));
  }
  EXPECT_THAT(pinned(pins), IsEmpty());
}

// ---- what is held open ----

TEST_F(PinsTest, HoldTheOtherBlobsOfAModelThoughTheirFilesAreRemoved) {
  Pins pins{pool_, kLong};
  { const auto use = open(pins, "one a"); }
  fs::remove_all(store_.root() / "blobs");
  for (const char* content : {"one a", "one b", "shared"}) EXPECT_TRUE(can_be_had(content));
  EXPECT_FALSE(can_be_had("two a"));
  EXPECT_FALSE(can_be_had("other a"));
}

TEST_F(PinsTest, HoldThemOfEveryModelThatMayBeMeant) {
  Pins pins{pool_, kLong};
  const auto use = open(pins, "shared");
  fs::remove_all(store_.root() / "blobs");
  for (const char* content : {"one a", "one b", "two a"}) EXPECT_TRUE(can_be_had(content));
}

// A tool that copies two models begins with the second while a blob that they share counts as open.
TEST_F(PinsTest, HoldThemOfAModelThatCameWhileTheBlobWasInUse) {
  Pins pins{pool_, kLong};
  { const auto use = open(pins, "shared"); }
  write("late", {"late a"}, true);
  read();
  { const auto use = open(pins, "shared"); }
  fs::remove_all(store_.root() / "blobs");
  EXPECT_TRUE(can_be_had("late a"));
  EXPECT_TRUE(can_be_had("one b"));
}

TEST_F(PinsTest, CloseWhatTheyHoldWhenTheUseIsOver) {
  Pins pins{pool_, 1ms};
  { const auto use = open(pins, "shared"); }
  EXPECT_EQ(pool_.usage().blobs, 4u);
  EXPECT_EQ(pool_.usage().descriptors, 4u);
  EXPECT_TRUE(eventually([&] { return pinned(pins).empty(); }));
  EXPECT_EQ(pool_.usage().blobs, 0u);
  EXPECT_EQ(pool_.usage().descriptors, 0u);
}

TEST_F(PinsTest, OpenWhatTheyHoldOnceForSeveralUses) {
  Pins pins{pool_, kLong};
  const auto a = open(pins, "one a");
  const auto b = open(pins, "one b");
  EXPECT_EQ(pool_.usage().blobs, 3u);
}

TEST_F(PinsTest, PinNothingByABlobThatManyModelsName) {
  for (int i = 0; i < 16; ++i) write("many" + std::to_string(i), {"m" + std::to_string(i)}, true);
  read();
  Pins pins{pool_, kLong};
  const auto use = open(pins, "shared");
  EXPECT_THAT(pinned(pins), IsEmpty());
  EXPECT_EQ(pool_.usage().blobs, 0u);
  const auto own = open(pins, "one a");
  EXPECT_THAT(pinned(pins), ElementsAre("one:t"));
  EXPECT_EQ(pool_.usage().blobs, 3u) << "which tells which of them is meant";
}

// Ollama has removed one already: the version cannot be shown any longer.
TEST_F(PinsTest, PinNoVersionOfWhichABlobCannotBeHeld) {
  fs::remove(store_.blob_path(Digest::of("one b")));
  Pins pins{pool_, kLong};
  const auto begun = pins.begun();
  const auto use = open(pins, "one a");
  EXPECT_THAT(pinned(pins), IsEmpty());
  EXPECT_EQ(pool_.usage().blobs, 0u);
  EXPECT_EQ(pins.begun(), begun);
}

// Beyond the limits a blob is opened anew for every reading, which fails when its file is removed.
TEST_F(PinsTest, PinNoVersionOfMoreBlobsThanCanBeHeldOpen) {
  BlobPool small{dir_, {.descriptors = 2, .memory = 0, .small = 0}};
  Pins pins{small, kLong};
  const auto one = open(pins, "one a");
  EXPECT_THAT(pinned(pins), IsEmpty());
  const auto other = open(pins, "two a");
  EXPECT_THAT(pinned(pins), ElementsAre("two:t"));
}

// ---- what the store has in another version by now ----

class OutdatedPins : public PinsTest {
 protected:
  OutdatedPins() { pins_.set_outdated({"one+t"}); }
  Pins pins_{pool_, kLong};
};

TEST_F(OutdatedPins, AreReleasedWhenEveryProcessThatUsedThemHasEnded) {
  { const auto use = open(pins_, "one a"); }
  EXPECT_THAT(pinned(pins_), ElementsAre("one:t"));
  EXPECT_TRUE(pins_.release("one+t"));
  EXPECT_THAT(pinned(pins_), IsEmpty());
  EXPECT_TRUE(pins_.take_released());
  EXPECT_FALSE(pins_.take_released());
  EXPECT_TRUE(pins_.release("one+t")) << "it is released";
}

TEST_F(OutdatedPins, StayWhileAProcessThatUsedThemLives) {
  const Background process{{"sleep", "inf"}};
  { const auto use = pins_.open(*catalog_, blob("one a"), process.pid()); }
  { const auto use = open(pins_, "one a"); }
  EXPECT_FALSE(pins_.release("one+t"));
  EXPECT_THAT(pinned(pins_), ElementsAre("one:t"));
}

TEST_F(OutdatedPins, StayWhileABlobIsOpen) {
  const auto use = open(pins_, "one a");
  EXPECT_FALSE(pins_.release("one+t"));
  EXPECT_THAT(pinned(pins_), ElementsAre("one:t"));
}

TEST_F(OutdatedPins, StayOfAModelThatIsNotOutdated) {
  { const auto use = open(pins_, "two a"); }
  EXPECT_FALSE(pins_.is_outdated("two+t"));
  EXPECT_FALSE(pins_.release("two+t"));
  EXPECT_THAT(pinned(pins_), ElementsAre("two:t"));
  pins_.set_outdated({});
  EXPECT_FALSE(pins_.is_outdated("one+t"));
}

// ---- what must not happen while a use begins ----

TEST_F(PinsTest, ActOnlyIfNoUseHasBegun) {
  Pins pins{pool_, kLong};
  int acted = 0;
  const auto act = [&] { ++acted; };
  const auto begun = pins.begun();
  EXPECT_TRUE(pins.unless_begun(begun, act));
  const auto use = open(pins, "one a");
  EXPECT_FALSE(pins.unless_begun(begun, act));
  EXPECT_EQ(acted, 1);
  EXPECT_TRUE(pins.unless_begun(pins.begun(), act));
  EXPECT_EQ(acted, 2);
}

TEST_F(PinsTest, BeginAUseAfterTheActionThatIsUnderWay) {
  Pins pins{pool_, kLong};
  std::atomic<bool> done = false, wrong = false;
  std::thread opener;
  EXPECT_TRUE(pins.unless_begun(pins.begun(), [&] {
    opener = std::thread{[&] {
      const auto use = open(pins, "one a");
      if (!done) wrong = true;
    }};
    wrong = eventually([&] { return pool_.usage().blobs > 0; }, 50ms);
    done = true;
  }));
  opener.join();
  EXPECT_FALSE(wrong);
}

TEST_F(PinsTest, CountRightWhenManyThreadsOpenAndClose) {
  Pins pins{pool_, 1ms};
  const std::vector<std::string> contents{"one a", "one b",   "shared",
                                          "two a", "other a", "other b"};
  std::atomic<bool> stop = false;
  std::atomic<int> wrong = 0;
  std::thread looking{[&] {
    while (!stop) {
      (void)pinned(pins);
      (void)pins.next_end();
      (void)pins.unless_begun(pins.begun(), [] {});
    }
  }};
  std::vector<std::thread> threads;
  for (unsigned thread = 0; thread < 6; ++thread) {
    threads.emplace_back([&, thread] {
      std::mt19937_64 random{thread};
      for (int i = 0; i < 300; ++i) {
        const std::uint32_t index = blob(contents[random() % contents.size()]);
        const auto use = pins.open(*catalog_, index, kTool);
        const auto user = catalog_->users(index).front();
        if (!std::ranges::binary_search(pins.pinned(*catalog_), user)) ++wrong;
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  stop = true;
  looking.join();
  EXPECT_EQ(wrong, 0);
  EXPECT_TRUE(eventually([&] { return pinned(pins).empty(); }));
  EXPECT_EQ(pool_.usage().blobs, 0u);
  EXPECT_FALSE(pins.next_end());
}

}  // namespace
}  // namespace ollamafs::test
