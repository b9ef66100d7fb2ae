#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <unordered_map>
#include <unordered_set>
#include <vector>

#include "store/model/digest.h"
#include "store/model/model_name.h"
#include "store/model/stored_manifest.h"
#include "store/transfer/import_source.h"

namespace ollamafs {

// A model of a source, in its portable form (docs/store-format.md §3.4).
struct SourceModel {
  std::optional<ModelName> name;  // none: the source does not tell
  std::shared_ptr<const StoredManifest> manifest;
  std::string member;  // printable: where the manifest is in the source
};

// What the sources of an import have of manifests: collected member by member, in any order, and
// then put together.
class Inventory {
 public:
  // Members of all sources at most: far beyond what a store has, and little memory.
  static constexpr std::size_t kMostMembers = 500'000;

  explicit Inventory(std::size_t most = kMostMembers) : most_{most} {}

  // To be called for each member. Throws TransferError if the source has the path twice, or if
  // there are too many.
  void see(const std::string& source, const Member& member);

  void add_manifest(const std::string& source, const Member& member, std::string bytes);
  void add_link(const std::string& source, const Member& member);

  // A blob, which a tag of the v2 tree or a list may name as a manifest. Kept if it is one.
  void keep_blob(const Digest& digest, std::string bytes);

  // Whether a blob that begins so and has this size can be a manifest.
  [[nodiscard]] static bool may_be_manifest(std::string_view beginning,
                                            std::uint64_t size) noexcept;

  // All models, by name. Of a list the child is chosen as by choose_child(); `is_complete` tells
  // whether all blobs of a manifest can be had, `elsewhere` reads a manifest blob that no source
  // has (empty: it is nowhere). Throws TransferError for the first tag that leads to no model.
  [[nodiscard]] std::vector<SourceModel> models(
      const std::function<bool(const StoredManifest&)>& is_complete,
      const std::function<std::string(const Digest&)>& elsewhere) const;

 private:
  struct Tag {
    std::optional<ModelName> name;
    std::string member;            // printable
    std::string bytes;             // of a manifest
    std::optional<Digest> digest;  // of a link
  };
  struct NameTags {
    std::optional<Tag> v1, v2;
  };
  class Resolver;

  void put(const std::string& source, const Member& member, Tag tag);
  void count(std::uint64_t bytes);

  std::size_t most_;
  std::unordered_set<Digest> seen_;       // of sources and paths, which may be long
  std::map<std::string, NameTags> tags_;  // by logical name
  std::vector<Tag> nameless_;
  std::unordered_map<Digest, std::string> blobs_;
  std::uint64_t bytes_ = 0;
};

}  // namespace ollamafs
