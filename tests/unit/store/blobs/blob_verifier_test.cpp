#include "store/blobs/blob_verifier.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <filesystem>
#include <fstream>
#include <memory>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include "store/blobs/blob_pool.h"
#include "tests/support/store_builder.h"
#include "tests/support/temp_dir.h"

namespace ollamafs::test {
namespace {

namespace fs = std::filesystem;
using Verdict = BlobVerifier::Verdict;

// ---- the verifier, of bytes in memory ----

struct Verified {
  explicit Verified(std::string content) : Verified{content, Digest::of(content)} {}
  Verified(std::string content, const Digest& expected)
      : bytes{std::move(content)}, verifier{expected, bytes.size(), [this] { ++verdicts; }} {}

  std::error_code see(std::uint64_t offset, std::size_t size) {
    return verifier.see(std::string_view{bytes}.substr(offset, size), offset, read);
  }
  // All of it, as who waits for it does.
  std::error_code see_at_last(std::uint64_t offset, std::size_t size) {
    std::error_code ec = see(offset, size);
    while (ec == BlobFault::unverified) {
      if (ec = verifier.hash_on(1 << 20, read); !ec) ec = see(offset, size);
    }
    return ec;
  }

  std::string bytes;
  std::atomic<int> verdicts = 0;
  std::atomic<std::uint64_t> reread = 0;
  BlobVerifier::Read read = [this](char* out, std::size_t size, std::uint64_t offset) {
    reread += size;
    std::copy_n(bytes.data() + offset, size, out);
    return std::error_code{};
  };
  BlobVerifier verifier;
};

std::string flipped(std::string bytes, std::size_t at) {
  bytes[at] = static_cast<char>(bytes[at] ^ 1);
  return bytes;
}

constexpr std::size_t kSize = 10'000'003;

TEST(BlobVerifier, HashesWhoReadsStraightOnWithoutReadingAgain) {
  Verified blob{random_bytes(1, kSize)};
  for (std::size_t at = 0; at < kSize; at += 131'072) {
    EXPECT_EQ(blob.verifier.verdict(), Verdict::none);
    ASSERT_FALSE(blob.see(at, 131'072)) << at;
  }
  EXPECT_EQ(blob.verifier.verdict(), Verdict::good);
  EXPECT_EQ(blob.reread, 0U);
  EXPECT_EQ(blob.verdicts, 1);
}

TEST(BlobVerifier, KeepsTheLastByteOfABlobWithOneWrongBit) {
  const std::string good = random_bytes(2, kSize);
  for (const std::size_t at : {std::size_t{0}, kSize / 2, kSize - 1}) {
    Verified blob{flipped(good, at), Digest::of(good)};
    for (std::size_t from = 0; from < kSize; from += 1 << 20) {
      const bool is_last = from + (1 << 20) >= kSize;
      ASSERT_EQ(blob.see(from, 1 << 20),
                is_last ? make_error_code(BlobFault::wrong_digest) : std::error_code{});
    }
    EXPECT_EQ(blob.see(kSize - 1, 1), BlobFault::wrong_digest);
    EXPECT_FALSE(blob.see(0, kSize - 1));
    EXPECT_EQ(blob.verifier.hashed(), kSize);
  }
}

TEST(BlobVerifier, LetsNobodyJumpToTheLastByte) {
  Verified blob{random_bytes(3, kSize)};
  EXPECT_EQ(blob.see(kSize - 1, 1), BlobFault::unverified);
  EXPECT_EQ(blob.verifier.hashed(), 0U);
  EXPECT_FALSE(blob.see_at_last(kSize - 1, 1));
  EXPECT_EQ(blob.verifier.hashed(), kSize);
}

TEST(BlobVerifier, HashesNothingForWhoReadsFarAhead) {
  Verified blob{random_bytes(4, kSize)};
  EXPECT_FALSE(blob.see(5'000'000, 1 << 20));
  EXPECT_EQ(blob.verifier.hashed(), 0U);
  EXPECT_FALSE(blob.see(BlobVerifier::kInPassing, 10));  // a little ahead
  EXPECT_EQ(blob.verifier.hashed(), BlobVerifier::kInPassing + 10);
}

TEST(BlobVerifier, IsOfOneByte) {
  Verified good{"a"}, bad{"b", Digest::of("a")};
  EXPECT_FALSE(good.see(0, 1));
  EXPECT_EQ(bad.see(0, 1), BlobFault::wrong_digest);
}

TEST(BlobVerifier, SaysWhyTheRestCouldNotBeRead) {
  Verified blob{random_bytes(5, 1 << 20)};
  blob.read = [](char*, std::size_t, std::uint64_t) {
    return std::make_error_code(std::errc::too_many_files_open);
  };
  EXPECT_FALSE(blob.see(1000, 1000));
  EXPECT_EQ(blob.see(1000, (1 << 20) - 1000), std::errc::too_many_files_open);
  EXPECT_EQ(blob.verifier.verdict(), Verdict::none);
}

// The oracle: a range may be given away unless it has the last byte and the digest is wrong.
TEST(BlobVerifier, IsRightInAnyOrder) {
  std::mt19937_64 random{6};
  for (int round = 0; round < 40; ++round) {
    const std::size_t size = 1 + random() % 3'000'000;
    const std::string good = random_bytes(random(), size);
    const bool is_good = round % 2 == 0;
    Verified blob{is_good ? good : flipped(good, random() % size), Digest::of(good)};
    for (int i = 0; i < 50; ++i) {
      const std::size_t at = random() % size;
      const std::size_t length = std::min<std::size_t>(1 + random() % 500'000, size - at);
      ASSERT_EQ(!blob.see_at_last(at, length), is_good || at + length < size);
    }
    ASSERT_EQ(!blob.see_at_last(size - 1, 1), is_good);
    ASSERT_EQ(blob.verifier.hashed(), size);
    ASSERT_EQ(blob.verdicts, 1);
  }
}

TEST(BlobVerifier, HashesOnceForManyThreads) {
  for (const bool is_good : {true, false}) {
    const std::string good = random_bytes(7, kSize);
    Verified blob{is_good ? good : flipped(good, 1), Digest::of(good)};
    std::atomic<int> last_bytes = 0;
    std::vector<std::jthread> threads;
    for (unsigned i = 0; i < 4; ++i) {
      threads.emplace_back([&, i] {
        for (std::size_t at = i * 65'536; at < kSize; at += 131'072)
          if (const auto ec = blob.see(at, 65'536); ec && ec != BlobFault::unverified) break;
        if (!blob.see_at_last(kSize - 10, 10)) ++last_bytes;
      });
    }
    threads.clear();
    EXPECT_EQ(last_bytes, is_good ? 4 : 0);
    EXPECT_EQ(blob.verifier.hashed(), kSize);
    EXPECT_EQ(blob.verdicts, 1);
  }
}

// ---- open blobs ----

class VerifiedBlobs : public ::testing::TestWithParam<BlobLimits> {
 protected:
  Blob write(const std::string& content, const std::string& in_file) {
    const Digest digest = *Digest::parse(builder_.layer(kModelType, content).digest);
    write_file(builder_.blob_path(digest), in_file);
    age(digest);
    return inspect_blob(store_, digest);
  }
  // So that a later change has another time even where the clock of the file system is coarse.
  void age(const Digest& digest) {
    fs::last_write_time(builder_.blob_path(digest),
                        fs::file_time_type::clock::now() - std::chrono::hours{1});
  }
  void overwrite(const Blob& blob, std::size_t at, char byte) {
    std::fstream file{builder_.blob_path(blob.digest)};
    file.seekp(static_cast<std::streamoff>(at));
    file.put(byte);
  }
  std::error_code open_and_read(const Blob& blob) {
    std::error_code ec;
    const auto open = pool_.open(blob, ec);
    return ec ? ec : read(*open);
  }
  static std::error_code read(const OpenBlob& blob) {
    std::string out(blob.size(), '?');
    return blob.read(out.data(), out.size(), 0);
  }

  TempDir dir_;
  StoreBuilder builder_{dir_ / "models"};
  StoreDir store_{dir_ / "models", OutsideLinks::refuse};
  BlobPool pool_{store_, GetParam(), Verify::yes};
  const std::string good_ = random_bytes(1, 100'000);
  const std::string bad_ = flipped(good_, 50'000);
  std::error_code ec_;
};

TEST_P(VerifiedBlobs, AreReadIfTheyAreGood) {
  EXPECT_FALSE(open_and_read(write(good_, good_)));
  EXPECT_FALSE(open_and_read(write("", "")));
  EXPECT_FALSE(open_and_read(write("x", "x")));
}

TEST_P(VerifiedBlobs, AreRefusedIfTheyAreNot) {
  EXPECT_EQ(open_and_read(write(good_, bad_)), BlobFault::wrong_digest);
  EXPECT_EQ(open_and_read(write("x", "y")), BlobFault::wrong_digest);
  EXPECT_EQ(open_and_read(write("xyz", "")), BlobFault::wrong_digest);
}

TEST_P(VerifiedBlobs, AreGoodWhenTheyWereRepaired) {
  const Blob blob = write(good_, bad_);
  EXPECT_EQ(open_and_read(blob), BlobFault::wrong_digest);
  overwrite(blob, 50'000, good_[50'000]);
  EXPECT_FALSE(open_and_read(blob));
}

INSTANTIATE_TEST_SUITE_P(, VerifiedBlobs,
                         ::testing::Values(BlobLimits{.small = 100'000}, BlobLimits{},
                                           BlobLimits{.descriptors = 0, .memory = 0}));

class VerifiedFiles : public VerifiedBlobs {};

TEST_P(VerifiedFiles, AreHashedOnceWhileTheyDoNotChange) {
  const Blob blob = write(good_, good_);
  EXPECT_FALSE(open_and_read(blob));
  EXPECT_EQ(pool_.usage().hashed, good_.size());
  EXPECT_FALSE(open_and_read(blob));
  EXPECT_EQ(pool_.usage().hashed, good_.size());
  fs::last_write_time(builder_.blob_path(blob.digest), fs::file_time_type::clock::now());
  EXPECT_FALSE(open_and_read(blob));
  EXPECT_EQ(pool_.usage().hashed, 2 * good_.size());
}

// Also if somebody takes the time of its last writing back.
TEST_P(VerifiedFiles, AreNotTrustedAfterTheyChanged) {
  const Blob blob = write(good_, good_);
  EXPECT_FALSE(open_and_read(blob));
  overwrite(blob, 99'999, static_cast<char>(good_[99'999] ^ 1));
  const Blob now = inspect_blob(store_, blob.digest);
  fs::last_write_time(builder_.blob_path(blob.digest),
                      fs::file_time_type{std::chrono::nanoseconds{blob.identity.mtime_ns}} -
                          std::chrono::nanoseconds{0});
  EXPECT_EQ(open_and_read(now), BlobFault::wrong_digest);
}

TEST_P(VerifiedFiles, FailForWhoHasThemOpenWhenTheyChange) {
  const Blob blob = write(good_, good_);
  const auto open = pool_.open(blob, ec_);
  EXPECT_FALSE(read(*open));
  overwrite(blob, 0, static_cast<char>(good_[0] ^ 1));
  EXPECT_EQ(read(*open), BlobFault::changed);
  const auto again = pool_.open(blob, ec_);
  ASSERT_FALSE(ec_);
  EXPECT_EQ(read(*again), BlobFault::wrong_digest);
}

TEST_P(VerifiedFiles, AreCachedAsFarAsTheirBytesAreOfOneState) {
  const Blob blob = write(good_, bad_);
  auto first = pool_.open(blob, ec_);
  EXPECT_EQ(first->enter_cache(), Caching::begin);
  EXPECT_EQ(first->enter_cache(), Caching::keep);
  EXPECT_EQ(read(*first), BlobFault::wrong_digest);
  overwrite(blob, 50'000, good_[50'000]);
  auto second = pool_.open(blob, ec_);
  EXPECT_EQ(second->enter_cache(), Caching::bypass);  // whoever has the first would get its bytes
  EXPECT_FALSE(read(*second));
  EXPECT_EQ(second->enter_cache(), Caching::bypass);
  first.reset();
  EXPECT_EQ(second->enter_cache(), Caching::begin);
  EXPECT_EQ(second->enter_cache(), Caching::keep);
}

INSTANTIATE_TEST_SUITE_P(, VerifiedFiles,
                         ::testing::Values(BlobLimits{},
                                           BlobLimits{.descriptors = 0, .memory = 0}));

}  // namespace
}  // namespace ollamafs::test
