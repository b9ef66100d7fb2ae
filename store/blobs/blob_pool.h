#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <system_error>

#include "store/base/unique_fd.h"
#include "store/blobs/blob.h"
#include "store/blobs/blob_verifier.h"
#include "store/folder/store_dir.h"

namespace ollamafs {

// How much a BlobPool may hold on to (docs/view.md §8).
struct BlobLimits {
  std::size_t descriptors = 256;     // blobs that stay open
  std::uint64_t memory = 64u << 20;  // bytes of small blobs that are held in memory
  std::uint64_t small = 64u << 10;   // what is a small blob, bytes
};

// Whether a pool believes blobs by their size, or computes their SHA-256 while they are read.
enum class Verify : bool { no, yes };

// What the kernel may do with the bytes of a file that it caches.
enum class Caching : std::uint8_t {
  keep,    // and what it has of them from before
  begin,   // but nothing from before
  bypass,  // nothing
};

// An open blob: the bytes of the file that was opened, for as long as this lives and whatever
// becomes of its name, or an error. Only a file that is rewritten in place shows its new bytes,
// which cannot be told from a file that was touched. Immutable; may be read by several threads at
// once.
//
// With Verify::yes it is one state of that file, and every read makes sure of it: after a touch or
// a rewriting it fails with BlobFault::changed. So it does if the path leads to another file
// meanwhile that somebody has opened, unless its own SHA-256 is known to be right. Only who has
// read() it all gets the last byte, see BlobVerifier; a small one is verified when it is opened.
class OpenBlob {
 public:
  struct Ledger;  // of the pool that opened it

  OpenBlob(const StoreDir& store, const Blob& blob, std::shared_ptr<Ledger> ledger);
  ~OpenBlob();
  OpenBlob(const OpenBlob&) = delete;
  OpenBlob& operator=(const OpenBlob&) = delete;

  [[nodiscard]] const Digest& digest() const noexcept { return digest_; }
  [[nodiscard]] std::uint64_t size() const noexcept { return identity_.size; }
  [[nodiscard]] const FileIdentity& identity() const noexcept { return identity_; }

  // Open for reading as long as this lives; -1 if the blob is held in memory or is opened late.
  [[nodiscard]] int descriptor() const noexcept { return fd_ ? fd_.get() : -1; }

  // Whether its bytes can be had as long as this lives, although its file may be removed: it has a
  // descriptor or is in memory. Else it is opened anew for every reading.
  [[nodiscard]] bool is_held() const noexcept { return !is_late_; }

  [[nodiscard]] bool lacks_verdict() const noexcept {
    return verifier_ && verifier_->verdict() == BlobVerifier::Verdict::none;
  }

  // To be asked whenever the kernel opens the file that shows this blob alone, and to be obeyed.
  // What it caches then never makes a whole file out of bytes that were not verified together.
  [[nodiscard]] Caching enter_cache() const;

  // Asks the kernel to have a range at hand soon; returns at once.
  void prefetch(std::uint64_t offset, std::uint64_t size) const noexcept;

  // Whether the open file still is what it was when it was opened: EIO if it has another size now;
  // with Verify::yes also BlobFault::changed, see above.
  [[nodiscard]] std::error_code check() const noexcept;

  // Copies the `size` bytes from `offset` on to `out`. All of them or an error, after which `out`
  // holds nothing of use: EIO if the file ends before them or is not the same file any more, or
  // what the kernel says. EMFILE, ENFILE and ENOMEM are this process's troubles, anything else is
  // the blob's. With Verify::yes also any BlobFault; after BlobFault::unverified, verify_on() until
  // it has succeeded often enough.
  [[nodiscard]] std::error_code read(char* out, std::size_t size,
                                     std::uint64_t offset) const noexcept;

  // Hashes up to `most` bytes more of a blob whose SHA-256 is still to be computed. Errors of read.
  [[nodiscard]] std::error_code verify_on(std::uint64_t most) const noexcept;

 private:
  friend class BlobPool;

  [[nodiscard]] std::error_code load(const BlobLimits& limits);
  // True where its SHA-256 need not be computed or is known to be right.
  [[nodiscard]] bool is_trusted() const noexcept {
    return !verifier_ || verifier_->verdict() == BlobVerifier::Verdict::good;
  }
  [[nodiscard]] std::error_code look(FileIdentity& now) const;
  [[nodiscard]] std::error_code read_file(char* out, std::size_t size, std::uint64_t offset) const;
  [[nodiscard]] std::error_code read_state(char* out, std::size_t size, std::uint64_t offset) const;
  [[nodiscard]] bool is_state_of(const FileIdentity& file) const noexcept;
  [[nodiscard]] BlobVerifier::Read reader() const;
  void settled();

  const StoreDir& store_;
  Digest digest_;
  std::string path_;  // of its file, below the store
  FileIdentity identity_;
  std::shared_ptr<Ledger> ledger_;
  // One of these holds the bytes, or the file is opened for every reading.
  std::string bytes_;
  UniqueFd fd_;
  bool is_late_ = false;
  std::unique_ptr<BlobVerifier> verifier_;  // none: nothing is to be verified any more
  mutable std::atomic<bool> superseded_ = false;
};

// Opens blobs, each once for all who have it open. Small ones are read into memory, larger ones
// keep a descriptor, and beyond the limits a blob is opened anew for every reading, so that a model
// of 10,000 blobs can be open where 1,024 descriptors are allowed.
//
// Safe to use from several threads. `store` must outlive the pool and all that it opened.
class BlobPool {
 public:
  BlobPool(const StoreDir& store, BlobLimits limits, Verify verify = Verify::no);

  // Opens a good blob. `ec` is EIO if the file is not the one that the catalog saw (another inode
  // or size) or not what it was when it was opened, BlobFault::wrong_digest, or what the kernel
  // says.
  [[nodiscard]] std::shared_ptr<const OpenBlob> open(const Blob& blob, std::error_code& ec);

  // Whether a good blob still is the file that the catalog saw, of the size it had: the one that is
  // open, if one is, else the one that its path leads to. EIO, or what the kernel says.
  [[nodiscard]] std::error_code check(const Blob& blob) const;

  // What is held right now.
  struct Usage {
    std::size_t blobs = 0;
    std::size_t descriptors = 0;
    std::uint64_t memory = 0;  // bytes
    std::uint64_t hashed = 0;  // bytes, since the beginning, of blobs that have their verdict
  };
  [[nodiscard]] Usage usage() const;

 private:
  const StoreDir& store_;
  BlobLimits limits_;
  std::shared_ptr<OpenBlob::Ledger> ledger_;
};

}  // namespace ollamafs
