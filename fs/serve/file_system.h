#pragma once

#include <sys/statvfs.h>

#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

#include "fs/serve/health.h"
#include "fs/serve/manifest_guard.h"
#include "fs/serve/node_attributes.h"
#include "fs/serve/open_files.h"
#include "fs/serve/pins.h"
#include "fs/serve/tool.h"
#include "fs/serve/wanted_views.h"
#include "fs/tree/cache_notice.h"
#include "fs/tree/node_table.h"
#include "store/blobs/blob_pool.h"
#include "store/folder/store_dir.h"

namespace ollamafs {

// The view as a file system, without the protocol in which the kernel asks for it. Everything is
// read-only. A façade: NodeTable says what is there, Health what is broken, OpenFiles has what is
// open, ManifestGuard and Pins see to it that a copy is of one version (fs/CONSISTENCY.md).
//
// Safe to use from several threads.
class FileSystem {
 public:
  // `store` must outlive the file system and all that it opened. `on_bad_blob` see Health.
  // `on_stale` is told what the kernel must forget; from any thread, and it must not wait for the
  // kernel. `hold` is how long a model stays in use beyond the last close of its blobs. `verify`:
  // blobs are hashed while they are read.
  FileSystem(
      const StoreDir& store, std::shared_ptr<const Tree> tree, const BlobLimits& limits,
      Health::OnBadBlob on_bad_blob, OnStale on_stale = [](const CacheNotices&) {},
      std::chrono::milliseconds hold = {}, Verify verify = Verify::no);

  // Shows another tree from now on. What is open stays what it is. If it throws, nothing changed.
  // From one thread at a time.
  void publish(std::shared_ptr<const Tree> tree);

  // To be called when the kernel was given all notices up to CacheNotice::What::told with this
  // number.
  void kernel_was_told(std::uint64_t number) noexcept { guard_.kernel_was_told(number); }

  // The tree that is shown.
  [[nodiscard]] std::shared_ptr<const Tree> current() const { return nodes_.current(); }

  // Which views are to be in the next tree.
  [[nodiscard]] const WantedViews& wanted_views() const noexcept { return wanted_views_; }

  // Which models are in use, and must be shown as they are by the next tree.
  [[nodiscard]] Pins& pins() noexcept { return pins_; }

  // These models of the tree that is shown, by view name, are shown in an older version than the
  // store has, because they are in use.
  void set_outdated(std::set<std::string> models);

  // The file behind a blob's node.
  [[nodiscard]] static const FileIdentity& file_of(const NodeRef& blob) noexcept {
    return blob.tree->catalog().blobs()[blob->source].identity;
  }

  // What an inode number stands for; empty: ESTALE.
  [[nodiscard]] NodeRef find(InodeNumber ino) const { return nodes_.find(ino); }

  // The same for a number that comes from a file handle, of before this mount perhaps: it may be in
  // a view that sleeps, so all of them are woken before it is called stale.
  [[nodiscard]] NodeRef find_by_handle(InodeNumber ino);

  // The entry `name` of a directory; ENOENT if it has none. Waits until a view that sleeps is
  // there, EIO if that takes too long. EIO in a directory that cannot be had (see list()), but for
  // the one name that it lists.
  [[nodiscard]] NodeRef lookup(const NodeRef& parent, std::string_view name, std::error_code& ec);

  // How a directory is listed. No tool must take one that cannot be had for an empty or a smaller
  // one: of a model that is not whole, say, or of a store that is gone. Where readdir(3) fails,
  // some do not look (sftp-server takes it for the end), and where only a file cannot be read,
  // others delete at the target what is not listed (rsync --delete). So such a directory lists one
  // file that cannot be opened, and then its listing fails (docs/view.md §4).
  struct Listing {
    bool possible = false;        // no: it is no directory, ENOTDIR
    std::string_view stand_in{};  // not empty: lists this name alone, of Tree::stand_in(); then EIO
    [[nodiscard]] bool is_whole() const noexcept { return possible && stand_in.empty(); }
  };
  // To be called before each piece of a listing for a tool; `begins` for the first. Then
  // `directory` may become that of the version which the store has by now, or of the view that
  // slept until now. That may take a second; else it does not wait. Needs no memory: there are
  // tools, as OpenSSH's, that take a listing that fails for its end.
  [[nodiscard]] Listing list(NodeRef& directory, bool begins, const Tool& tool = {}) noexcept;

  // To be called after each answer to that, with the number that was asked for.
  void answered_listing(const NodeRef& directory, InodeNumber asked) noexcept;

  // Opens a file for reading, for a tool. EISDIR if it is none; EIO if it is the manifest or the
  // archive of a model that is not whole, if it is a manifest that ManifestGuard refuses, or if a
  // blob is not what the catalog saw; EMFILE, ENFILE and ENOMEM are this process's troubles.
  [[nodiscard]] std::unique_ptr<OpenFile> open_file(const NodeRef& file, std::error_code& ec,
                                                    const Tool& tool = {});

  // Reads what is open.
  [[nodiscard]] OpenFiles& files() noexcept { return files_; }

  // Why a model of the tree that is shown cannot be copied, also of what has turned bad since;
  // nothing if it is whole.
  [[nodiscard]] std::optional<std::string> fault_of(const Model& model) const {
    return health_.fault_of(model);
  }

  // What makes the value of kStatusAttribute, on any thread that answers requests; to be set before
  // the first of these.
  void tell_status_by(std::function<std::string()> status) { status_ = std::move(status); }

  // To be called if a request of a tool about `node` failed with this errno. Where the process
  // did not get what is there, it does not get the manifest either, until it lists the model's
  // blobs/ anew.
  void request_failed(const NodeRef& node, const Tool& tool, int error) noexcept;

  // The extended attributes of a node. ENODATA if there is none of that name; EOPNOTSUPP if none
  // of that namespace is ever there.
  [[nodiscard]] std::string attribute(const NodeRef& node, std::string_view name,
                                      std::error_code& ec) const;

  // The store's file system, as full.
  [[nodiscard]] struct statvfs statistics(std::error_code& ec) const;

  // What the open blobs hold.
  [[nodiscard]] BlobPool::Usage usage() const { return pool_.usage(); }

 private:
  [[nodiscard]] NodeRef awake(const NodeRef& directory);
  void begin_listing(NodeRef& directory, const Tool& tool);
  void renew(NodeRef& directory);
  [[nodiscard]] bool is_gone(const NodeRef& directory) const noexcept;
  [[nodiscard]] std::error_code may_have(const NodeRef& manifest, pid_t process);

  const StoreDir& store_;
  NodeTable nodes_;
  BlobPool pool_;
  OnStale on_stale_;
  ManifestGuard guard_;
  Health health_;
  OpenFiles files_;
  Pins pins_;
  WantedViews wanted_views_;
  std::function<std::string()> status_;

  std::mutex published_mutex_;
  std::condition_variable published_;
  unsigned waiting_ = 0;  // in renew()
};

}  // namespace ollamafs
