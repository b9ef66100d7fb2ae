#include "store/transfer/byte_stream.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "store/transfer/archive_source.h"
#include "tests/support/archive_maker.h"
#include "tests/support/store_builder.h"

namespace ollamafs::test {
namespace {

// A user who wants to stop when told so.
class Stopping final : public Progress {
 public:
  void stop() noexcept { stops_ = true; }
  void add(std::uint64_t /*bytes*/) override {
    if (stops_) throw Interrupted{};
  }

 private:
  std::atomic<bool> stops_ = false;
};

class ByteStreamTest : public ::testing::Test {
 protected:
  ByteStreamTest() {
    int ends[2];
    if (::pipe2(ends, O_CLOEXEC) != 0) throw std::runtime_error{"no pipe"};
    reader_ = UniqueFd{ends[0]};
    writer_ = UniqueFd{ends[1]};
  }

  [[nodiscard]] ByteStream stream() {
    std::vector<UniqueFd> parts;
    parts.push_back(std::move(reader_));
    return {std::move(parts), {"pipe"}, progress_};
  }

  // In a while; and if that is of no use, ends the pipe so that the test ends.
  [[nodiscard]] std::jthread stop_soon() {
    return std::jthread{[this](const std::stop_token& done) {
      std::this_thread::sleep_for(std::chrono::milliseconds{50});
      progress_.stop();
      for (int i = 0; i < 500 && !done.stop_requested(); ++i) {
        std::this_thread::sleep_for(std::chrono::milliseconds{10});
      }
      writer_ = UniqueFd{};
    }};
  }

  Stopping progress_;
  UniqueFd reader_, writer_;
};

TEST_F(ByteStreamTest, IsInterruptedWhileAPipeGivesNothing) {
  ByteStream stream = this->stream();
  const std::jthread stopper = stop_soon();
  EXPECT_THROW((void)stream.read(), Interrupted);
}

TEST_F(ByteStreamTest, IsInterruptedBehindTheBeginningOfAnArchive) {
  // The decompressor wants more when it is opened.
  const std::string beginning =
      make_archive({{"x", random_bytes(1, 100'000)}}, "pax", "gzip").substr(0, 512);
  ASSERT_EQ(::write(writer_.get(), beginning.data(), beginning.size()), 512);
  const std::jthread stopper = stop_soon();
  const auto read = [this] {
    const auto source = open_archive_source(stream(), "pipe");
    while (source->next()) {
    }
  };
  EXPECT_THROW(read(), Interrupted);
}

}  // namespace
}  // namespace ollamafs::test
