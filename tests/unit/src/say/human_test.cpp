#include "src/say/human.h"

#include <gtest/gtest.h>

#include <cstdint>
#include <limits>
#include <string>

namespace ollamafs::test {
namespace {

// What Ollama itself prints was taken from its format/bytes.go and format/time.go, where the
// borders are (docs/store-format.md §6).

TEST(HumanSize, IsInBytesBelowAThousand) {
  EXPECT_EQ(human_size(0), "0 B");
  EXPECT_EQ(human_size(1), "1 B");
  EXPECT_EQ(human_size(70), "70 B");
  EXPECT_EQ(human_size(999), "999 B");
}

TEST(HumanSize, ChangesItsUnitAtEachThousand) {
  EXPECT_EQ(human_size(1'000), "1 KB");
  EXPECT_EQ(human_size(999'999), "999 KB");
  EXPECT_EQ(human_size(1'000'000), "1 MB");
  EXPECT_EQ(human_size(999'999'999), "999 MB");
  EXPECT_EQ(human_size(1'000'000'000), "1 GB");
  EXPECT_EQ(human_size(999'999'999'999), "999 GB");
  EXPECT_EQ(human_size(1'000'000'000'000), "1 TB");
}

TEST(HumanSize, HasOneDecimalBelowTenUnlessItIsWhole) {
  EXPECT_EQ(human_size(1'001), "1.0 KB");  // not whole, and so it has a decimal
  EXPECT_EQ(human_size(1'500), "1.5 KB");
  EXPECT_EQ(human_size(2'000), "2 KB");
  EXPECT_EQ(human_size(9'900), "9.9 KB");
  EXPECT_EQ(human_size(9'949), "9.9 KB");
  EXPECT_EQ(human_size(9'951), "10.0 KB");  // rounded, as Ollama does it
  EXPECT_EQ(human_size(9'999), "10.0 KB");
}

TEST(HumanSize, IsCutFromTenOn) {
  EXPECT_EQ(human_size(10'000), "10 KB");
  EXPECT_EQ(human_size(10'999), "10 KB");
  EXPECT_EQ(human_size(99'999), "99 KB");
  EXPECT_EQ(human_size(100'999), "100 KB");
  EXPECT_EQ(human_size(12'999'999'999'999), "12 TB");
}

// docs/store-format.md §12: what `ollama list` makes of these.
TEST(HumanSize, IsWhatOllamaPrintedForRealModels) {
  EXPECT_EQ(human_size(2'019'378'105), "2.0 GB");
  EXPECT_EQ(human_size(6'037'237'450), "6.0 GB");
  EXPECT_EQ(human_size(482'743'556), "482 MB");
}

TEST(HumanSize, HoldsTheLargestSize) {
  EXPECT_EQ(human_size(std::numeric_limits<std::int64_t>::max()), "9223372 TB");
}

constexpr std::int64_t kNow = 1'760'000'000;
constexpr std::int64_t kMinute = 60, kHour = 3600, kDay = 86'400;

std::string ago(std::int64_t seconds) {
  return human_time(kNow - seconds, kNow);
}

TEST(HumanTime, IsInSecondsBelowAMinute) {
  EXPECT_EQ(ago(0), "Less than a second ago");
  EXPECT_EQ(ago(1), "1 second ago");
  EXPECT_EQ(ago(2), "2 seconds ago");
  EXPECT_EQ(ago(59), "59 seconds ago");
}

TEST(HumanTime, IsInMinutesBelowAnHour) {
  EXPECT_EQ(ago(60), "About a minute ago");
  EXPECT_EQ(ago(119), "About a minute ago");
  EXPECT_EQ(ago(120), "2 minutes ago");
  EXPECT_EQ(ago(kHour - 1), "59 minutes ago");
}

TEST(HumanTime, IsInRoundedHoursBelowTwoDays) {
  EXPECT_EQ(ago(kHour), "About an hour ago");
  EXPECT_EQ(ago(kHour + 30 * kMinute - 1), "About an hour ago");
  EXPECT_EQ(ago(kHour + 30 * kMinute), "2 hours ago");
  EXPECT_EQ(ago(47 * kHour), "47 hours ago");
  EXPECT_EQ(ago(47 * kHour + 30 * kMinute - 1), "47 hours ago");
}

TEST(HumanTime, IsInDaysBelowTwoWeeks) {
  EXPECT_EQ(ago(47 * kHour + 30 * kMinute), "2 days ago");
  EXPECT_EQ(ago(2 * kDay), "2 days ago");
  EXPECT_EQ(ago(3 * kDay - kHour), "2 days ago");
  EXPECT_EQ(ago(3 * kDay), "3 days ago");
  EXPECT_EQ(ago(14 * kDay - kHour), "13 days ago");
}

TEST(HumanTime, IsInWeeksBelowTwoMonths) {
  EXPECT_EQ(ago(14 * kDay), "2 weeks ago");
  EXPECT_EQ(ago(21 * kDay), "3 weeks ago");
  EXPECT_EQ(ago(60 * kDay - kHour), "8 weeks ago");
}

TEST(HumanTime, IsInMonthsBelowTwoYears) {
  EXPECT_EQ(ago(60 * kDay), "2 months ago");
  EXPECT_EQ(ago(365 * kDay), "12 months ago");
  EXPECT_EQ(ago(730 * kDay - kHour), "24 months ago");
}

TEST(HumanTime, IsInYearsFromTwoYearsOn) {
  EXPECT_EQ(ago(730 * kDay), "2 years ago");
  EXPECT_EQ(ago(3 * 365 * kDay - kHour), "2 years ago");
  EXPECT_EQ(ago(3 * 365 * kDay), "3 years ago");
  EXPECT_EQ(ago(kNow), "55 years ago");  // a manifest dated 1970
}

TEST(HumanTime, MayLieAhead) {
  EXPECT_EQ(human_time(kNow + 1, kNow), "1 second from now");
  EXPECT_EQ(human_time(kNow + 2 * kDay, kNow), "2 days from now");
  EXPECT_EQ(human_time(kNow + 20 * 365 * kDay, kNow), "20 years from now");
}

// Ollama's own word for what is more than twenty years ahead.
TEST(HumanTime, IsForeverWhenItLiesFarAhead) {
  EXPECT_EQ(human_time(kNow + 21 * 365 * kDay, kNow), "Forever");
}

TEST(UtcTime, IsIso8601) {
  EXPECT_EQ(utc_time(0), "1970-01-01T00:00:00Z");
  EXPECT_EQ(utc_time(1'688'169'600), "2023-07-01T00:00:00Z");
  EXPECT_EQ(utc_time(951'782'399), "2000-02-28T23:59:59Z");
  EXPECT_EQ(utc_time(951'782'400), "2000-02-29T00:00:00Z");
  EXPECT_EQ(utc_time(-1), "1969-12-31T23:59:59Z");
  EXPECT_EQ(utc_time(4'294'967'296), "2106-02-07T06:28:16Z");
}

}  // namespace
}  // namespace ollamafs::test
