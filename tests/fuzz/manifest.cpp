// parse_manifest against an oracle, and what StoredManifest::from makes of what it parsed.
#include "store/model/manifest.h"

#include <algorithm>
#include <map>
#include <nlohmann/json.hpp>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <variant>

#include "store/model/stored_manifest.h"
#include "tests/fuzz/check.h"
#include "tests/fuzz/manifest_oracle.h"

namespace ollamafs::test {
namespace {

bool same(const Layer& a, const Layer& b) {
  return a.media_type == b.media_type && a.digest == b.digest && a.size == b.size &&
         a.name == b.name;
}

bool same(const Manifest& a, const Manifest& b) {
  return a.media_type == b.media_type && a.runner == b.runner && same(a.config, b.config) &&
         std::ranges::equal(a.layers, b.layers,
                            [](const Layer& x, const Layer& y) { return same(x, y); });
}

// `bytes_too`: also the bytes of inline manifests, which an oracle has only by their meaning.
bool same(const ListEntry& a, const ListEntry& b, bool bytes_too) {
  return a.media_type == b.media_type && a.digest == b.digest && a.runner == b.runner &&
         a.inline_json.empty() == b.inline_json.empty() &&
         (!bytes_too || a.inline_json == b.inline_json);
}

bool same(const ManifestList& a, const ManifestList& b, bool bytes_too) {
  return a.media_type == b.media_type &&
         std::ranges::equal(a.entries, b.entries, [&](const ListEntry& x, const ListEntry& y) {
           return same(x, y, bytes_too);
         });
}

// Nothing if it is not a manifest; any exception but ManifestError is a failure.
std::optional<AnyManifest> parsed(std::string_view text) try {
  return parse_manifest(text);
} catch (const ManifestError& error) {
  OLLAMAFS_CHECK(is_one_printable_line(error.what()) && *error.what() != '\0');
  return std::nullopt;
}

void check_against_oracle(std::string_view text, const std::optional<AnyManifest>& result) {
  // A few things that JSON itself allows are refused before the JSON library sees them.
  if (text.find('\0') != std::string_view::npos || text.starts_with("\xEF\xBB\xBF")) {
    OLLAMAFS_CHECK(!result);
    return;
  }
  // The oracle recurses, and knows no limit of depth.
  if (text.size() > kMaxManifestDepth) return;
  const auto expected = expected_manifest(with_valid_utf8(text));
  if (!expected) return;
  if (!result) {
    OLLAMAFS_CHECK(std::holds_alternative<NotAManifest>(*expected));
  } else if (const auto* manifest = std::get_if<Manifest>(&*result)) {
    const auto* wanted = std::get_if<Manifest>(&*expected);
    OLLAMAFS_CHECK(wanted && same(*manifest, *wanted));
  } else {
    const auto& list = std::get<ManifestList>(*result);
    const auto* wanted = std::get_if<ManifestList>(&*expected);
    OLLAMAFS_CHECK(wanted && same(list, *wanted, false));
    // An inline manifest is cut out of the text as it stands there; it must mean the same.
    for (std::size_t i = 0; i < list.entries.size(); ++i) {
      if (list.entries[i].inline_json.empty()) continue;
      const auto cut =
          nlohmann::json::parse(with_valid_utf8(list.entries[i].inline_json), nullptr, false);
      const auto meant = nlohmann::json::parse(wanted->entries[i].inline_json, nullptr, false);
      OLLAMAFS_CHECK_FOR(cut == meant, list.entries[i].inline_json);
      OLLAMAFS_CHECK(text.find(list.entries[i].inline_json) != std::string_view::npos);
    }
  }
}

// What a manifest asks for, the plain way: the sizes of each digest that is one.
struct Wanted {
  std::map<Digest, std::set<std::uint64_t>> sizes;
  std::size_t unusable = 0;  // layers that no store could hold
  __int128 listed_size = 0;
};

void want(Wanted& wanted, const Layer& layer) {
  if (layer.size > 0) wanted.listed_size += layer.size;
  const auto digest = Digest::parse(layer.digest);
  if (!digest || layer.size < 0) {
    ++wanted.unusable;
  } else {
    wanted.sizes[*digest].insert(static_cast<std::uint64_t>(layer.size));
  }
}

void check_stored(std::string_view bytes, const Manifest& manifest) {
  const auto stored = StoredManifest::from(std::string{bytes}, manifest);
  OLLAMAFS_CHECK(stored && stored->bytes == bytes && stored->digest == Digest::of(bytes));
  OLLAMAFS_CHECK(stored->media_type == manifest.media_type && stored->runner == manifest.runner);

  Wanted wanted;
  if (!manifest.config.digest.empty()) want(wanted, manifest.config);
  for (const Layer& layer : manifest.layers) want(wanted, layer);
  OLLAMAFS_CHECK(stored->listed_size ==
                 static_cast<std::int64_t>(std::min<__int128>(wanted.listed_size, INT64_MAX)));

  // Each digest once, in order, with a size that the manifest gives it.
  OLLAMAFS_CHECK(
      std::ranges::equal(stored->blobs, wanted.sizes, [](const auto& blob, const auto& w) {
        return blob.digest == w.first && w.second.contains(blob.size);
      }));
  bool in_conflict = false;
  __int128 total = 0;
  for (const BlobRef& blob : stored->blobs) {
    in_conflict |= wanted.sizes[blob.digest].size() > 1;
    total += blob.size;
  }
  const bool too_large = total > INT64_MAX / 2;
  const bool right = wanted.unusable == 0 && !in_conflict && !too_large;
  OLLAMAFS_CHECK(stored->faults.empty() == right);
  OLLAMAFS_CHECK(stored->faults.size() >= wanted.unusable);
  for (const Fault& fault : stored->faults) {
    OLLAMAFS_CHECK_FOR(is_one_printable_line(fault.text) && fault.text.size() < 1000, fault.text);
  }

  OLLAMAFS_CHECK(
      stored->config ==
      (manifest.config.digest.empty() ? std::nullopt : Digest::parse(manifest.config.digest)));
  OLLAMAFS_CHECK(stored->is_anchor ==
                 std::ranges::any_of(manifest.layers, is_manifest_type, &Layer::media_type));
}

void check(std::string_view text) {
  const auto result = parsed(text);
  check_against_oracle(text, result);
  const auto again = parsed(std::string{text});
  OLLAMAFS_CHECK(again.has_value() == result.has_value());
  if (!result) return;
  OLLAMAFS_CHECK(again->index() == result->index());
  if (const auto* manifest = std::get_if<Manifest>(&*result)) {
    OLLAMAFS_CHECK(same(*manifest, std::get<Manifest>(*again)));
    check_stored(text, *manifest);
    return;
  }
  const auto& list = std::get<ManifestList>(*result);
  OLLAMAFS_CHECK(same(list, std::get<ManifestList>(*again), true));
  for (const ListEntry& entry : list.entries) {
    OLLAMAFS_CHECK(entry.digest.empty() || entry.inline_json.empty());
    if (entry.inline_json.empty()) continue;
    const auto child = parsed(entry.inline_json);
    if (child && std::holds_alternative<Manifest>(*child)) {
      check_stored(entry.inline_json, std::get<Manifest>(*child));
    }
  }
}

}  // namespace
}  // namespace ollamafs::test

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  ollamafs::test::check(ollamafs::test::as_text(data, size));
  return 0;
}
