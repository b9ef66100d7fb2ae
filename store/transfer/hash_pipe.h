#pragma once

#include <array>
#include <condition_variable>
#include <cstddef>
#include <deque>
#include <exception>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <string_view>
#include <thread>

#include "store/model/digest.h"

namespace ollamafs {

// Computes the SHA-256 of bytes in a thread of its own, while the one who hands them over does
// something else with them: writes them to the disk, say. Takes a few MiB of memory. Used by one
// thread.
class HashPipe {
 public:
  static constexpr std::size_t kChunk = 256u << 10;  // bytes: stays in a processor's cache

  HashPipe();
  ~HashPipe();
  HashPipe(const HashPipe&) = delete;
  HashPipe& operator=(const HashPipe&) = delete;

  // Begins a new digest. Whatever was added before is forgotten.
  void begin();

  // Room for the next bytes. Waits for the hashing, if that is far behind.
  [[nodiscard]] std::span<char, kChunk> next();

  // The first `size` bytes of what next() gave count. They may be read until the next call.
  std::string_view add(std::size_t size);

  // Of all that was added since begin(). Throws what Hasher throws.
  [[nodiscard]] Digest finish();

 private:
  static constexpr std::size_t kChunks = 16;

  void work();
  void wait_until_empty(std::unique_lock<std::mutex>& lock);

  using Chunk = std::array<char, kChunk>;
  std::unique_ptr<std::array<Chunk, kChunks>> chunks_;
  std::size_t at_ = 0;  // the chunk that next() gives
  std::optional<Hasher> hasher_;

  std::mutex mutex_;  // of what follows
  std::condition_variable changed_;
  std::deque<std::string_view> pending_;  // the first is being hashed
  std::exception_ptr failure_;
  bool is_ending_ = false;
  std::thread thread_;
};

}  // namespace ollamafs
