#include "store/transfer/inventory.h"

#include <fmt/format.h>

#include <utility>
#include <variant>

#include "store/base/text.h"
#include "store/catalog/list_child.h"
#include "store/catalog/store_limits.h"
#include "store/model/manifest.h"
#include "store/transfer/transfer_error.h"

namespace ollamafs {
namespace {

[[noreturn]] void refuse_source(const std::string& why) {
  throw TransferError{TransferError::Kind::broken, why};
}

std::string named(const std::string& source, const Member& member) {
  return fmt::format("{}: {}", source, printable(member.path));
}

}  // namespace

void Inventory::see(const std::string& source, const Member& member) {
  // A name that no path has stands between the two.
  if (!seen_.insert(Digest::of(source + '\n' + member.path)).second) {
    refuse_source(
        fmt::format("{} is refused: member {} is in it twice", source, printable(member.path)));
  }
  if (seen_.size() <= most_) return;
  refuse_source(
      fmt::format("{} is refused: more than {} blobs and manifests are in it", source, most_));
}

void Inventory::count(std::uint64_t bytes) {
  bytes_ += bytes;
  if (bytes_ <= StoreLimits{}.manifest_bytes / 4) return;
  refuse_source(fmt::format("the source has more than {} bytes of manifests",
                            StoreLimits{}.manifest_bytes / 4));
}

void Inventory::add_manifest(const std::string& source, const Member& member, std::string bytes) {
  count(bytes.size());
  put(source, member, {member.name, named(source, member), std::move(bytes), {}});
}

void Inventory::add_link(const std::string& source, const Member& member) {
  put(source, member, {member.name, named(source, member), {}, member.digest});
}

void Inventory::put(const std::string& source, const Member& member, Tag tag) {
  if (!tag.name) {
    nameless_.push_back(std::move(tag));
    return;
  }
  NameTags& tags = tags_[tag.name->logical_name()];
  std::optional<Tag>& place = member.tree == TreeKind::v1 ? tags.v1 : tags.v2;
  // Several models of the view in one archive, or a store under two spellings of the public host.
  if (place && (place->bytes != tag.bytes || place->digest != tag.digest)) {
    refuse_source(fmt::format("{} and {} are two manifests of one model", place->member,
                              named(source, member)));
  }
  place = std::move(tag);
}

bool Inventory::may_be_manifest(std::string_view beginning, std::uint64_t size) noexcept {
  const std::size_t first = beginning.find_first_not_of(" \t\r\n");
  return size <= kMaxManifestBytes && first != beginning.npos && beginning[first] == '{';
}

void Inventory::keep_blob(const Digest& digest, std::string bytes) {
  try {
    (void)parse_manifest(bytes);
  } catch (const ManifestError&) {
    return;
  }
  count(bytes.size());
  blobs_.insert_or_assign(digest, std::move(bytes));
}

// What tags lead to.
class Inventory::Resolver {
 public:
  Resolver(const Inventory& inventory,
           const std::function<bool(const StoredManifest&)>& is_complete,
           const std::function<std::string(const Digest&)>& elsewhere)
      : inventory_{inventory}, is_complete_{is_complete}, elsewhere_{elsewhere} {}

  [[nodiscard]] SourceModel model(const NameTags& tags) const {
    if (!tags.v2) return model(*tags.v1, tags.v1->bytes);
    if (!tags.v2->digest) return model(*tags.v2, tags.v2->bytes);
    const std::string bytes = blob(*tags.v2->digest);
    if (!bytes.empty()) return model(*tags.v2, bytes);
    if (tags.v1) return model(*tags.v1, tags.v1->bytes);  // as Ollama does: §3.2
    refuse_source(fmt::format("{}: its manifest, blob {}, is missing", tags.v2->member,
                              tags.v2->digest->blob_name()));
  }

  [[nodiscard]] SourceModel model(const Tag& tag, const std::string& bytes) const try {
    AnyManifest parsed = parse_manifest(bytes);
    SourceModel model{tag.name, nullptr, tag.member};
    if (auto* list = std::get_if<ManifestList>(&parsed)) {
      const StoredList stored{Digest::of(bytes), std::move(*list)};
      model.manifest = choose_child(
          stored, [this](const Digest& digest) { return child(digest); }, is_complete_);
    } else {
      model.manifest = StoredManifest::from(bytes, std::get<Manifest>(parsed));
    }
    if (!model.manifest->faults.empty()) {
      refuse_source(fmt::format("{}: {}", tag.member, model.manifest->faults.front().text));
    }
    return model;
  } catch (const ManifestError& error) {
    refuse_source(fmt::format("{} is not a manifest: it {}", tag.member, error.what()));
  }

 private:
  [[nodiscard]] std::string blob(const Digest& digest) const {
    const auto known = inventory_.blobs_.find(digest);
    return known != inventory_.blobs_.end() ? known->second : elsewhere_(digest);
  }

  [[nodiscard]] TagResult child(const Digest& digest) const {
    const std::string bytes = blob(digest);
    if (bytes.empty()) {
      return TagFailure{ProblemKind::missing, digest,
                        fmt::format("manifest blob {} is missing", digest.blob_name())};
    }
    try {
      AnyManifest parsed = parse_manifest(bytes);
      if (auto* list = std::get_if<ManifestList>(&parsed)) {
        return TagFile{StoredList{digest, std::move(*list)}};
      }
      return TagFile{StoredManifest::from(bytes, std::get<Manifest>(parsed))};
    } catch (const ManifestError& error) {
      return TagFailure{
          ProblemKind::bad_manifest, digest,
          fmt::format("manifest blob {} is no manifest: it {}", digest.blob_name(), error.what())};
    }
  }

  const Inventory& inventory_;
  const std::function<bool(const StoredManifest&)>& is_complete_;
  const std::function<std::string(const Digest&)>& elsewhere_;
};

std::vector<SourceModel> Inventory::models(
    const std::function<bool(const StoredManifest&)>& is_complete,
    const std::function<std::string(const Digest&)>& elsewhere) const {
  const Resolver resolver{*this, is_complete, elsewhere};
  std::vector<SourceModel> models;
  models.reserve(tags_.size() + nameless_.size());
  for (const auto& [name, tags] : tags_) models.push_back(resolver.model(tags));
  for (const Tag& tag : nameless_) models.push_back(resolver.model(tag, tag.bytes));
  return models;
}

}  // namespace ollamafs
