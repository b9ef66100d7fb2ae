#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <system_error>

#include "store/blob.h"
#include "store/mapped_range.h"
#include "store/store_dir.h"
#include "store/unique_fd.h"

namespace ollamafs {

// How much a BlobPool may hold on to (design §5).
struct BlobLimits {
  std::size_t descriptors = 256;     // blobs that stay open
  std::uint64_t memory = 64u << 20;  // bytes of small blobs that are held in memory
  std::uint64_t small = 64u << 10;   // what is a small blob, bytes
};

// An open blob: the bytes of the file that was opened, for as long as this lives and whatever
// becomes of its name, or an error. Only a file that is rewritten in place shows its new bytes,
// which cannot be told from a file that was touched. Immutable; may be read by several threads at
// once.
class OpenBlob {
 public:
  struct Ledger;  // of the pool that opened it

  OpenBlob(const Blob& blob, std::shared_ptr<Ledger> ledger);
  ~OpenBlob();
  OpenBlob(const OpenBlob&) = delete;
  OpenBlob& operator=(const OpenBlob&) = delete;

  [[nodiscard]] const Digest& digest() const noexcept { return digest_; }
  [[nodiscard]] std::uint64_t size() const noexcept { return identity_.size; }
  [[nodiscard]] const FileIdentity& identity() const noexcept { return identity_; }

  // Open for reading as long as this lives; -1 if the blob is held in memory or is opened late.
  [[nodiscard]] int descriptor() const noexcept { return fd_ ? fd_.get() : -1; }

  // Maps the `size` bytes from `offset` on; only if there is a descriptor. Errors as of read(): the
  // file is looked at first, because behind its end a page would be filled up with zeros.
  [[nodiscard]] MappedRange map(std::size_t size, std::uint64_t offset,
                                std::error_code& ec) const noexcept;

  // Asks the kernel to have a range at hand soon; returns at once.
  void prefetch(std::uint64_t offset, std::uint64_t size) const noexcept;

  // Whether the open file still is what it was when it was opened: EIO if it has another size now.
  [[nodiscard]] std::error_code check() const noexcept;

  // Copies the `size` bytes from `offset` on to `out`. All of them or an error: EIO if the file is
  // shorter than it was or is not the same file any more, or what the kernel says. EMFILE, ENFILE
  // and ENOMEM are this process's troubles, anything else is the blob's.
  [[nodiscard]] std::error_code read(char* out, std::size_t size,
                                     std::uint64_t offset) const noexcept;

 private:
  friend class BlobPool;

  [[nodiscard]] std::error_code load(const StoreDir& store, const BlobLimits& limits);

  Digest digest_;
  FileIdentity identity_;
  std::shared_ptr<Ledger> ledger_;
  // One of these holds the bytes; if neither does, the file is opened for every reading.
  std::string bytes_;
  UniqueFd fd_;
  const StoreDir* store_ = nullptr;
};

// Opens blobs, each once for all who have it open. Small ones are read into memory, larger ones
// keep a descriptor, and beyond the limits a blob is opened anew for every reading, so that a model
// of 10,000 blobs can be open where 1,024 descriptors are allowed.
//
// Safe to use from several threads. `store` must outlive the pool and all that it opened.
class BlobPool {
 public:
  BlobPool(const StoreDir& store, BlobLimits limits);

  // Opens a good blob. `ec` is EIO if the file is not the one that the catalog saw (another inode
  // or size) or not what it was when it was opened, or what the kernel says.
  [[nodiscard]] std::shared_ptr<const OpenBlob> open(const Blob& blob, std::error_code& ec);

  // Whether a good blob still is the file that the catalog saw, of the size it had: the one that is
  // open, if one is, else the one that its path leads to. EIO, or what the kernel says.
  [[nodiscard]] std::error_code check(const Blob& blob) const;

  // What is held right now.
  struct Usage {
    std::size_t blobs = 0;
    std::size_t descriptors = 0;
    std::uint64_t memory = 0;  // bytes
  };
  [[nodiscard]] Usage usage() const;

 private:
  const StoreDir& store_;
  BlobLimits limits_;
  std::shared_ptr<OpenBlob::Ledger> ledger_;
};

}  // namespace ollamafs
