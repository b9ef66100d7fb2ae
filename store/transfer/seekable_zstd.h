#pragma once

#include <cstddef>
#include <memory>
#include <string_view>

#include "store/transfer/byte_sink.h"

namespace ollamafs {

// Compresses what it is given as .zst in the seekable format (contrib/seekable_format of zstd,
// zstd_seekable_compression_format.md): frames that are independent of each other, and behind them
// a table of their sizes in a skippable frame. Every reader of zstd reads it from front to back;
// one that knows the table reads a range by the frames that hold it.
//
// Frames are compressed by several threads. One that hardly shrinks, as weights do, is stored. The
// same bytes make the same file whatever machine it is on, with one version of libzstd.
class SeekableZstd final : public ByteSink {
 public:
  static constexpr std::size_t kFrame = 2u << 20;  // bytes of content of each, but the last

  // `threads`: 0 means as many as there are processors, up to the limit of what memory it may take
  // (some 50 MiB in all). `out` must outlive this. Throws std::bad_alloc, std::system_error.
  explicit SeekableZstd(ByteSink& out, unsigned threads = 0);
  ~SeekableZstd() override;

  void write(std::string_view bytes) override;

  // To be called once, at the end: writes what is left, and the table.
  void finish();

 private:
  class Compressor;
  class Frames;

  std::unique_ptr<Frames> frames_;
};

}  // namespace ollamafs
