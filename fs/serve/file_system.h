#pragma once

#include <sys/stat.h>
#include <sys/statvfs.h>

#include <atomic>
#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <system_error>
#include <unordered_map>
#include <utility>
#include <vector>

#include "fs/serve/at_work.h"
#include "fs/serve/bad_blobs.h"
#include "fs/serve/gone_directories.h"
#include "fs/serve/misses.h"
#include "fs/serve/pins.h"
#include "fs/serve/tool.h"
#include "fs/serve/version_guard.h"
#include "fs/tree/cache_notice.h"
#include "fs/tree/node_table.h"
#include "store/blobs/blob_pool.h"
#include "store/folder/store_dir.h"
#include "store/layout/open_layout.h"

namespace ollamafs {

// A file that is open: what it was when it was opened, to its last close.
struct OpenFile {
  OpenFile(NodeTable::Pin file, std::shared_ptr<const OpenLayout> layout,
           std::optional<Pins::Use> blob)
      : pin{std::move(file)}, use{std::move(blob)}, content{std::move(layout)} {}

  NodeTable::Pin pin;
  std::optional<Pins::Use> use;  // of a blob
  AtWork::Use by_tool;           // if it is a blob
  Caching caching = Caching::keep;
  std::shared_ptr<const OpenLayout> content;
  MapWindow window;                     // on the blobs of `content`
  std::atomic<std::uint64_t> next = 0;  // where a reader who goes straight on will read
};

// The view as a file system, without the protocol in which the kernel asks for it. Everything is
// read-only. Safe to use from several threads.
class FileSystem {
 public:
  // Called once for each blob that turns bad, with a printable sentence; from any thread.
  using OnBadBlob = std::function<void(const std::string& message)>;

  // `store` must outlive the file system and all that it opened. `on_stale` is told what the kernel
  // must forget; from any thread, and it must not wait for the kernel. `hold` is how long a model
  // stays in use beyond the last close of its files. `verify`: blobs are hashed while they are
  // read.
  FileSystem(
      const StoreDir& store, std::shared_ptr<const Tree> tree, const BlobLimits& limits,
      OnBadBlob on_bad_blob, OnStale on_stale = [](const CacheNotices&) {},
      std::chrono::milliseconds hold = {}, Verify verify = Verify::no);

  // Shows another tree from now on. What is open stays what it is. If it throws, nothing changed.
  void publish(std::shared_ptr<const Tree> tree);

  // The tree that is shown.
  [[nodiscard]] std::shared_ptr<const Tree> current() const { return nodes_.current(); }

  // Which models are in use, and must be shown as they are by the next tree.
  [[nodiscard]] Pins& pins() noexcept { return pins_; }

  // The file behind a blob's node.
  [[nodiscard]] static const FileIdentity& file_of(const NodeRef& blob) noexcept {
    return blob.tree->catalog().blobs()[blob->source].identity;
  }

  // What an inode number stands for; empty: ESTALE.
  [[nodiscard]] NodeRef find(InodeNumber ino) const { return nodes_.find(ino); }

  // The entry `name` of a directory; ENOENT if it has none. EIO in a directory of a model that is
  // not whole: what its listing names cannot be had (see list()).
  [[nodiscard]] NodeRef lookup(const NodeRef& directory, std::string_view name, std::error_code& ec,
                               const Tool& tool = {});

  // What stat(2) shows of a node.
  [[nodiscard]] static struct stat attributes(const Node& node) noexcept;

  // How a directory is listed. A tool must not take the directory of a model that is not whole for
  // an empty one. Some, like scp, do not look whether readdir(3) failed, but all look at the names
  // that they got. So there the names are given, looking one up fails, and the listing ends with
  // EIO.
  enum class Listing : std::uint8_t {
    none,   // it is no directory: ENOTDIR
    names,  // names only, and then EIO
    whole,
  };
  // To be called before each piece of a listing for a tool; `begins` for the first.
  // Needs no memory: there are tools, as OpenSSH's, that take a listing that fails for its end.
  [[nodiscard]] Listing list(const NodeRef& directory, bool begins, const Tool& tool = {}) noexcept;

  // Opens a file for reading, for a tool. EISDIR if it is none; EIO if it is the
  // manifest or the archive of a model that is not whole, if it is the manifest of a model that
  // changed while the tool was at it or of which the tool missed, or may have missed, something, or
  // if a blob is not what the catalog saw; EMFILE, ENFILE and ENOMEM are this process's troubles.
  [[nodiscard]] std::unique_ptr<OpenFile> open_file(const NodeRef& file, std::error_code& ec,
                                                    const Tool& tool = {});

  // Gathers in `out` what the file has from `offset` on, up to `size` bytes; fewer only at its end.
  // A range that cannot be had in full is an error as a whole. BlobFault::unverified: it holds a
  // blob's last byte, and much of that blob must be hashed first: verify_on() as long as it returns
  // true, then again.
  void gather(OpenFile& file, Gathered& out, std::size_t size, std::uint64_t offset,
              std::error_code& ec);

  // Does a part of that, some milliseconds long. False: there is no more to do, or an error.
  bool verify_on(const OpenLayout& content, std::size_t size, std::uint64_t offset,
                 std::error_code& ec);

  // To be called for each range that is read. How many bytes behind it the reader, who reads
  // straight on, should find in memory: for OpenLayout::prefetch, 0: none.
  [[nodiscard]] static std::uint64_t ahead_of(OpenFile& file, std::size_t size,
                                              std::uint64_t offset) noexcept;

  // To be called if what was gathered of that range could not be had when it was used (EFAULT):
  // finds the blobs at fault, which are bad from then on.
  void find_fault(const OpenLayout& content, std::size_t size, std::uint64_t offset) noexcept;

  // To be called if a request of a tool about `node` failed with this errno. Where the
  // tool did not get what is there, it does not get the manifest either, until it lists the model's
  // directory anew or is not at work any more.
  void request_failed(const NodeRef& node, const Tool& tool, int error) noexcept;

  // To be called if a tool asked for a name in a directory of which find() does not know, or, with
  // "", for its listing: its model has changed, and the kernel has not been told yet, or the tool
  // has it open. If it misses blobs by that, it may still find the manifest by its path.
  void directory_was_stale(InodeNumber directory, std::string_view name, const Tool& tool) noexcept;

  // The extended attributes of a node (design §2). value: ENODATA if there is none of that name.
  [[nodiscard]] std::vector<std::string> attribute_names(const NodeRef& node) const;
  [[nodiscard]] std::string attribute(const NodeRef& node, std::string_view name,
                                      std::error_code& ec) const;

  // The store's file system, as full.
  [[nodiscard]] struct statvfs statistics(std::error_code& ec) const;

  // What the open blobs hold.
  [[nodiscard]] BlobPool::Usage usage() const { return pool_.usage(); }

 private:
  [[nodiscard]] bool is_broken(const NodeRef& node) const noexcept;
  void retry_shortages(const NodeRef& node) noexcept;
  [[nodiscard]] bool is_refused(const NodeRef& manifest, const Tool& tool);
  void tell_of_beginning(const NodeRef& node);
  void check_blobs(const NodeRef& manifest);
  [[nodiscard]] std::shared_ptr<const OpenLayout> content_of(const NodeRef& file,
                                                             std::error_code& ec);
  [[nodiscard]] std::shared_ptr<const OpenLayout> open_layout(const NodeRef& file,
                                                              std::error_code& ec);
  [[nodiscard]] std::error_code read_failed(const OpenLayout::Failure& failure);
  void blob_failed(const Digest& blob, const FileIdentity& file,
                   const std::error_code& ec) noexcept;
  [[nodiscard]] bool may_pass(const Digest& blob, const FileIdentity& file,
                              const std::error_code& ec) const;

  const StoreDir& store_;
  NodeTable nodes_;
  BlobPool pool_;
  Pins pins_;
  AtWork at_work_;
  VersionGuard guard_;
  GoneDirectories gone_;
  Misses misses_;
  BadBlobs bad_blobs_;
  OnBadBlob on_bad_blob_;
  OnStale on_stale_;

  // What is open already, so that a file opened many times is put together once.
  std::mutex contents_mutex_;
  std::unordered_map<InodeNumber, std::weak_ptr<const OpenLayout>> contents_;
};

}  // namespace ollamafs
