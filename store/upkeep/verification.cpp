#include "store/upkeep/verification.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <set>
#include <unordered_map>
#include <utility>

#include "store/folder/read_file.h"
#include "store/upkeep/blob_folder.h"
#include "store/upkeep/hash_crew.h"
#include "store/upkeep/references.h"

namespace ollamafs {
namespace {

// Who needs a blob, and how large it is to be.
struct WantedBlob {
  std::set<std::string> models;  // shown names
  std::set<std::uint64_t> sizes;
  bool is_needed = false;  // a model that is run needs it: it is a fault if it is missing
};

bool is_about_manifests(ProblemKind kind) noexcept {
  switch (kind) {
    case ProblemKind::missing:
    case ProblemKind::not_a_file:
    case ProblemKind::outside:
    case ProblemKind::unreadable:
    case ProblemKind::damaged:
    case ProblemKind::wrong_size:
    case ProblemKind::bad_manifest:
    case ProblemKind::foreign_link:
    case ProblemKind::unlistable:
    case ProblemKind::in_doubt:
      return true;
    default:
      return false;
  }
}

class StoreVerifier {
 public:
  StoreVerifier(const StoreDir& store, const Catalog& catalog,
                const std::vector<std::size_t>& models)
      : store_{store}, catalog_{catalog}, is_of_all_{models.empty()} {
    for (const std::size_t i : models) models_.push_back(&catalog.models()[i]);
    if (is_of_all_) {
      for (const Model& model : catalog.models()) models_.push_back(&model);
    }
  }

  Verification run(Progress& progress) && {
    collect_wanted();
    collect_jobs();
    std::uint64_t bytes = 0;
    for (const HashJob& job : jobs_) bytes += job.expected;
    progress.expect(bytes, jobs_.size());
    hash_files(store_, jobs_, progress);
    for (const HashJob& job : jobs_) judge(job);
    find_missing();
    find_broken_manifests();
    std::ranges::stable_sort(out_.findings, {}, &Finding::path);
    return std::move(out_);
  }

 private:
  // A model's tag keeps more than the manifest that is run: lists, and children of other runners.
  void collect_wanted() {
    std::multimap<std::string, const Model*> by_path, by_name;
    for (const Model* model : models_) {
      by_path.emplace(model->tag_path, model);
      by_name.emplace(model->name.logical_name(), model);
      // Of a damaged one only its name is known, and the trees do not tell what it names.
      wanted_[model->manifest->digest].models.insert(model->shown);
      for (const BlobRef& blob : model->manifest->blobs) {
        WantedBlob& wanted = wanted_[blob.digest];
        wanted.models.insert(model->shown);
        wanted.sizes.insert(blob.size);
        wanted.is_needed = true;
      }
    }
    for (const TagReferences& tag : read_references(store_).tags) {
      auto range = by_path.equal_range(tag.tag.path);
      if (range.first == range.second) range = by_name.equal_range(tag.tag.name.logical_name());
      for (auto it = range.first; it != range.second; ++it) {
        for (const auto* digests : {&tag.manifests, &tag.blobs}) {
          for (const Digest& digest : *digests) wanted_[digest].models.insert(it->second->shown);
        }
      }
    }
  }

  void collect_jobs() {
    for (const BlobEntry& entry : list_blob_folder(store_)) {
      if (!entry.digest) continue;
      here_.insert(*entry.digest);
      if (!is_of_all_ && !wanted_.contains(*entry.digest)) continue;
      jobs_.push_back(
          {.path = entry.path(), .expected = size_behind(entry), .name = *entry.digest});
    }
  }

  [[nodiscard]] std::uint64_t size_behind(const BlobEntry& entry) const {
    struct stat st = entry.st;
    if (S_ISLNK(st.st_mode)) {
      std::error_code ec;
      const StoreDir::Opened file = store_.resolve(entry.path(), ec);
      if (ec || store_.calls().fstat(file.fd.get(), st) != 0) return 0;
    }
    return S_ISREG(st.st_mode) ? static_cast<std::uint64_t>(st.st_size) : 0;
  }

  void judge(const HashJob& job) {
    const Digest& digest = job.name;
    const auto it = wanted_.find(digest);
    const WantedBlob& wanted = it == wanted_.end() ? nobodys_ : it->second;
    if (job.error) {
      return add(FindingKind::unreadable, digest, job.path, open_failure(job.error), wanted);
    }
    ++out_.blobs;
    out_.bytes += job.size;
    if (job.digest != digest) {
      judge_bad(job, digest, wanted);
      out_.findings.back().identity = job.identity;
      return;
    }
    for (const std::uint64_t size : wanted.sizes) {
      if (size == job.size) continue;
      add(FindingKind::wrong_size, digest, job.path,
          fmt::format("has its {} bytes, but a manifest says that they are {}", job.size, size),
          wanted);
    }
  }

  void judge_bad(const HashJob& job, const Digest& digest, const WantedBlob& wanted) {
    if (job.has_changed) {
      return add(FindingKind::unreadable, digest, job.path,
                 "changes while it is read: verify it again", wanted);
    }
    if (wanted.sizes.size() != 1 || wanted.sizes.contains(job.size)) {
      return add(FindingKind::wrong_bytes, digest, job.path,
                 fmt::format("has wrong bytes: their SHA-256 is {}", job.digest.hex()), wanted);
    }
    const std::uint64_t size = *wanted.sizes.begin();
    const bool is_short = job.size < size;
    add(is_short ? FindingKind::too_short : FindingKind::too_long, digest, job.path,
        fmt::format("is too {}: it has {} bytes, its manifest says {}", is_short ? "short" : "long",
                    job.size, size),
        wanted);
  }

  void find_missing() {
    for (const auto& [digest, wanted] : wanted_) {
      if (!wanted.is_needed || here_.contains(digest)) continue;
      // Something else may be there: a folder of that name.
      const auto blob = catalog_.blob_index(digest);
      const std::error_code error = blob ? catalog_.blobs()[*blob].error : std::error_code{};
      const bool is_missing = !error || error == std::errc::no_such_file_or_directory;
      add(is_missing ? FindingKind::missing : FindingKind::unreadable, digest, digest.blob_path(),
          is_missing ? "is missing" : open_failure(error), wanted);
    }
  }

  void find_broken_manifests() {
    std::unordered_map<Digest, std::vector<std::size_t>> found;
    for (std::size_t i = 0; i < out_.findings.size(); ++i) {
      if (out_.findings[i].digest) found[*out_.findings[i].digest].push_back(i);
    }
    for (const Model* model : models_) {
      for (const Fault& fault : model->faults) {
        // What the catalog says of a blob, its hash has told better.
        if (fault.digest && found.contains(*fault.digest)) {
          for (const std::size_t i : found.at(*fault.digest)) concern(out_.findings[i], *model);
          continue;
        }
        out_.findings.push_back({FindingKind::manifest,
                                 fault.digest,
                                 model->tag_path,
                                 "leads to a broken model: " + fault.text,
                                 {model->shown}});
      }
    }
    if (!is_of_all_) return;
    for (const Problem& problem : catalog_.problems()) {
      if (!is_about_manifests(problem.kind)) continue;
      out_.findings.push_back(
          {FindingKind::manifest, problem.digest, problem.path, problem.text, {}});
    }
  }

  static void concern(Finding& finding, const Model& model) {
    const auto it = std::ranges::lower_bound(finding.models, model.shown);
    if (it == finding.models.end() || *it != model.shown) finding.models.insert(it, model.shown);
  }

  void add(FindingKind kind, const Digest& digest, const std::string& path, std::string text,
           const WantedBlob& wanted) {
    out_.findings.push_back(
        {kind, digest, path, std::move(text), {wanted.models.begin(), wanted.models.end()}});
  }

  const StoreDir& store_;
  const Catalog& catalog_;
  const bool is_of_all_;
  std::vector<const Model*> models_;
  std::unordered_map<Digest, WantedBlob> wanted_;
  const WantedBlob nobodys_{};
  std::set<Digest> here_;  // in blobs/
  std::vector<HashJob> jobs_;
  Verification out_;
};

}  // namespace

std::string_view to_string(FindingKind kind) noexcept {
  switch (kind) {
    case FindingKind::missing:
      return "missing";
    case FindingKind::too_short:
      return "too-short";
    case FindingKind::too_long:
      return "too-long";
    case FindingKind::wrong_bytes:
      return "wrong-bytes";
    case FindingKind::wrong_size:
      return "wrong-size";
    case FindingKind::unreadable:
      return "unreadable";
    case FindingKind::manifest:
      return "manifest";
  }
  return "";
}

Verification verify_store(const StoreDir& store, const Catalog& catalog,
                          const std::vector<std::size_t>& models, Progress& progress) {
  return StoreVerifier{store, catalog, models}.run(progress);
}

}  // namespace ollamafs
