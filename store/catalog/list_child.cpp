#include "store/catalog/list_child.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "store/base/text.h"

namespace ollamafs {
namespace {

using ManifestPtr = std::shared_ptr<const StoredManifest>;

struct Child {
  std::size_t rank;
  ManifestPtr manifest;
};

std::size_t runner_rank(std::string_view runner) {
  constexpr std::array<std::string_view, 3> order = {"ggml", "llamacpp", "mlx"};
  return static_cast<std::size_t>(std::ranges::find(order, runner) - order.begin());
}

ManifestPtr runnable(const AnyManifest& manifest, const std::string& bytes) {
  const auto* plain = std::get_if<Manifest>(&manifest);
  return plain ? StoredManifest::from(bytes, *plain) : nullptr;
}

using ReadBlob = std::function<TagResult(const Digest&)>;

// Null if the child is not here. `faults` gets why, unless it was never pulled.
ManifestPtr child_of(const ListEntry& entry, const ReadBlob& read_blob, Faults& faults) try {
  if (!entry.inline_json.empty()) {
    if (auto child = runnable(parse_manifest(entry.inline_json), entry.inline_json)) return child;
    faults.push_back({ProblemKind::bad_manifest, {}, "its list has a list in it"});
    return nullptr;
  }
  const auto digest = Digest::parse(entry.digest);
  if (!digest) {
    faults.push_back({ProblemKind::bad_digest,
                      {},
                      fmt::format("its list names no blob: \"{}\" is not a SHA-256 digest",
                                  printable(entry.digest.substr(0, 96)))});
    return nullptr;
  }
  TagResult result = read_blob(*digest);
  if (auto* failure = std::get_if<TagFailure>(&result)) {
    if (!failure->is_missing()) faults.push_back({failure->kind, digest, std::move(failure->text)});
    return nullptr;
  }
  auto& content = std::get<TagFile>(result).content;
  if (auto* manifest = std::get_if<ManifestPtr>(&content)) return std::move(*manifest);
  faults.push_back({ProblemKind::bad_manifest, digest,
                    fmt::format("its list has a list in it, blob {}", digest->blob_name())});
  return nullptr;
} catch (const ManifestError& error) {
  faults.push_back({ProblemKind::bad_manifest,
                    {},
                    fmt::format("its list has a manifest in it that {}", error.what())});
  return nullptr;
}

}  // namespace

ManifestPtr choose_child(const StoredList& stored, TagReader& reader,
                         const std::function<bool(const StoredManifest&)>& is_complete) {
  return choose_child(
      stored, [&reader](const Digest& digest) { return reader.read_blob(digest); }, is_complete);
}

ManifestPtr choose_child(const StoredList& stored, const ReadBlob& read_blob,
                         const std::function<bool(const StoredManifest&)>& is_complete) {
  std::vector<Child> children;
  Faults faults;
  for (const ListEntry& entry : stored.list.entries) {
    if (ManifestPtr child = child_of(entry, read_blob, faults)) {
      const std::size_t rank = runner_rank(entry.runner.empty() ? child->runner : entry.runner);
      children.push_back({rank, std::move(child)});
    }
  }
  std::ranges::stable_sort(children, {}, &Child::rank);
  for (const Child& child : children) {
    if (is_complete(*child.manifest)) return child.manifest;
  }
  if (!children.empty()) return children.front().manifest;
  if (faults.empty()) {
    faults.push_back({ProblemKind::no_child, stored.digest,
                      fmt::format("none of the {} manifests of its list is in the store",
                                  stored.list.entries.size())});
  }
  return StoredManifest::lost(stored.digest, std::move(faults));
}

}  // namespace ollamafs
