#include "store/transfer/seekable_zstd.h"

#include <zstd.h>

#include <algorithm>
#include <array>
#include <condition_variable>
#include <cstdint>
#include <cstring>
#include <deque>
#include <exception>
#include <mutex>
#include <new>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

namespace ollamafs {
namespace {

constexpr unsigned kMostThreads = 6;  // each has a context and buffers: this bounds the memory
constexpr int kLevel = 3;             // of zstd(1) itself
constexpr std::size_t kProbe = 16u << 10;
constexpr std::size_t kProbes = 4;

constexpr std::uint32_t kSkippableMagic = 0x184D2A5E;
constexpr std::uint32_t kSeekableMagic = 0x8F92EAB1;

std::size_t checked(std::size_t code) {
  if (ZSTD_isError(code) != 0)
    throw std::runtime_error{std::string{"libzstd: "} + ZSTD_getErrorName(code)};
  return code;
}

void put_little_endian(std::string& out, std::uint32_t value) {
  for (int shift = 0; shift < 32; shift += 8) out += static_cast<char>(value >> shift & 0xFF);
}

}  // namespace

// Compresses frames, one at a time.
class SeekableZstd::Compressor {
 public:
  Compressor() {
    if (!context_) throw std::bad_alloc{};
    checked(ZSTD_CCtx_setParameter(context_.get(), ZSTD_c_checksumFlag, 1));
  }

  // To the beginning of `out`, which has room for a whole frame. Returns how many bytes it takes.
  std::size_t compress(std::string_view content, std::string& out) {
    return compress_at(shrinks(content, out) ? kLevel : ZSTD_minCLevel(), content, out);
  }

 private:
  struct Free {
    void operator()(ZSTD_CCtx* context) const noexcept { ZSTD_freeCCtx(context); }
  };

  std::size_t compress_at(int level, std::string_view content, std::string& out) {
    checked(ZSTD_CCtx_setParameter(context_.get(), ZSTD_c_compressionLevel, level));
    return checked(
        ZSTD_compress2(context_.get(), out.data(), out.size(), content.data(), content.size()));
  }

  // Whether some pieces of it, taken from all over it, shrink by a fiftieth.
  bool shrinks(std::string_view content, std::string& out) {
    std::size_t probed = 0, compressed = 0;
    for (std::size_t i = 0; i < kProbes; ++i) {
      const std::string_view piece = content.substr(content.size() / kProbes * i, kProbe);
      probed += piece.size();
      compressed += compress_at(1, piece, out);
    }
    return compressed + probed / 50 < probed;
  }

  std::unique_ptr<ZSTD_CCtx, Free> context_{ZSTD_createCCtx()};
};

// A ring of frames: one is being filled, those before it are compressed or wait to be written, in
// this order.
class SeekableZstd::Frames {
 public:
  Frames(ByteSink& out, unsigned threads) : out_{out}, ring_(threads + 2) {
    for (Frame& frame : ring_) {
      frame.content.reserve(kFrame);
      frame.compressed.resize(ZSTD_compressBound(kFrame));
    }
    try {
      for (unsigned i = 0; i < threads; ++i) workers_.emplace_back(*this);
    } catch (...) {
      if (!workers_.empty()) return;  // fewer do it too
      throw;
    }
  }

  ~Frames() {
    {
      const std::scoped_lock lock{mutex_};
      ending_ = true;
    }
    ready_.notify_all();
    for (Worker& worker : workers_) worker.join();
  }

  void write(std::string_view bytes) {
    while (!bytes.empty()) {
      std::string& content = ring_[filled_].content;
      const std::size_t taken = std::min(kFrame - content.size(), bytes.size());
      content += bytes.substr(0, taken);
      bytes.remove_prefix(taken);
      if (content.size() == kFrame) submit();
    }
  }

  void finish() {
    if (!ring_[filled_].content.empty()) submit();
    for (std::size_t i = 0; i < ring_.size(); ++i) next();
    out_.write(table());
  }

 private:
  enum class State { empty, waiting, compressed };

  struct Frame {
    State state = State::empty;
    std::string content;
    std::string compressed;  // has room for all that the content may become
    std::size_t compressed_size = 0;
    std::exception_ptr error;
  };

  class Worker {
   public:
    explicit Worker(Frames& frames) : thread_{[this, &frames] { frames.work(compressor_); }} {}
    void join() { thread_.join(); }

   private:
    Compressor compressor_;
    std::thread thread_;
  };

  struct Sizes {
    std::uint32_t compressed, content;
  };

  void submit() {
    {
      const std::scoped_lock lock{mutex_};
      ring_[filled_].state = State::waiting;
      queue_.push_back(&ring_[filled_]);
    }
    ready_.notify_one();
    next();
  }

  // Goes on to the next frame of the ring, which is written and made empty first.
  void next() {
    filled_ = (filled_ + 1) % ring_.size();
    Frame& frame = ring_[filled_];
    {
      std::unique_lock lock{mutex_};
      done_.wait(lock, [&] { return frame.state != State::waiting; });
      if (frame.state == State::empty) return;
      frame.state = State::empty;
    }
    if (frame.error) std::rethrow_exception(frame.error);
    sizes_.push_back({static_cast<std::uint32_t>(frame.compressed_size),
                      static_cast<std::uint32_t>(frame.content.size())});
    frame.content.clear();
    out_.write(std::string_view{frame.compressed}.substr(0, frame.compressed_size));
  }

  void work(Compressor& compressor) {
    std::unique_lock lock{mutex_};
    for (;;) {
      ready_.wait(lock, [&] { return ending_ || !queue_.empty(); });
      if (ending_) return;
      Frame& frame = *queue_.front();
      queue_.pop_front();
      lock.unlock();
      try {
        frame.compressed_size = compressor.compress(frame.content, frame.compressed);
      } catch (...) {
        frame.error = std::current_exception();
      }
      lock.lock();
      frame.state = State::compressed;
      done_.notify_one();
    }
  }

  [[nodiscard]] std::string table() const {
    std::string out;
    put_little_endian(out, kSkippableMagic);
    put_little_endian(out, static_cast<std::uint32_t>(sizes_.size() * 8 + 9));
    for (const Sizes& frame : sizes_) {
      put_little_endian(out, frame.compressed);
      put_little_endian(out, frame.content);
    }
    put_little_endian(out, static_cast<std::uint32_t>(sizes_.size()));
    out += '\0';  // no checksums in the table: each frame has its own
    put_little_endian(out, kSeekableMagic);
    return out;
  }

  ByteSink& out_;
  std::vector<Frame> ring_;
  std::size_t filled_ = 0;  // which one is being filled
  std::vector<Sizes> sizes_;

  std::mutex mutex_;  // of the states, the queue and the end
  std::condition_variable ready_, done_;
  std::deque<Frame*> queue_;
  bool ending_ = false;
  std::deque<Worker> workers_;
};

SeekableZstd::SeekableZstd(ByteSink& out, unsigned threads) {
  if (threads == 0) threads = std::thread::hardware_concurrency();
  frames_ = std::make_unique<Frames>(out, std::clamp(threads, 1u, kMostThreads));
}

SeekableZstd::~SeekableZstd() = default;

void SeekableZstd::write(std::string_view bytes) {
  frames_->write(bytes);
}

void SeekableZstd::finish() {
  frames_->finish();
}

}  // namespace ollamafs
