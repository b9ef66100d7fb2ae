#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <system_error>
#include <unordered_map>

#include "store/base/progress.h"
#include "store/folder/store_dir.h"
#include "store/model/digest.h"
#include "store/transfer/hash_pipe.h"
#include "store/transfer/import_source.h"
#include "store/transfer/inventory.h"
#include "store/transfer/store_writer.h"

namespace ollamafs {

// Takes blobs out of sources into a store, each only if it has the bytes that its name says, and
// knows which ones are right there.
class BlobIntake {
 public:
  // Without a writer nothing is written, without a store there are no blobs yet. What is given must
  // outlive this.
  BlobIntake(StoreWriter* writer, const StoreDir* store, bool trust_existing, Progress& progress)
      : writer_{writer}, store_{store}, trust_existing_{trust_existing}, progress_{progress} {}

  // Whether the store has the blob, and it is right: by its hash, or if that is trusted, by its
  // size, which must be known for that. Looks once; throws Interrupted.
  [[nodiscard]] bool has(const Digest& digest, std::optional<std::uint64_t> size);

  // The same of what was found to be right so far: its size, or nothing.
  [[nodiscard]] std::optional<std::uint64_t> right_size(const Digest& digest) const;

  // The size of the file that has the blob's name in the store, right or not.
  [[nodiscard]] std::optional<std::uint64_t> size_there(const Digest& digest) const;

  // Reads the member under the source, a blob, and makes it one of the store. If it may be a
  // manifest, `inventory` keeps it. Throws TransferError, std::system_error, Interrupted.
  void take(ImportSource& source, const Member& member, Inventory& inventory);

  // A blob of these bytes, which no source has.
  void put(const Digest& digest, std::string_view bytes);

  // What was written; without a writer, what would have been.
  [[nodiscard]] std::uint64_t written() const noexcept { return written_; }
  [[nodiscard]] std::uint64_t bytes_written() const noexcept { return bytes_written_; }

 private:
  [[nodiscard]] std::optional<std::uint64_t> hashes_right(const Digest& digest);
  void check_room(const Member& member);

  StoreWriter* writer_;
  const StoreDir* store_;
  bool trust_existing_;
  Progress& progress_;
  HashPipe hash_;
  std::unordered_map<Digest, std::optional<std::uint64_t>> known_;  // nothing: it is not right
  std::uint64_t written_ = 0;
  std::uint64_t bytes_written_ = 0;
};

// "needs 12 bytes …": what is thrown where there is not enough room.
[[noreturn]] void refuse_for_room(const StoreWriter& writer, std::uint64_t needed,
                                  std::uint64_t room);

// Throws TransferError::refused if the store's file system takes no file of this size.
void require_large_files(StoreWriter& writer, const Digest& digest, std::uint64_t size);

// Reads the whole member under the source. Throws TransferError if it has more than `limit` bytes.
[[nodiscard]] std::string read_member(ImportSource& source, const Member& member,
                                      std::uint64_t limit);

}  // namespace ollamafs
