#include "store/layout/layout.h"

#include <gmock/gmock.h>

#include <cstdint>
#include <limits>
#include <random>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "tests/support/store_builder.h"

namespace ollamafs::test {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::SizeIs;

constexpr std::uint64_t kMax = std::numeric_limits<std::int64_t>::max();

Digest digest_of(int number) {
  return Digest::of(std::to_string(number));
}

// A layout and, byte by byte, what it must read as.
struct Sample {
  Layout layout;
  std::vector<std::string> blobs;
  std::string bytes;
};

Sample random_sample(std::mt19937_64& random) {
  const auto below = [&](std::uint64_t limit) { return random() % limit; };
  Layout::Builder builder;
  std::vector<std::string> blobs;
  std::string bytes;
  for (std::uint64_t pieces = 1 + below(30); pieces > 0; --pieces) {
    const std::string piece = random_bytes(random(), below(4) == 0 ? 0 : below(200));
    switch (below(3)) {
      case 0:
        builder.generated(piece);
        bytes += piece;
        break;
      case 1:
        builder.zeros(piece.size());
        bytes.append(piece.size(), '\0');
        break;
      default:
        builder.blob(Digest::of(piece), piece.size());
        blobs.push_back(piece);
        bytes += piece;
    }
  }
  return {std::move(builder).finish(), std::move(blobs), std::move(bytes)};
}

std::string read(const Sample& sample, std::uint64_t offset, std::uint64_t length) {
  std::string out;
  sample.layout.for_each_in(
      offset, length, [&](const Segment& segment, std::uint64_t at, std::uint64_t size) {
        EXPECT_GT(size, 0u);
        EXPECT_LT(at, segment.size);
        EXPECT_LE(size, segment.size - at);
        const std::string_view source = segment.is_generated()
                                            ? sample.layout.generated()
                                            : std::string_view{sample.blobs[segment.blob]};
        out += source.substr(segment.source + at, size);
      });
  return out;
}

TEST(LayoutBuilder, MergesNeighbouringGeneratedBytes) {
  Layout::Builder builder;
  builder.generated("head").zeros(3).generated("er").blob(digest_of(1), 10).zeros(2).generated("!");
  const Layout layout = std::move(builder).finish();
  ASSERT_THAT(layout.segments(), SizeIs(3));
  EXPECT_EQ(layout.segments()[0].size, 9u);
  EXPECT_EQ(layout.segments()[2].size, 3u);
  EXPECT_EQ(layout.generated(), std::string("head\0\0\0er\0\0!", 12));
  EXPECT_EQ(layout.size(), 22u);
}

TEST(LayoutBuilder, MakesNoSegmentOfNothing) {
  Layout::Builder builder;
  builder.generated("").zeros(0).blob(digest_of(1), 0).generated("a").blob(digest_of(2), 0);
  builder.generated("b").blob(digest_of(3), 7);
  const Layout layout = std::move(builder).finish();
  ASSERT_THAT(layout.segments(), SizeIs(2));
  EXPECT_EQ(layout.segments()[0].size, 2u);  // around an empty blob
  EXPECT_EQ(layout.blobs()[layout.segments()[1].blob], digest_of(3));
}

// Whoever opens the blobs opens empty ones too: they must be there and be empty.
TEST(LayoutBuilder, KeepsEmptyBlobsInItsListOfBlobs) {
  Layout::Builder builder;
  builder.blob(digest_of(1), 0).blob(digest_of(2), 5).blob(digest_of(3), 0);
  EXPECT_THAT(std::move(builder).finish().blobs(),
              ElementsAre(digest_of(1), digest_of(2), digest_of(3)));
}

TEST(LayoutBuilder, KnowsItsSizeBeforeTheEnd) {
  Layout::Builder builder;
  EXPECT_EQ(builder.size(), 0u);
  EXPECT_EQ(builder.blob(digest_of(1), 8'589'934'593).size(), 8'589'934'593u);
  EXPECT_EQ(builder.zeros(511).size(), 8'589'935'104u);
}

TEST(LayoutBuilder, GoesUpToTheLastFileOffset) {
  Layout::Builder builder;
  builder.generated("x").blob(digest_of(1), kMax - 1);
  EXPECT_EQ(builder.size(), kMax);
}

TEST(LayoutBuilder, RefusesAFileThatNoOffsetReaches) {
  EXPECT_THROW(Layout::Builder{}.blob(digest_of(1), kMax + 1), std::overflow_error);
  EXPECT_THROW(Layout::Builder{}.blob(digest_of(1), std::numeric_limits<std::uint64_t>::max()),
               std::overflow_error);
  EXPECT_THROW(Layout::Builder{}.blob(digest_of(1), kMax).generated("x"), std::overflow_error);
  EXPECT_THROW(Layout::Builder{}.blob(digest_of(1), kMax).zeros(1), std::overflow_error);
  EXPECT_THROW(Layout::Builder{}.generated("x").blob(digest_of(1), kMax), std::overflow_error);
}

TEST(LayoutBuilder, RefusesMoreZerosThanAnOffsetReaches) {
  EXPECT_THROW(Layout::Builder{}.zeros(kMax + 1), std::overflow_error);
}

TEST(Layout, HasSegmentsWithoutGapsAndOverlaps) {
  std::mt19937_64 random{2};
  for (int i = 0; i < 200; ++i) {
    const Sample sample = random_sample(random);
    std::uint64_t at = 0;
    bool after_generated = false;
    for (const Segment& segment : sample.layout.segments()) {
      ASSERT_EQ(segment.start, at);
      ASSERT_GT(segment.size, 0u);
      ASSERT_FALSE(after_generated && segment.is_generated());
      after_generated = segment.is_generated();
      at = segment.end();
    }
    ASSERT_EQ(at, sample.layout.size());
    ASSERT_EQ(at, sample.bytes.size());
  }
}

TEST(Layout, ReadsEveryRangeAsIfItWereOneFile) {
  std::mt19937_64 random{3};
  for (int i = 0; i < 200; ++i) {
    const Sample sample = random_sample(random);
    const std::uint64_t size = sample.bytes.size();
    for (int range = 0; range < 200; ++range) {
      const std::uint64_t offset = random() % (size + 20);  // some begin behind the end
      const std::uint64_t length = random() % (range % 4 == 0 ? size + 50 : 40);
      const std::string expected = offset >= size ? "" : sample.bytes.substr(offset, length);
      ASSERT_EQ(read(sample, offset, length), expected) << offset << "+" << length;
    }
  }
}

TEST(Layout, ReadsEachSingleByteAndAllAtOnce) {
  std::mt19937_64 random{4};
  const Sample sample = random_sample(random);
  ASSERT_THAT(sample.bytes, Not(IsEmpty()));
  for (std::uint64_t i = 0; i < sample.bytes.size(); ++i) {
    ASSERT_EQ(read(sample, i, 1), sample.bytes.substr(i, 1)) << i;
  }
  EXPECT_EQ(read(sample, 0, sample.bytes.size()), sample.bytes);
}

TEST(Layout, CutsARangeOffAtTheEndOfTheFile) {
  std::mt19937_64 random{5};
  const Sample sample = random_sample(random);
  const std::uint64_t size = sample.bytes.size();
  constexpr std::uint64_t huge = std::numeric_limits<std::uint64_t>::max();
  // offset + length would wrap around here.
  for (const std::uint64_t length : {huge, huge - 1, huge - size, huge / 2, kMax}) {
    EXPECT_EQ(read(sample, 0, length), sample.bytes);
    EXPECT_EQ(read(sample, size - 1, length), sample.bytes.substr(size - 1));
    EXPECT_THAT(read(sample, size, length), IsEmpty());
    EXPECT_THAT(read(sample, huge, length), IsEmpty());
  }
}

TEST(Layout, VisitsNothingForNoLength) {
  std::mt19937_64 random{6};
  const Sample sample = random_sample(random);
  for (std::uint64_t offset = 0; offset < sample.bytes.size() + 2; ++offset) {
    sample.layout.for_each_in(offset, 0, [](const Segment&, std::uint64_t, std::uint64_t) {
      ADD_FAILURE() << "a visit for an empty range";
    });
  }
}

// ---- slices ----

// A slice with the blobs that it names.
Sample slice_of(const Sample& sample, std::uint64_t offset, std::uint64_t size) {
  Layout part = slice(sample.layout, offset, size);
  std::vector<std::string> blobs;
  blobs.reserve(part.blobs().size());
  for (const Digest& digest : part.blobs()) {
    for (const std::string& blob : sample.blobs) {
      if (Digest::of(blob) != digest) continue;
      blobs.push_back(blob);
      break;
    }
  }
  return {std::move(part), std::move(blobs), ""};
}

std::string bytes_of(const Sample& slice) {
  return read(slice, 0, slice.layout.size());
}

TEST(LayoutSlice, HasTheBytesOfAnyRange) {
  std::mt19937_64 random{7};
  for (int i = 0; i < 200; ++i) {
    const Sample sample = random_sample(random);
    const std::uint64_t size = sample.bytes.size();
    for (int range = 0; range < 50; ++range) {
      const std::uint64_t offset = random() % (size + 20);
      const std::uint64_t length = random() % (size + 50);
      const std::string expected = offset >= size ? "" : sample.bytes.substr(offset, length);
      const Sample part = slice_of(sample, offset, length);
      ASSERT_EQ(part.layout.size(), expected.size());
      ASSERT_EQ(bytes_of(part), expected) << offset << "+" << length;
    }
  }
}

TEST(LayoutSlice, IsOneOfManyThatMakeTheWhole) {
  std::mt19937_64 random{8};
  for (int i = 0; i < 200; ++i) {
    const Sample sample = random_sample(random);
    const std::uint64_t step = 1 + random() % 300;
    std::string all;
    for (std::uint64_t at = 0; at < sample.bytes.size(); at += step) {
      all += bytes_of(slice_of(sample, at, step));
    }
    ASSERT_EQ(all, sample.bytes) << step;
  }
}

TEST(LayoutSlice, IsCutWhereASegmentEndsAndInIt) {
  Layout::Builder builder;
  builder.generated("head").blob(digest_of(1), 10).blob(digest_of(2), 20).generated("end");
  const Layout whole = std::move(builder).finish();
  const Layout second = slice(whole, 14, 20);
  ASSERT_THAT(second.segments(), SizeIs(1));
  EXPECT_THAT(second.blobs(), ElementsAre(digest_of(2)));
  EXPECT_EQ(second.segments()[0].source, 0u);
  EXPECT_EQ(second.segments()[0].size, 20u);
  const Layout middle = slice(whole, 2, 7);
  ASSERT_THAT(middle.segments(), SizeIs(2));
  EXPECT_EQ(middle.generated(), "ad");
  EXPECT_EQ(middle.segments()[1].size, 5u);
  const Layout rest = slice(whole, 9, kMax);
  ASSERT_THAT(rest.segments(), SizeIs(3));
  EXPECT_EQ(rest.segments()[0].source, 5u);
  EXPECT_THAT(rest.blobs(), ElementsAre(digest_of(1), digest_of(2)));
  EXPECT_EQ(slice(whole, whole.size(), 1).size(), 0u);
}

TEST(Layout, MayBeEmpty) {
  const Layout layout = Layout::Builder{}.finish();
  EXPECT_EQ(layout.size(), 0u);
  EXPECT_THAT(layout.segments(), IsEmpty());
  layout.for_each_in(0, 1, [](const Segment&, std::uint64_t, std::uint64_t) {
    ADD_FAILURE() << "a visit in an empty file";
  });
}

// No read may be served out of a segment that its file offset does not reach.
TEST(Layout, ReachesTheEndOfTheLargestFile) {
  Layout::Builder builder;
  builder.blob(digest_of(1), kMax - 3).generated("end");
  const Layout layout = std::move(builder).finish();
  std::vector<std::uint64_t> sizes;
  layout.for_each_in(kMax - 5, 100, [&](const Segment& segment, std::uint64_t at, std::uint64_t n) {
    EXPECT_EQ(segment.start + at, sizes.empty() ? kMax - 5 : kMax - 3);
    sizes.push_back(n);
  });
  EXPECT_THAT(sizes, ElementsAre(2u, 3u));
}

}  // namespace
}  // namespace ollamafs::test
