#include <fmt/format.h>

#include <algorithm>
#include <iterator>
#include <unordered_map>
#include <utility>

#include "store/catalog/catalog.h"
#include "store/catalog/list_child.h"
#include "store/catalog/shown_names.h"
#include "store/catalog/tag_choice.h"
#include "store/catalog/tag_reader.h"
#include "store/catalog/tags.h"
#include "store/folder/read_file.h"

namespace ollamafs {
namespace {

// Whether there is a models folder no longer, although there is something at its path: as when the
// disk was unmounted that it lay on, or on which what it links to lay. None of its folders is there
// then, or one is a link that leads nowhere. What else fails, reading tells.
bool has_gone(const StoreDir& store) {
  const auto is_missing = [](const std::error_code& ec) {
    return ec == std::errc::no_such_file_or_directory;
  };
  std::size_t missing = 0;
  for (const char* const folder : kStoreFolders) {
    std::error_code ec;
    (void)store.resolve(folder, ec);
    if (!is_missing(ec)) continue;
    (void)store.resolve_entry(folder, ec);
    if (!is_missing(ec)) return true;
    ++missing;
  }
  return missing == std::size(kStoreFolders);
}

}  // namespace

// Reads a store into a Catalog: a model for each tag that counts, and every blob once.
class CatalogBuilder {
 public:
  CatalogBuilder(const StoreDir& store, TagReader& reader) : store_{store}, reader_{reader} {}

  std::shared_ptr<const Catalog> build() && {
    reader_.begin();
    const TagsByName by_name = tags_by_name();
    out_->models_.reserve(by_name.size());
    for (const auto& [name, tags] : by_name) add_models(tags);
    reader_.end();
    assign_shown_names(out_->models_, out_->problems_);
    std::ranges::sort(out_->models_, {}, &Model::view_name);
    sort_blobs();
    out_->index_users();
    report_followed_links();
    std::ranges::stable_sort(out_->problems_, {}, &Problem::path);
    std::ranges::sort(out_->unread_);
    return std::move(out_);
  }

 private:
  [[nodiscard]] TagsByName tags_by_name() {
    StoreTags tags = list_all_tags(store_, reader_.memory(), reader_.limits());
    for (TagListing* tree : {&tags.v1, &tags.v2}) {
      std::ranges::move(tree->problems, std::back_inserter(out_->problems_));
      std::ranges::copy(tree->unread, std::back_inserter(out_->unread_));
    }
    v2_ = {std::move(tags.v2.unlisted), std::move(tags.v2.unread)};
    return group_by_name(std::move(tags.v1.tags), std::move(tags.v2.tags), reader_,
                         out_->problems_);
  }

  void add_models(const NameTags& tags) {
    const auto of_disk = [this] { return reader_.failures().of_disk + of_children_.of_disk; };
    const auto before = of_disk();
    for (ChosenTag& chosen : read_chosen(tags, reader_, out_->problems_)) {
      add_model(*chosen.tag, std::move(chosen.result));
    }
    if (of_disk() == before) return;
    if (tags.v2) out_->unread_.push_back(tags.v2->path);
    for (const Tag& tag : tags.v1) out_->unread_.push_back(tag.path);
  }

  void add_model(const Tag& tag, TagResult result) {
    Model model{.name = tag.name, .tag_path = tag.path};
    bool is_in_doubt = false;
    if (auto* failure = std::get_if<TagFailure>(&result)) {
      if (failure->pending) return;
      if (!failure->blob) {
        out_->problems_.push_back({failure->kind, {}, tag.path, std::move(failure->text)});
        return;
      }
      model.manifest = StoredManifest::lost(
          *failure->blob, {{failure->kind, failure->blob, std::move(failure->text)}});
    } else {
      auto& file = std::get<TagFile>(result);
      model.mtime = file.mtime;
      model.uid = file.uid;
      model.gid = file.gid;
      if (file.outside) followed_link(tag.path);
      const auto before = std::pair{reader_.failures(), of_children_};
      model.manifest = runnable(file.content);
      is_in_doubt = std::pair{reader_.failures(), of_children_} != before;
    }
    resolve_blobs(model);
    if (is_in_doubt) {
      model.faults.push_back(
          {ProblemKind::in_doubt,
           {},
           "its list may mean another manifest, of which something cannot be read"});
    }
    // Its ID may be another than that of the v2 entry (docs/store-format.md §3.2).
    if (tag.tree == TreeKind::v1 && may_be_in_v2(model, v2_.unlisted)) {
      if (may_be_in_v2(model, v2_.unread)) out_->unread_.push_back(tag.path);
      model.faults.push_back(
          {ProblemKind::in_doubt,
           {},
           "its entry in manifests-v2 may be in a folder that cannot be listed"});
    }
    out_->models_.push_back(std::move(model));
  }

  // Whether what v2 has of the name, and Ollama would prefer, may be in a folder that could not be
  // listed; of an anchor it certainly has something, in whatever spelling.
  [[nodiscard]] static bool may_be_in_v2(const Model& model,
                                         const std::vector<std::string>& folders) {
    if (model.manifest->is_anchor) return !folders.empty();
    const std::string path = std::string{tree_folder(TreeKind::v2)} + "/" + model.name.v2_path();
    return std::ranges::any_of(
        folders, [&](const std::string& folder) { return path.starts_with(folder + "/"); });
  }

  [[nodiscard]] std::shared_ptr<const StoredManifest> runnable(
      const std::variant<std::shared_ptr<const StoredManifest>, StoredList>& content) {
    if (const auto* list = std::get_if<StoredList>(&content)) {
      return choose_child(*list, reader_,
                          [this](const StoredManifest& child) { return is_complete(child); });
    }
    return std::get<std::shared_ptr<const StoredManifest>>(content);
  }

  // ---- blobs ----

  [[nodiscard]] bool is_complete(const StoredManifest& manifest) {
    return manifest.faults.empty() && std::ranges::all_of(manifest.blobs, [&](const BlobRef& ref) {
             const Blob& blob = out_->blobs_[blob_index(ref.digest)];
             of_children_.count(blob.error);
             return blob.good() && blob.identity.size == ref.size;
           });
  }

  [[nodiscard]] std::uint32_t blob_index(const Digest& digest) {
    const auto [it, is_new] =
        blob_indexes_.try_emplace(digest, static_cast<std::uint32_t>(out_->blobs_.size()));
    if (is_new) out_->blobs_.push_back(look_at_blob(digest));
    return it->second;
  }

  [[nodiscard]] Blob look_at_blob(const Digest& digest) {
    StoreMemory* const memory = reader_.memory();
    if (const Blob* const known = memory ? memory->blob(digest) : nullptr) return *known;
    bool is_alone = false;
    Blob blob = inspect_blob(store_, digest, &is_alone);
    refuse_shortage(store_, digest.blob_path(), blob.error);
    if (memory && is_alone && blob.good()) memory->remember(blob);
    return blob;
  }

  void resolve_blobs(Model& model) {
    model.faults = model.manifest->faults;
    for (const BlobRef& ref : model.manifest->blobs) {
      model.blobs.push_back(blob_index(ref.digest));
      const Blob& blob = out_->blobs_[model.blobs.back()];
      if (!blob.good()) {
        model.faults.push_back(
            {problem_kind(blob.error), ref.digest,
             fmt::format("blob {} {}", ref.digest.blob_name(), open_failure(blob.error))});
      } else if (blob.identity.size != ref.size) {
        model.faults.push_back({ProblemKind::wrong_size, ref.digest,
                                fmt::format("blob {} has {} bytes, its manifest says {}",
                                            ref.digest.blob_name(), blob.identity.size, ref.size)});
      }
    }
  }

  // Blobs that only passed-over children of lists named go, the others get their final indexes.
  void sort_blobs() {
    std::vector<bool> used(out_->blobs_.size());
    for (const Model& model : out_->models_) {
      for (const std::uint32_t blob : model.blobs) used[blob] = true;
    }
    std::vector<std::uint32_t> order;
    for (std::uint32_t i = 0; i < used.size(); ++i) {
      if (used[i]) order.push_back(i);
    }
    std::ranges::sort(order, {}, [&](std::uint32_t i) { return out_->blobs_[i].digest; });
    std::vector<std::uint32_t> moved_to(used.size());
    std::vector<Blob> sorted;
    sorted.reserve(order.size());
    for (const std::uint32_t i : order) {
      moved_to[i] = static_cast<std::uint32_t>(sorted.size());
      sorted.push_back(out_->blobs_[i]);
    }
    out_->blobs_ = std::move(sorted);
    for (Model& model : out_->models_) {
      for (std::uint32_t& blob : model.blobs) blob = moved_to[blob];
    }
  }

  // ---- links that were followed out of the store: said once ----

  void followed_link(const std::string& path) {
    if (followed_links_++ == 0) first_followed_ = path;
  }

  void report_followed_links() {
    for (const Blob& blob : out_->blobs_) {
      if (blob.outside) followed_link(blob.path());
    }
    if (followed_links_ == 0) return;
    out_->problems_.push_back(
        {ProblemKind::followed,
         {},
         first_followed_,
         followed_links_ == 1 ? "leads out of the store; it is followed"
                              : fmt::format("and {} more lead out of the store; they are followed",
                                            followed_links_ - 1)});
  }

  const StoreDir& store_;
  TagReader& reader_;
  std::shared_ptr<Catalog> out_{new Catalog};
  std::unordered_map<Digest, std::uint32_t> blob_indexes_;
  struct {
    std::vector<std::string> unlisted, unread;
  } v2_;                      // folders
  ReadFailures of_children_;  // at the blobs of what lists may mean
  std::string first_followed_;
  std::size_t followed_links_ = 0;
};

std::shared_ptr<const Catalog> Catalog::read(const StoreDir& store) {
  TagReader reader{store};
  return read(store, reader);
}

std::shared_ptr<const Catalog> Catalog::read(const StoreDir& store, TagReader& reader) {
  return has_gone(store) ? Catalog::gone() : CatalogBuilder{store, reader}.build();
}

}  // namespace ollamafs
