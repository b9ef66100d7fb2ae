#pragma once

// Room store/model: What Ollama writes about a model, taken apart: names, digests, manifests.

#include <array>
#include <compare>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>

namespace ollamafs {

// A SHA-256 digest: what names a blob, and what a model's ID is the beginning of.
//
// On disk and in manifests it is written `sha256-<64 hex>` or `sha256:<64 hex>`, in either case
// (docs/store-format.md §5, §10.12). A Digest is the value behind all four spellings; it writes
// lower case.
class Digest {
 public:
  static constexpr std::size_t kBytes = 32;
  using Bytes = std::array<std::uint8_t, kBytes>;

  constexpr Digest() noexcept = default;  // all zeros
  constexpr explicit Digest(const Bytes& bytes) noexcept : bytes_{bytes} {}

  // The digest that `text` spells, or nothing: "sha256", ':' or '-', exactly 64 hex digits.
  static std::optional<Digest> parse(std::string_view text) noexcept;

  // As parse, but of the bare 64 hex digits.
  static std::optional<Digest> parse_hex(std::string_view hex) noexcept;

  // The SHA-256 of `data`. Throws std::runtime_error if libcrypto refuses.
  static Digest of(std::string_view data);

  [[nodiscard]] const Bytes& bytes() const noexcept { return bytes_; }
  [[nodiscard]] std::string hex() const;        // 64 lower-case digits
  [[nodiscard]] std::string to_string() const;  // "sha256:" + hex(), as manifests write it
  [[nodiscard]] std::string blob_name() const;  // "sha256-" + hex(), the name of the blob's file
  [[nodiscard]] std::string blob_path() const;  // "blobs/" + blob_name(), below the store
  [[nodiscard]] std::string old_blob_path() const;  // the same with ':', as in stores of 2023
  [[nodiscard]] std::string id() const;             // the first 12 digits: ID in `ollama list`

  auto operator<=>(const Digest&) const noexcept = default;

 private:
  [[nodiscard]] std::string hex_after(std::string_view prefix) const;

  Bytes bytes_{};
};

// The SHA-256 of bytes that come piece by piece. Not for several threads at once. All of it throws
// std::runtime_error if libcrypto refuses.
class Hasher {
 public:
  Hasher();
  ~Hasher();
  Hasher(const Hasher&) = delete;
  Hasher& operator=(const Hasher&) = delete;

  void add(std::string_view bytes);

  // Of all that was added; to be called once.
  [[nodiscard]] Digest finish();

 private:
  struct State;
  std::unique_ptr<State> state_;
};

// The modification time that the view and the archives show for content of this digest, in seconds
// since the epoch: 2023-07-01T00:00:00Z + 2 s × the first 24 bits. Equal content has equal times on
// every machine, and two contents of one size almost never have, so rsync's quick check (size and
// mtime) compares content. Even, because FAT keeps two-second steps.
[[nodiscard]] std::int64_t content_time(const Digest& digest) noexcept;

}  // namespace ollamafs

template <>
struct std::hash<ollamafs::Digest> {
  std::size_t operator()(const ollamafs::Digest& digest) const noexcept {
    std::size_t h;  // a digest is uniform already
    std::memcpy(&h, digest.bytes().data(), sizeof h);
    return h;
  }
};
