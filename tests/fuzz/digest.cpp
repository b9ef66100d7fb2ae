// Digest: the four spellings (docs/store-format.md §5) against a plain reading of the rule.
#include "store/model/digest.h"

#include <openssl/evp.h>

#include <algorithm>
#include <cctype>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "tests/fuzz/check.h"

namespace ollamafs::test {
namespace {

constexpr std::int64_t kFirstTime = 1688169600;             // 2023-07-01T00:00:00Z
constexpr std::int64_t kLastTime = kFirstTime + 0x1FFFFFE;  // of 24 bits, all set

bool is_hex(std::string_view text) {
  return text.size() == 64 &&
         text.find_first_not_of("0123456789abcdefABCDEF") == std::string_view::npos;
}

std::string changed(std::string text, int (*change)(int)) {
  std::ranges::transform(text, text.begin(), [&](char c) { return static_cast<char>(change(c)); });
  return text;
}

// The hex digits of a digest as manifests and file names spell it.
std::optional<std::string> hex_of(std::string_view text) {
  if (text.substr(0, 7) != "sha256:" && text.substr(0, 7) != "sha256-") return std::nullopt;
  if (!is_hex(text.substr(7))) return std::nullopt;
  return std::string{text.substr(7)};
}

void check_digest(const Digest& digest, const std::string& spelled) {
  const std::string hex = changed(spelled, std::tolower);
  const std::string upper = changed(spelled, std::toupper);
  OLLAMAFS_CHECK(digest.hex() == hex);
  OLLAMAFS_CHECK(digest.to_string() == "sha256:" + hex);
  OLLAMAFS_CHECK(digest.blob_name() == "sha256-" + hex);
  OLLAMAFS_CHECK(digest.blob_path() == "blobs/sha256-" + hex);
  OLLAMAFS_CHECK(digest.id() == hex.substr(0, 12));
  for (const std::string& other : {"sha256:" + hex, "sha256-" + hex, "sha256:" + upper,
                                   "sha256-" + upper, "sha256:" + spelled}) {
    OLLAMAFS_CHECK_FOR(Digest::parse(other) == digest, other);
  }
  OLLAMAFS_CHECK(Digest::parse_hex(upper) == digest);
  OLLAMAFS_CHECK(Digest{digest.bytes()} == digest);
  OLLAMAFS_CHECK(!Digest::parse("sha256:" + hex + "0"));
  OLLAMAFS_CHECK(!Digest::parse("sha256:" + hex.substr(1)));

  const std::int64_t time = content_time(digest);
  OLLAMAFS_CHECK(time == kFirstTime + 2 * std::stoll(hex.substr(0, 6), nullptr, 16));
  OLLAMAFS_CHECK(time >= kFirstTime && time <= kLastTime && time % 2 == 0);
}

// SHA-256 in two steps, where Digest::of takes one.
std::string sha256(std::string_view data) {
  const std::unique_ptr<EVP_MD_CTX, decltype(&EVP_MD_CTX_free)> context{EVP_MD_CTX_new(),
                                                                        &EVP_MD_CTX_free};
  Digest::Bytes out{};
  const std::size_t half = data.size() / 2;
  OLLAMAFS_CHECK(EVP_DigestInit_ex(context.get(), EVP_sha256(), nullptr) == 1 &&
                 EVP_DigestUpdate(context.get(), data.data(), half) == 1 &&
                 EVP_DigestUpdate(context.get(), data.data() + half, data.size() - half) == 1 &&
                 EVP_DigestFinal_ex(context.get(), out.data(), nullptr) == 1);
  return {out.begin(), out.end()};
}

void check(std::string_view text) {
  const auto expected = hex_of(text);
  const auto digest = Digest::parse(text);
  OLLAMAFS_CHECK(digest.has_value() == expected.has_value());
  if (digest) check_digest(*digest, *expected);

  const auto bare = Digest::parse_hex(text);
  OLLAMAFS_CHECK(bare.has_value() == is_hex(text));
  if (bare) check_digest(*bare, std::string{text});

  const Digest of = Digest::of(text);
  OLLAMAFS_CHECK(std::ranges::equal(of.bytes(), sha256(text), [](std::uint8_t a, char b) {
    return a == static_cast<std::uint8_t>(b);
  }));
  check_digest(of, of.hex());

  // Digests sort as their hex digits do: it is the order of an archive's members.
  if (digest) OLLAMAFS_CHECK((*digest < of) == (digest->hex() < of.hex()));
}

}  // namespace
}  // namespace ollamafs::test

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  ollamafs::test::check(ollamafs::test::as_text(data, size));
  return 0;
}
