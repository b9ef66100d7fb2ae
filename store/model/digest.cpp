#include "store/model/digest.h"

#include <openssl/evp.h>

#include <algorithm>
#include <memory>
#include <stdexcept>

namespace ollamafs {
namespace {

constexpr std::string_view kAlgorithm = "sha256";
constexpr std::int64_t kContentEpoch = 1688169600;  // 2023-07-01T00:00:00Z

constexpr int hex_value(char c) noexcept {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

// Fetching the algorithm costs more than hashing a manifest, so it is fetched once.
const EVP_MD* sha256() {
  static const std::unique_ptr<EVP_MD, decltype(&EVP_MD_free)> md{
      EVP_MD_fetch(nullptr, "SHA256", nullptr), &EVP_MD_free};
  if (!md) throw std::runtime_error("libcrypto offers no SHA-256");
  return md.get();
}

}  // namespace

std::optional<Digest> Digest::parse_hex(std::string_view hex) noexcept {
  if (hex.size() != 2 * kBytes) return std::nullopt;
  Bytes bytes{};
  for (std::size_t i = 0; i < kBytes; ++i) {
    const int high = hex_value(hex[2 * i]);
    const int low = hex_value(hex[2 * i + 1]);
    if (high < 0 || low < 0) return std::nullopt;
    bytes[i] = static_cast<std::uint8_t>(high << 4 | low);
  }
  return Digest{bytes};
}

std::optional<Digest> Digest::parse(std::string_view text) noexcept {
  if (!text.starts_with(kAlgorithm)) return std::nullopt;
  text.remove_prefix(kAlgorithm.size());
  if (text.empty() || (text.front() != ':' && text.front() != '-')) return std::nullopt;
  return parse_hex(text.substr(1));
}

Digest Digest::of(std::string_view data) {
  Bytes bytes{};
  unsigned size = 0;
  if (EVP_Digest(data.data(), data.size(), bytes.data(), &size, sha256(), nullptr) != 1 ||
      size != kBytes) {
    throw std::runtime_error("libcrypto could not compute a SHA-256");
  }
  return Digest{bytes};
}

struct Hasher::State {
  std::unique_ptr<EVP_MD_CTX, decltype(&EVP_MD_CTX_free)> context{EVP_MD_CTX_new(),
                                                                  &EVP_MD_CTX_free};
};

Hasher::Hasher() : state_{std::make_unique<State>()} {
  if (!state_->context || EVP_DigestInit_ex(state_->context.get(), sha256(), nullptr) != 1)
    throw std::runtime_error("libcrypto could not begin a SHA-256");
}

Hasher::~Hasher() = default;

void Hasher::add(std::string_view bytes) {
  if (EVP_DigestUpdate(state_->context.get(), bytes.data(), bytes.size()) != 1)
    throw std::runtime_error("libcrypto could not go on with a SHA-256");
}

Digest Hasher::finish() {
  Digest::Bytes bytes{};
  unsigned size = 0;
  if (EVP_DigestFinal_ex(state_->context.get(), bytes.data(), &size) != 1 ||
      size != Digest::kBytes) {
    throw std::runtime_error("libcrypto could not end a SHA-256");
  }
  return Digest{bytes};
}

std::string Digest::hex_after(std::string_view prefix) const {
  constexpr std::string_view digits = "0123456789abcdef";
  std::string out(prefix.size() + 2 * kBytes, '\0');
  auto to = std::ranges::copy(prefix, out.begin()).out;
  for (const std::uint8_t byte : bytes_) {
    *to++ = digits[byte >> 4];
    *to++ = digits[byte & 0xf];
  }
  return out;
}

std::string Digest::hex() const {
  return hex_after("");
}
std::string Digest::to_string() const {
  return hex_after("sha256:");
}
std::string Digest::blob_name() const {
  return hex_after("sha256-");
}
std::string Digest::blob_path() const {
  return hex_after("blobs/sha256-");
}

std::string Digest::old_blob_path() const {
  return hex_after("blobs/sha256:");
}

std::string Digest::id() const {
  return hex().substr(0, 12);
}

std::int64_t content_time(const Digest& digest) noexcept {
  const auto& b = digest.bytes();
  const std::int64_t bits = std::int64_t{b[0]} << 16 | std::int64_t{b[1]} << 8 | b[2];
  return kContentEpoch + 2 * bits;
}

}  // namespace ollamafs
