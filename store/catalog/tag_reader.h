#pragma once

#include <sys/types.h>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <system_error>
#include <variant>

#include "store/base/file_identity.h"
#include "store/base/swept_map.h"
#include "store/catalog/tag_tree.h"
#include "store/folder/read_file.h"
#include "store/folder/store_dir.h"
#include "store/model/problem.h"
#include "store/model/stored_manifest.h"

namespace ollamafs {

// A list as it is on disk.
struct StoredList {
  Digest digest;  // of its bytes
  ManifestList list;
};

// What a tag's entry in the store turned out to be.
struct TagFile {
  std::variant<std::shared_ptr<const StoredManifest>, StoredList> content;
  std::int64_t mtime =
      0;          // seconds; of the entry itself, a symlink's own: MODIFIED in `ollama list`
  uid_t uid = 0;  // of the file that holds the bytes
  gid_t gid = 0;
  bool outside = false;  // a symlink led out of the store
};

// Why a tag has no content.
struct TagFailure {
  ProblemKind kind;
  // The manifest blob that the tag leads to and that is missing or may not be believed. Then there
  // is a model, a broken one, and `text` is its fault, a sentence. Without it nothing says that
  // there is a model, and `text` goes on from the tag's path.
  std::optional<Digest> blob;
  std::string text;      // one printable line
  bool pending = false;  // somebody is writing the file, it seems: it should be read again

  // The manifest blob is not there: the v1 tree may have the model.
  [[nodiscard]] bool is_missing() const noexcept { return blob && kind == ProblemKind::missing; }

  // There is no tag: likewise.
  [[nodiscard]] bool is_directory() const noexcept { return kind == ProblemKind::directory; }
};

// How often something could not be read that is there.
struct ReadFailures {
  std::size_t all = 0;
  std::size_t of_disk = 0;  // is_disk_failure

  void count(const std::error_code& ec) noexcept;
  bool operator==(const ReadFailures&) const = default;
};

using TagResult = std::variant<TagFile, TagFailure>;

// Reads manifests from one store, and remembers them: a file is read again when it has changed.
// Tags that lead to the same manifest blob share its content. Not for use from several threads at
// once.
class TagReader {
 public:
  // Servers before 0.40 do not write manifests atomically (docs/store-format.md §5). With
  // `patient`, a file that makes no sense and was written to just now counts as what it was before,
  // or is TagFailure::pending. With `memory`, which must outlive this, what has not changed since
  // its begin() is not even looked at.
  explicit TagReader(const StoreDir& store, bool patient = false, const StoreLimits& limits = {},
                     StoreMemory* memory = nullptr)
      : store_{store}, patient_{patient}, limits_{limits}, memory_{memory} {}

  [[nodiscard]] const StoreLimits& limits() const noexcept { return limits_; }
  [[nodiscard]] StoreMemory* memory() const noexcept { return memory_; }

  // To be called before and after all tags are read: what is not read between the two is forgotten.
  void begin();
  void end();

  // True if since begin() a file was not taken for what it is, because it is being written.
  [[nodiscard]] bool has_pending() const noexcept { return has_pending_; }

  // What could not be read since begin().
  [[nodiscard]] const ReadFailures& failures() const noexcept { return failures_; }

  // Reads a tag by the rules of its tree (docs/store-format.md §3): a regular file holds the
  // manifest; a symlink must lead to the manifest's own blob in this store, and the blob must hash
  // to its name. v1 symlinks may also lead to any other regular file, as older servers allow.
  // Throws, as read_blob does, std::system_error if this process lacks descriptors or memory,
  // std::length_error if what was read since begin() is more than the limits allow.
  [[nodiscard]] TagResult read(const Tag& tag);

  // Whether the symlink at `path` leads to a directory: then there is no tag.
  [[nodiscard]] bool leads_to_directory(const std::string& path) const;
  [[nodiscard]] bool leads_nowhere(const std::string& path) const;

  // Reads the manifest blob `digest`, which must hash to its name. A failure names the blob.
  [[nodiscard]] TagResult read_blob(const Digest& digest);

 private:
  [[nodiscard]] TagResult read_link(const Tag& tag, int link_fd);
  [[nodiscard]] TagResult read_plain(const Tag& tag);

  // A file as it was when it was read last.
  struct Known {
    FileIdentity identity;
    bool settled = false;  // its times tell it from what it is after another write
    TagFile file;
    bool watched = false;  // it is that still, unless the store's memory says otherwise
  };

  // A tag that is a symlink to its manifest's blob.
  struct KnownLink {
    Digest digest;
    std::int64_t mtime = 0;  // seconds
  };

  [[nodiscard]] std::optional<TagFile> remembered(const Tag& tag);
  [[nodiscard]] std::optional<TagFile> remembered(const Digest& digest);
  [[nodiscard]] std::optional<TagFile> watched_file(const std::string& path);
  [[nodiscard]] bool watch_from_now(const std::string& path, const TagResult& result,
                                    const struct stat& entry);

  [[nodiscard]] TagResult read_manifest(const std::string& path, const Digest* digest);
  [[nodiscard]] TagResult parse(const std::string& path, const Digest* digest, FileContent content);

  [[nodiscard]] const TagFile& use(const std::string& path);
  [[nodiscard]] const TagFile& put(const std::string& path, Known known);
  void count_bytes(std::uint64_t more);
  void judge(const std::string& path, const std::error_code& ec);

  const StoreDir& store_;
  bool patient_;
  StoreLimits limits_;
  StoreMemory* memory_;
  std::uint64_t bytes_ = 0;  // of the files that were used since begin()
  bool has_pending_ = false;
  ReadFailures failures_;
  SweptMap<std::string, Known> known_;      // by path below the store
  SweptMap<std::string, KnownLink> links_;  // likewise
};

}  // namespace ollamafs
