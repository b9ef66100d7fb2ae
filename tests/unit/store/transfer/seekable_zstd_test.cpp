#include "store/transfer/seekable_zstd.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <zstd.h>

#include <cstdint>
#include <random>
#include <stdexcept>
#include <string>
#include <vector>

#include "tests/support/store_builder.h"

namespace ollamafs::test {
namespace {

constexpr std::size_t kFrame = SeekableZstd::kFrame;

class StringSink final : public ByteSink {
 public:
  void write(std::string_view more) override { bytes += more; }

  std::string bytes;
};

std::string compressed(std::string_view content, unsigned threads = 2,
                       std::size_t piece = 100'003) {
  StringSink out;
  SeekableZstd zstd{out, threads};
  for (; !content.empty(); content.remove_prefix(std::min(piece, content.size())))
    zstd.write(content.substr(0, piece));
  zstd.finish();
  return out.bytes;
}

// Text that shrinks, no two pieces of it alike.
std::string text(std::size_t size) {
  std::string out;
  for (std::size_t i = 0; out.size() < size; ++i)
    out += std::to_string(i * 7919) + std::string(100, static_cast<char>('a' + i % 26));
  return out.substr(0, size);
}

std::uint32_t number(std::string_view bytes, std::size_t at) {
  std::uint32_t value = 0;
  for (std::size_t i = 4; i > 0; --i)
    value = value << 8 | static_cast<unsigned char>(bytes.at(at + i - 1));
  return value;
}

// Reads ranges by the table, after the description of the format alone.
class RandomReader {
 public:
  explicit RandomReader(std::string_view file) : file_{file} {
    const std::size_t end = file.size();
    if (number(file, end - 4) != 0x8F92EAB1) throw std::runtime_error{"no seekable magic"};
    if (file[end - 5] != 0) throw std::runtime_error{"checksums, or reserved bits"};
    const std::uint32_t count = number(file, end - 9);
    const std::size_t table = end - 9 - 8 * std::size_t{count};
    if (number(file, table - 8) != 0x184D2A5E) throw std::runtime_error{"no skippable frame"};
    if (number(file, table - 4) != 8 * count + 9) throw std::runtime_error{"of another size"};
    std::size_t at = 0, content = 0;
    for (std::uint32_t i = 0; i < count; ++i) {
      frames_.push_back(
          {at, number(file, table + 8 * i), content, number(file, table + 8 * i + 4)});
      at += frames_.back().size;
      content += frames_.back().content;
    }
    if (at != table - 8) throw std::runtime_error{"frames of other sizes"};
    size = content;
  }

  std::string read(std::size_t offset, std::size_t length) {
    std::string out;
    for (const Frame& frame : frames_) {
      if (frame.offset + frame.content <= offset || frame.offset >= offset + length) continue;
      ++decompressed;
      std::string content(frame.content, '\0');
      const std::size_t got =
          ZSTD_decompress(content.data(), content.size(), file_.data() + frame.start, frame.size);
      if (got != content.size()) throw std::runtime_error{"a frame that lies"};
      const std::size_t from = std::max(offset, frame.offset) - frame.offset;
      out += content.substr(from, offset + length - frame.offset - from);
    }
    return out;
  }

  std::size_t size = 0;
  std::size_t decompressed = 0;  // frames

 private:
  struct Frame {
    std::size_t start, size, offset, content;
  };
  std::string_view file_;
  std::vector<Frame> frames_;
};

TEST(SeekableZstd, ReadsARangeByTheFramesThatHoldIt) {
  const std::string content = text(5 * kFrame + 12'345) + random_bytes(1, 3 * kFrame);
  const std::string file = compressed(content);
  RandomReader reader{file};
  ASSERT_EQ(reader.size, content.size());
  std::mt19937_64 random{1};
  for (int i = 0; i < 50; ++i) {
    const std::size_t offset = random() % content.size();
    const std::size_t length =
        std::min<std::size_t>(1 + random() % 100'000, content.size() - offset);
    reader.decompressed = 0;
    ASSERT_TRUE(reader.read(offset, length) == content.substr(offset, length));
    EXPECT_EQ(reader.decompressed, (offset + length - 1) / kFrame - offset / kFrame + 1);
  }
}

TEST(SeekableZstd, IsReadFromFrontToBackWhateverTheSize) {
  for (const std::size_t size : {std::size_t{0}, std::size_t{1}, kFrame - 1, kFrame, kFrame + 1,
                                 5 * kFrame, 7 * kFrame + 5}) {
    const std::string content = text(size);
    const std::string file = compressed(content);
    RandomReader reader{file};
    EXPECT_EQ(reader.size, size);
    EXPECT_TRUE(reader.read(0, size) == content) << size;
    // As zstd(1) does it: frame after frame, the table skipped.
    std::string out(size + 1, '\0');
    ZSTD_DCtx* context = ZSTD_createDCtx();
    ZSTD_inBuffer in{file.data(), file.size(), 0};
    ZSTD_outBuffer to{out.data(), out.size(), 0};
    while (in.pos < in.size) ASSERT_FALSE(ZSTD_isError(ZSTD_decompressStream(context, &to, &in)));
    ZSTD_freeDCtx(context);
    EXPECT_TRUE(out.substr(0, to.pos) == content) << size;
  }
}

TEST(SeekableZstd, StoresWhatHardlyShrinks) {
  const std::string weights = random_bytes(1, 4 * kFrame);
  EXPECT_LT(compressed(weights).size(), weights.size() + weights.size() / 1000);
  const std::string words = text(4 * kFrame);
  EXPECT_LT(compressed(words).size(), words.size() / 2);
  EXPECT_LT(compressed(std::string(4 * kFrame, '\0')).size(), 2000u);
}

TEST(SeekableZstd, DoesNotDependOnThreadsAndPieces) {
  const std::string content = text(4 * kFrame) + random_bytes(2, kFrame);
  const std::string file = compressed(content, 1, content.size());
  for (const unsigned threads : {2u, 3u, 6u, 100u})
    EXPECT_TRUE(compressed(content, threads, 1'000'000 + threads) == file) << threads;
}

// The disk gets full at the third frame.
TEST(SeekableZstd, PassesOnWhatItsSinkThrows) {
  class FullSink final : public ByteSink {
   public:
    void write(std::string_view) override {
      if (++frames == 3) throw std::runtime_error{"full"};
    }
    int frames = 0;
  };
  const std::string content = text(20 * kFrame);
  FullSink out;
  SeekableZstd zstd{out, 2};
  EXPECT_THROW(zstd.write(content), std::runtime_error);
  EXPECT_EQ(out.frames, 3);
}

}  // namespace
}  // namespace ollamafs::test
