#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <mutex>
#include <optional>
#include <string_view>
#include <system_error>

#include "store/blobs/blob_fault.h"
#include "store/model/digest.h"

namespace ollamafs {

// Finds out the SHA-256 of a blob while it is read, for all its readers together, and keeps its
// last byte from them until that is the right one: so nobody ever gets all of a corrupted blob.
//
// What is hashed is always the beginning of the blob. A range that goes on from there is hashed in
// passing; one a little ahead, as the kernel's read-ahead makes them, after what lies between was
// read; one far ahead is not, unless it holds the last byte. Each byte is hashed once.
//
// Safe to use from several threads. It must be one state of one file for as long as this lives:
// `Read` and who calls see() make sure of that.
class BlobVerifier {
 public:
  enum class Verdict : std::uint8_t { none, good, bad };

  // Reads a range of the blob: all of it or an error. Does not throw.
  using Read = std::function<std::error_code(char* out, std::size_t size, std::uint64_t offset)>;

  // How much at most is hashed in passing beside what is asked for, bytes.
  static constexpr std::uint64_t kInPassing = 4u << 20;

  // `on_verdict` is called once, when the verdict is known, by the thread that finds it out.
  // `size` may not be 0.
  BlobVerifier(const Digest& expected, std::uint64_t size, std::function<void()> on_verdict)
      : expected_{expected}, size_{size}, on_verdict_{std::move(on_verdict)} {}

  [[nodiscard]] Verdict verdict() const noexcept { return verdict_; }
  [[nodiscard]] std::uint64_t hashed() const noexcept { return hashed_; }  // bytes, by this

  // Takes it for good without reading it: as it was seen before. Before any other use.
  void trust() noexcept { verdict_ = Verdict::good; }

  // To be called with bytes of the blob before they are given to anybody. No error: they may be.
  // Otherwise the last byte is among them, and the error is BlobFault::wrong_digest; that of
  // `read`; or BlobFault::unverified, if more lacks than is hashed in passing: then hash_on() until
  // it is not, and again. Throws what Hasher throws.
  [[nodiscard]] std::error_code see(std::string_view bytes, std::uint64_t offset, const Read& read);

  // Hashes up to `most` bytes more. No error: this much was hashed, or the verdict is known.
  [[nodiscard]] std::error_code hash_on(std::uint64_t most, const Read& read);

 private:
  [[nodiscard]] std::error_code hash_to(std::uint64_t end, const Read& read);
  void hash(std::string_view bytes);

  const Digest expected_;
  const std::uint64_t size_;
  const std::function<void()> on_verdict_;
  std::atomic<Verdict> verdict_ = Verdict::none;
  std::atomic<std::uint64_t> hashed_ = 0;

  std::mutex mutex_;  // of what follows
  std::optional<Hasher> hasher_;
  std::uint64_t prefix_ = 0;  // the bytes before it are hashed
};

}  // namespace ollamafs
