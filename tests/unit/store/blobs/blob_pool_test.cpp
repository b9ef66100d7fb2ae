#include "store/blobs/blob_pool.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <filesystem>
#include <iterator>
#include <memory>
#include <random>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "store/layout/open_layout.h"
#include "tests/support/store_builder.h"
#include "tests/support/temp_dir.h"

namespace ollamafs::test {
namespace {

namespace fs = std::filesystem;

// How a pool may hold a blob of 100,000 bytes.
enum class Hold { memory, descriptor, late };

constexpr std::size_t kSize = 100'000;

BlobLimits limits_for(Hold hold) {
  switch (hold) {
    case Hold::memory:
      return {.descriptors = 0, .memory = 1 << 20, .small = kSize};
    case Hold::descriptor:
      return {.descriptors = 10, .memory = 1 << 20, .small = kSize - 1};
    case Hold::late:
      break;
  }
  return {.descriptors = 0, .memory = 0, .small = 0};
}

std::size_t open_descriptors() {
  const fs::directory_iterator all{"/proc/self/fd"};
  return static_cast<std::size_t>(std::distance(begin(all), end(all)));
}

class BlobPoolTest : public ::testing::Test {
 protected:
  // Writes a blob and looks at it as the catalog does. It is an hour old, so that a later change
  // has another time even where the clock of the file system is coarse.
  Blob write(std::string_view content) {
    const Digest digest = Digest::parse(builder_.layer(kModelType, content).digest).value();
    fs::last_write_time(builder_.blob_path(digest),
                        fs::file_time_type::clock::now() - std::chrono::hours{1});
    return inspect_blob(store_, digest);
  }
  [[nodiscard]] fs::path file(const Blob& blob) const { return builder_.blob_path(blob.digest); }

  // The whole blob, or the error's name.
  static std::string content(const OpenBlob& blob) { return content(blob, blob.size(), 0); }
  static std::string content(const OpenBlob& blob, std::size_t size, std::uint64_t offset) {
    std::string out(size, '?');
    const std::error_code ec = blob.read(out.data(), size, offset);
    return ec ? ec.message() : out;
  }
  static std::string io_error() { return std::make_error_code(std::errc::io_error).message(); }

  TempDir dir_;
  StoreBuilder builder_{dir_ / "models"};
  StoreDir store_{dir_ / "models", OutsideLinks::refuse};
  std::error_code ec_;
};

TEST_F(BlobPoolTest, HoldsSmallBlobsInMemoryAndLargeOnesByDescriptor) {
  BlobPool pool{store_, {}};
  const std::size_t before = open_descriptors();
  const auto small = pool.open(write(random_bytes(1, 64 << 10)), ec_);
  ASSERT_FALSE(ec_);
  EXPECT_EQ(open_descriptors(), before);
  EXPECT_EQ(pool.usage().memory, 64u << 10);
  const auto large = pool.open(write(random_bytes(2, (64 << 10) + 1)), ec_);
  ASSERT_FALSE(ec_);
  EXPECT_EQ(open_descriptors(), before + 1);
  EXPECT_EQ(pool.usage().descriptors, 1u);
  EXPECT_EQ(pool.usage().memory, 64u << 10);
  EXPECT_EQ(content(*small), random_bytes(1, 64 << 10));
  EXPECT_EQ(content(*large), random_bytes(2, (64 << 10) + 1));
}

// A model of 10,000 blobs must be readable where 1,024 descriptors are allowed (docs/view.md §8).
TEST_F(BlobPoolTest, OpensFurtherBlobsLateWhenItsLimitsAreReached) {
  BlobPool pool{store_, {.descriptors = 3, .memory = 2500, .small = 1000}};
  const std::size_t before = open_descriptors();
  std::vector<std::shared_ptr<const OpenBlob>> open;
  for (std::uint64_t i = 0; i < 40; ++i) {
    open.push_back(pool.open(write(random_bytes(i, i % 2 == 0 ? 1000 : 5000)), ec_));
    ASSERT_FALSE(ec_);
  }
  EXPECT_EQ(open_descriptors(), before + 3);
  EXPECT_EQ(pool.usage().descriptors, 3u);
  EXPECT_EQ(pool.usage().memory, 2000u);
  EXPECT_EQ(pool.usage().blobs, 40u);
  for (std::uint64_t i = 0; i < 40; ++i) {
    ASSERT_EQ(content(*open[i]), random_bytes(i, i % 2 == 0 ? 1000 : 5000)) << i;
  }
  EXPECT_EQ(open_descriptors(), before + 3);
}

TEST_F(BlobPoolTest, TakesASmallBlobByDescriptorWhenMemoryIsUsedUp) {
  BlobPool pool{store_, {.descriptors = 3, .memory = 999, .small = 1000}};
  const auto blob = pool.open(write(random_bytes(1, 1000)), ec_);
  EXPECT_EQ(pool.usage().memory, 0u);
  EXPECT_EQ(pool.usage().descriptors, 1u);
  EXPECT_EQ(content(*blob), random_bytes(1, 1000));
}

TEST_F(BlobPoolTest, OpensABlobOnceForAllWhoHaveIt) {
  BlobPool pool{store_, {.descriptors = 5, .memory = 0, .small = 0}};
  const Blob blob = write(random_bytes(1, kSize));
  const auto first = pool.open(blob, ec_);
  EXPECT_EQ(pool.open(blob, ec_), first);
  EXPECT_EQ(pool.usage().blobs, 1u);
  EXPECT_EQ(pool.usage().descriptors, 1u);
}

TEST_F(BlobPoolTest, OpensWhatSomebodyHasOpenAlthoughItsFileIsGone) {
  BlobPool pool{store_, {.descriptors = 5, .memory = 0, .small = 0}};
  const Blob blob = write(random_bytes(1, kSize));
  const auto first = pool.open(blob, ec_);
  fs::remove(file(blob));
  EXPECT_EQ(pool.open(blob, ec_), first);
  EXPECT_FALSE(ec_);
}

TEST_F(BlobPoolTest, HoldsNothingWhenEverythingIsClosed) {
  BlobPool pool{store_, {.descriptors = 1, .memory = 100, .small = 100}};
  const std::size_t before = open_descriptors();
  {
    std::vector<std::shared_ptr<const OpenBlob>> open;
    for (const std::size_t size : {0u, 100u, 100u, 5000u, 6000u}) {
      open.push_back(pool.open(write(random_bytes(size + open.size(), size)), ec_));
    }
    EXPECT_EQ(pool.usage().blobs, 5u);
  }
  const Blob gone = write("soon gone");
  fs::remove(file(gone));
  EXPECT_EQ(pool.open(gone, ec_), nullptr);
  EXPECT_EQ(pool.usage().blobs, 0u);
  EXPECT_EQ(pool.usage().descriptors, 0u);
  EXPECT_EQ(pool.usage().memory, 0u);
  EXPECT_EQ(open_descriptors(), before);
}

TEST_F(BlobPoolTest, ReadsAgainWhatWasClosed) {
  BlobPool pool{store_, {.descriptors = 1, .memory = 0, .small = 0}};
  const Blob blob = write(random_bytes(1, kSize));
  pool.open(blob, ec_).reset();
  const auto again = pool.open(blob, ec_);
  EXPECT_EQ(content(*again), random_bytes(1, kSize));
  EXPECT_EQ(pool.usage().descriptors, 1u);
}

// ---- between the catalog and the open ----

TEST_F(BlobPoolTest, RefusesAFileThatWasSwappedSinceTheCatalogSawIt) {
  BlobPool pool{store_, {}};
  const Blob blob = write(random_bytes(1, kSize));
  write_file(file(blob).string() + ".new", random_bytes(2, kSize));
  fs::rename(file(blob).string() + ".new", file(blob));
  EXPECT_EQ(pool.open(blob, ec_), nullptr);
  EXPECT_EQ(ec_, std::errc::io_error);
}

TEST_F(BlobPoolTest, RefusesAFileThatGrewOrShrankSinceTheCatalogSawIt) {
  BlobPool pool{store_, {}};
  for (const std::size_t size : {kSize - 1, kSize + 1, std::size_t{0}}) {
    const Blob blob = write(random_bytes(size, kSize));
    fs::resize_file(file(blob), size);
    EXPECT_EQ(pool.open(blob, ec_), nullptr);
    EXPECT_EQ(ec_, std::errc::io_error);
  }
}

// Ollama touches blobs that it uses again (docs/store-format.md §6).
TEST_F(BlobPoolTest, OpensAFileThatWasMerelyTouched) {
  BlobPool pool{store_, {}};
  const Blob blob = write(random_bytes(1, kSize));
  fs::last_write_time(file(blob), fs::file_time_type::clock::now() + std::chrono::hours{1});
  EXPECT_NE(pool.open(blob, ec_), nullptr);
  EXPECT_FALSE(ec_);
}

TEST_F(BlobPoolTest, SaysWhatBecameOfAFileThatIsGone) {
  BlobPool pool{store_, {}};
  const Blob blob = write("gone");
  fs::remove(file(blob));
  EXPECT_EQ(pool.open(blob, ec_), nullptr);
  EXPECT_EQ(ec_, std::errc::no_such_file_or_directory);
}

// A FIFO would block whoever opens it, a link out of the store would serve another file's bytes.
TEST_F(BlobPoolTest, OpensNothingButRegularFilesOfTheStore) {
  BlobPool pool{store_, {}};
  const Blob fifo = write("a fifo"), link = write("a link"), directory = write("a directory");
  for (const Blob& blob : {fifo, link, directory}) fs::remove(file(blob));
  ASSERT_EQ(::mkfifo(file(fifo).c_str(), 0644), 0);
  write_file(dir_ / "outside", "a link");
  fs::create_symlink(dir_ / "outside", file(link));
  fs::create_directory(file(directory));
  for (const Blob& blob : {fifo, link, directory}) {
    EXPECT_EQ(pool.open(blob, ec_), nullptr);
    EXPECT_TRUE(ec_);
  }
}

// Whoever opened a blob keeps it; who opens the new file gets the new file.
TEST_F(BlobPoolTest, DoesNotShareAFileThatTookTheOtherOnesPlace) {
  BlobPool pool{store_, {.descriptors = 5, .memory = 0, .small = 0}};
  const Blob blob = write(random_bytes(1, kSize));
  const auto old = pool.open(blob, ec_);
  fs::remove(file(blob));
  write_file(file(blob), random_bytes(2, kSize));
  const auto fresh = pool.open(inspect_blob(store_, blob.digest), ec_);
  ASSERT_FALSE(ec_);
  EXPECT_EQ(content(*old), random_bytes(1, kSize));
  EXPECT_EQ(content(*fresh), random_bytes(2, kSize));
}

// Whoever opens it now would read to the cut and call the rest an error.
TEST_F(BlobPoolTest, DoesNotOpenAgainWhatWasCutShortWhileItWasOpen) {
  BlobPool pool{store_, limits_for(Hold::descriptor)};
  const Blob blob = write(random_bytes(1, kSize));
  const auto open = pool.open(blob, ec_);
  ASSERT_FALSE(ec_);
  EXPECT_EQ(pool.open(blob, ec_), open);
  fs::resize_file(file(blob), kSize - 1);
  EXPECT_EQ(pool.open(blob, ec_), nullptr);
  EXPECT_EQ(ec_, std::errc::io_error);
  EXPECT_EQ(pool.check(blob), std::errc::io_error);
}

// ---- the same for every way of holding a blob ----

class HeldBlob : public BlobPoolTest, public ::testing::WithParamInterface<Hold> {
 protected:
  HeldBlob() : open_{pool_.open(blob_, ec_)} {}

  BlobPool pool_{store_, limits_for(GetParam())};
  std::string bytes_ = random_bytes(1, kSize);
  Blob blob_ = write(bytes_);
  std::shared_ptr<const OpenBlob> open_;
};

INSTANTIATE_TEST_SUITE_P(Every, HeldBlob,
                         ::testing::Values(Hold::memory, Hold::descriptor, Hold::late),
                         [](const auto& test) {
                           return std::string{test.param == Hold::memory       ? "InMemory"
                                              : test.param == Hold::descriptor ? "ByDescriptor"
                                                                               : "Late"};
                         });

TEST_P(HeldBlob, IsHeldAsItShouldBe) {
  ASSERT_FALSE(ec_);
  EXPECT_EQ(open_->digest(), Digest::of(bytes_));
  EXPECT_EQ(open_->size(), kSize);
  EXPECT_EQ(pool_.usage().memory, GetParam() == Hold::memory ? kSize : 0u);
  EXPECT_EQ(pool_.usage().descriptors, GetParam() == Hold::descriptor ? 1u : 0u);
}

TEST_P(HeldBlob, GivesEveryRangeOfItsBytes) {
  EXPECT_EQ(content(*open_), bytes_);
  EXPECT_EQ(content(*open_, 1, 0), bytes_.substr(0, 1));
  EXPECT_EQ(content(*open_, 777, 4095), bytes_.substr(4095, 777));
  EXPECT_EQ(content(*open_, 1, kSize - 1), bytes_.substr(kSize - 1));
  EXPECT_EQ(content(*open_, 0, kSize), "");
}

TEST_P(HeldBlob, RefusesARangeBehindItsEndAsAWhole) {
  for (const std::uint64_t offset :
       {std::uint64_t{kSize}, std::uint64_t{kSize - 4}, ~std::uint64_t{0}, ~std::uint64_t{0} - 4}) {
    EXPECT_EQ(content(*open_, 5, offset), io_error());
  }
}

TEST_P(HeldBlob, SurvivesTheRemovalOfItsFileIfItIsOpen) {
  fs::remove(file(blob_));
  EXPECT_EQ(content(*open_), GetParam() == Hold::late ? io_error() : bytes_);
}

TEST_P(HeldBlob, NeverTakesAnotherFileForItsOwn) {
  write_file(file(blob_).string() + ".new", random_bytes(2, kSize));
  fs::rename(file(blob_).string() + ".new", file(blob_));
  EXPECT_EQ(content(*open_), GetParam() == Hold::late ? io_error() : bytes_);
}

TEST_P(HeldBlob, RefusesARangeWithOneByteThatWasCutOff) {
  fs::resize_file(file(blob_), kSize - 1);
  const bool kept = GetParam() == Hold::memory;
  EXPECT_EQ(content(*open_), kept ? bytes_ : io_error());
  EXPECT_EQ(content(*open_, 10, kSize - 10), kept ? bytes_.substr(kSize - 10) : io_error());
  // In front of the cut the descriptor still has what it had; a late one has the wrong size now.
  EXPECT_EQ(content(*open_, 10, kSize - 11),
            GetParam() == Hold::late ? io_error() : bytes_.substr(kSize - 11, 10));
}

TEST_P(HeldBlob, FailsAsAWholeInsideAFileThatIsPutTogether) {
  Layout::Builder builder;
  builder.generated("head").blob(blob_.digest, kSize).generated("tail");
  const OpenLayout layout{std::move(builder).finish(), {open_}};
  const std::string whole = "head" + bytes_ + "tail";
  std::string out(whole.size(), '?');
  ASSERT_FALSE(layout.read(out.data(), out.size(), 0));
  EXPECT_EQ(out, whole);

  fs::resize_file(file(blob_), kSize - 1);
  const auto failure = layout.read(out.data(), out.size(), 0);
  if (GetParam() == Hold::memory) {
    EXPECT_FALSE(failure);
    return;
  }
  ASSERT_TRUE(failure);
  EXPECT_EQ(failure->error, std::errc::io_error);
  EXPECT_EQ(failure->blob, blob_.digest);
  EXPECT_TRUE(layout.read(out.data(), 2, 4 + kSize - 1));  // the missing byte and one of the tail
  EXPECT_FALSE(layout.read(out.data(), 4, 4 + kSize));     // the tail alone
}

// Both change a time and nothing else. Ollama touches blobs that it uses again, and 0.40 makes hard
// links of them.
TEST_P(HeldBlob, SurvivesATouchAndAHardLink) {
  fs::last_write_time(file(blob_), fs::file_time_type::clock::now());
  EXPECT_EQ(content(*open_), bytes_);
  fs::create_hard_link(file(blob_), file(blob_).string() + ".link");
  EXPECT_EQ(content(*open_), bytes_);
}

TEST_F(BlobPoolTest, KeepsASmallBlobsBytesWhenItsFileIsWrittenTo) {
  const std::string bytes = random_bytes(1, kSize);
  const Blob blob = write(bytes);
  BlobPool pool{store_, limits_for(Hold::memory)};
  const auto open = pool.open(blob, ec_);
  ASSERT_FALSE(ec_);
  const UniqueFd fd{::open(file(blob).c_str(), O_WRONLY | O_CLOEXEC)};
  ASSERT_EQ(::pwrite(fd.get(), "changed", 7, 500), 7);
  EXPECT_EQ(content(*open), bytes);
}

TEST_F(BlobPoolTest, ReadsAnEmptyBlobInEveryWay) {
  const Blob blob = write("");
  for (const Hold hold : {Hold::memory, Hold::descriptor, Hold::late}) {
    BlobPool pool{store_, limits_for(hold)};
    const auto open = pool.open(blob, ec_);
    ASSERT_FALSE(ec_);
    EXPECT_EQ(open->size(), 0u);
    EXPECT_EQ(content(*open, 0, 0), "");
    EXPECT_EQ(content(*open, 1, 0), io_error());
  }
}

// ---- threads ----

TEST_F(BlobPoolTest, GivesEightThreadsTheSameBytesAtOnce) {
  // Held in all three ways, one behind the other in one file.
  BlobPool pool{store_, {.descriptors = 4, .memory = 30'000, .small = 5000}};
  Layout::Builder builder;
  std::vector<std::shared_ptr<const OpenBlob>> blobs;
  std::string whole;
  for (std::uint64_t i = 0; i < 40; ++i) {
    const std::string head = "head " + std::to_string(i);
    const std::string bytes = random_bytes(i, i % 7 == 0 ? 0 : i % 2 == 0 ? 3000 : 70'000 + i);
    builder.generated(head).blob(Digest::of(bytes), bytes.size());
    blobs.push_back(pool.open(write(bytes), ec_));
    ASSERT_FALSE(ec_);
    whole += head + bytes;
  }
  EXPECT_EQ(pool.usage().descriptors, 4u);
  EXPECT_GT(pool.usage().memory, 20'000u);
  const OpenLayout layout{std::move(builder).finish(), blobs};
  ASSERT_EQ(layout.layout().size(), whole.size());

  std::atomic<int> wrong = 0;
  std::vector<std::thread> threads;
  for (unsigned thread = 0; thread < 8; ++thread) {
    threads.emplace_back([&, thread] {
      std::mt19937_64 random{thread};
      std::string out;
      for (int i = 0; i < 10'000 / 8; ++i) {
        const std::size_t offset = random() % whole.size();
        out.assign(std::min(random() % (i % 10 == 0 ? 300'000 : 5000), whole.size() - offset), '?');
        if (layout.read(out.data(), out.size(), offset) ||
            whole.compare(offset, out.size(), out) != 0) {
          ++wrong;
        }
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(wrong, 0);
}

TEST_F(BlobPoolTest, CountsRightWhenManyOpenAndCloseAtOnce) {
  BlobPool pool{store_, {.descriptors = 3, .memory = 4000, .small = 1000}};
  std::vector<Blob> blobs;
  for (std::uint64_t i = 0; i < 12; ++i)
    blobs.push_back(write(random_bytes(i, i % 2 == 0 ? 900 : 2000)));
  std::atomic<int> wrong = 0;
  std::vector<std::thread> threads;
  for (unsigned thread = 0; thread < 8; ++thread) {
    threads.emplace_back([&, thread] {
      std::mt19937_64 random{thread};
      for (int i = 0; i < 500; ++i) {
        const std::uint64_t seed = random() % blobs.size();
        std::error_code ec;
        const auto open = pool.open(blobs[seed], ec);
        const BlobPool::Usage usage = pool.usage();
        if (ec || usage.descriptors > 3 || usage.memory > 4000 ||
            content(*open) != random_bytes(seed, open->size())) {
          ++wrong;
        }
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(wrong, 0);
  EXPECT_EQ(pool.usage().blobs, 0u);
  EXPECT_EQ(pool.usage().descriptors, 0u);
  EXPECT_EQ(pool.usage().memory, 0u);
}

}  // namespace
}  // namespace ollamafs::test
