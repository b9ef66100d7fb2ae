#include "store/upkeep/references.h"

#include <fmt/format.h>
#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <iterator>
#include <memory>
#include <set>
#include <unordered_map>
#include <utility>
#include <variant>

#include "store/catalog/tag_reader.h"
#include "store/catalog/tags.h"
#include "store/folder/read_file.h"

namespace ollamafs {
namespace {

using ManifestContent = std::variant<std::shared_ptr<const StoredManifest>, StoredList>;

// Follows what one tag names, from manifest to manifest.
class Closure {
 public:
  Closure(TagReader& reader, std::vector<Problem>& doubts) : reader_{reader}, doubts_{doubts} {}

  void add(const std::string& path, const ManifestContent& content) {
    add(content, path);
    while (!to_read_.empty()) {
      const Digest digest = to_read_.back();
      to_read_.pop_back();
      const TagResult result = reader_.read_blob(digest);
      if (const auto* file = std::get_if<TagFile>(&result)) {
        add(file->content, digest.blob_path());
      } else if (const auto& failure = std::get<TagFailure>(result); !failure.is_missing()) {
        doubts_.push_back({failure.kind, digest, path, failure.text});
      }
    }
  }

  // The blob of a tag's own manifest.
  void add_manifest(const Digest& digest) { manifests_.insert(digest); }

  void finish(TagReferences& out) const {
    out.manifests.assign(manifests_.begin(), manifests_.end());
    std::ranges::set_difference(blobs_, manifests_, std::back_inserter(out.blobs));
  }

 private:
  void add(const ManifestContent& content, const std::string& path) {
    if (const auto* list = std::get_if<StoredList>(&content)) return add(*list, path);
    add(*std::get<std::shared_ptr<const StoredManifest>>(content));
  }

  void add(const StoredManifest& manifest) {
    for (const BlobRef& blob : manifest.blobs) blobs_.insert(blob.digest);
    // What could not be right is named all the same.
    if (manifest.config) blobs_.insert(*manifest.config);
    for (const StoredLayer& layer : manifest.layers) {
      if (!layer.digest) continue;
      blobs_.insert(*layer.digest);
      if (is_manifest_type(layer.media_type)) follow(*layer.digest);
    }
  }

  void add(const StoredList& list, const std::string& path) {
    for (const ListEntry& entry : list.list.entries) {
      if (!entry.inline_json.empty()) {
        add_inline(entry.inline_json, path);
      } else if (const auto digest = Digest::parse(entry.digest)) {
        follow(*digest);
      }
    }
  }

  void add_inline(const std::string& bytes, const std::string& path) try {
    const AnyManifest manifest = parse_manifest(bytes);
    if (const auto* plain = std::get_if<Manifest>(&manifest)) {
      return add(*StoredManifest::from(bytes, *plain));
    }
    add(StoredList{{}, std::get<ManifestList>(manifest)}, path);
  } catch (const ManifestError& error) {
    doubts_.push_back({ProblemKind::bad_manifest,
                       {},
                       path,
                       fmt::format("has a manifest in its list that {}", error.what())});
  }

  void follow(const Digest& digest) {
    if (manifests_.insert(digest).second) to_read_.push_back(digest);
  }

  TagReader& reader_;
  std::vector<Problem>& doubts_;
  std::set<Digest> manifests_, blobs_;
  std::vector<Digest> to_read_;
};

class ReferenceReader {
 public:
  explicit ReferenceReader(const StoreDir& store) : store_{store}, reader_{store} {}

  StoreReferences read() && {
    const StoreTags tags = list_all_tags(store_);
    reader_.begin();
    for (const TagListing* listing : {&tags.v1, &tags.v2}) {
      doubt_listing(*listing);
      for (const Tag& tag : listing->tags) add_tag(tag, false);
      for (const Tag& tag : listing->shadows) add_tag(tag, true);
    }
    reader_.end();
    settle_dangling();
    std::ranges::sort(out_.tags, {}, [](const TagReferences& one) { return one.tag.path; });
    std::ranges::sort(out_.doubts, {}, &Problem::path);
    for (const TagReferences& one : out_.tags) {
      out_.named.insert(one.manifests.begin(), one.manifests.end());
      out_.named.insert(one.blobs.begin(), one.blobs.end());
    }
    return std::move(out_);
  }

 private:
  // A file of a name that is none may be a manifest that somebody writes; Ollama's own clean-up
  // takes it for that too. What lies on other levels is none to anybody.
  void doubt_listing(const TagListing& listing) {
    for (const Problem& problem : listing.problems) {
      if (problem.kind == ProblemKind::unlistable || problem.kind == ProblemKind::outside ||
          problem.kind == ProblemKind::bad_name) {
        out_.doubts.push_back(problem);
      }
    }
  }

  void add_tag(const Tag& tag, bool is_shadow) {
    TagReferences references{.tag = tag, .is_shadow = is_shadow, .manifests = {}, .blobs = {}};
    const TagResult result = reader_.read(tag);
    if (const auto* failure = std::get_if<TagFailure>(&result)) {
      if (failure->is_directory()) return;
      Problem doubt{failure->kind, failure->blob, tag.path, failure->text};
      if (tag.tree == TreeKind::v2 && failure->is_missing()) {
        dangling_.emplace(tag.name.logical_name(), std::move(doubt));
      } else {
        out_.doubts.push_back(std::move(doubt));
      }
      return;
    }
    const auto& file = std::get<TagFile>(result);
    Closure closure{reader_, out_.doubts};
    if (const std::error_code ec = note_entry(tag, file, references, closure)) {
      out_.doubts.push_back({problem_kind(ec), {}, tag.path, open_failure(ec)});
      return;
    }
    if (is_shadow) closure.add_manifest(*Digest::parse_hex(tag.name.tag()));
    closure.add(tag.path, file.content);
    closure.finish(references);
    if (tag.tree == TreeKind::v1) readable_v1_.insert(tag.name.logical_name());
    out_.tags.push_back(std::move(references));
  }

  // A symlink leads to a manifest's blob; a regular file holds its bytes. In the v2 tree it has the
  // blob beside it.
  std::error_code note_entry(const Tag& tag, const TagFile& file, TagReferences& references,
                             Closure& closure) const {
    std::error_code ec;
    const StoreDir::Opened entry = store_.resolve_entry(tag.path, ec);
    struct stat st {};
    if (!ec && store_.calls().fstat(entry.fd.get(), st) != 0) ec = {errno, std::generic_category()};
    if (ec) return ec;
    if (S_ISREG(st.st_mode)) references.entry_bytes = static_cast<std::uint64_t>(st.st_size);
    if (tag.tree == TreeKind::v1 && !S_ISLNK(st.st_mode)) return {};
    const auto* list = std::get_if<StoredList>(&file.content);
    closure.add_manifest(
        list ? list->digest
             : std::get<std::shared_ptr<const StoredManifest>>(file.content)->digest);
    return {};
  }

  // To Ollama a v2 tag that leads nowhere is none, if the v1 tree has the name.
  void settle_dangling() {
    for (auto& [name, doubt] : dangling_) {
      if (!readable_v1_.contains(name)) out_.doubts.push_back(std::move(doubt));
    }
  }

  const StoreDir& store_;
  TagReader reader_;
  std::unordered_multimap<std::string, Problem> dangling_;  // by logical name
  std::unordered_set<std::string> readable_v1_;             // logical names
  StoreReferences out_;
};

}  // namespace

StoreReferences read_references(const StoreDir& store) {
  return ReferenceReader{store}.read();
}

}  // namespace ollamafs
