#include "store/transfer/blob_intake.h"

#include <fcntl.h>
#include <fmt/format.h>

#include <algorithm>
#include <memory>

#include "store/base/text.h"
#include "store/blobs/blob.h"
#include "store/folder/read_file.h"
#include "store/model/manifest.h"
#include "store/transfer/transfer_error.h"

namespace ollamafs {
namespace {

// For a line on a terminal.
std::string short_name(const Digest& digest) {
  return "sha256-" + digest.id();
}

}  // namespace

void refuse_for_room(const StoreWriter& writer, std::uint64_t needed, std::uint64_t room) {
  throw TransferError{
      TransferError::Kind::no_space,
      fmt::format("not enough room: {} bytes are needed and {} are free on the disk of {}\n"
                  "make room there, or name a store on another disk with --store",
                  needed, room, printable(writer.path().string()))};
}

void require_large_files(StoreWriter& writer, const Digest& digest, std::uint64_t size) {
  constexpr std::uint64_t most = (std::uint64_t{1} << 32) - 1;
  if (size <= most || !writer.is_fat()) return;
  throw TransferError{
      TransferError::Kind::refused,
      fmt::format("blob {} has {} bytes, and the file system of {} (FAT) takes no file of 4 GiB or "
                  "more\nformat it as exFAT, or name a store on another disk with --store",
                  digest.blob_name(), size, printable(writer.path().string()))};
}

std::string read_member(ImportSource& source, const Member& member, std::uint64_t limit) {
  std::string bytes;
  constexpr std::size_t step = 64u << 10;
  for (;;) {
    const std::size_t before = bytes.size();
    bytes.resize(before + step);
    bytes.resize(before + source.read(bytes.data() + before, step));
    if (bytes.size() > limit) {
      throw TransferError{TransferError::Kind::broken,
                          fmt::format("{}: member {} has more than {} bytes, the most that a "
                                      "manifest may have",
                                      source.shown(), printable(member.path), limit)};
    }
    if (bytes.size() < before + step) return bytes;
  }
}

std::optional<std::uint64_t> BlobIntake::size_there(const Digest& digest) const {
  if (!store_) return std::nullopt;
  const Blob blob = inspect_blob(*store_, digest);
  refuse_shortage(*store_, digest.blob_path(), blob.error);
  return blob.good() ? std::optional{blob.identity.size} : std::nullopt;
}

bool BlobIntake::has(const Digest& digest, std::optional<std::uint64_t> size) {
  if (const auto known = known_.find(digest); known != known_.end()) {
    return known->second && (!size || known->second == size);
  }
  const auto there = size_there(digest);
  if (!there || (size && there != size)) return false;
  const bool is_trusted = trust_existing_ && size;
  const auto right = is_trusted ? there : hashes_right(digest);
  known_[digest] = right;
  // A server that starts meanwhile must leave it (docs/store-format.md §6).
  if (right && writer_) writer_->touch_blob(digest);
  return right && (!size || right == size);
}

std::optional<std::uint64_t> BlobIntake::right_size(const Digest& digest) const {
  const auto known = known_.find(digest);
  return known == known_.end() ? std::nullopt : known->second;
}

// The size, if the SHA-256 is the right one.
std::optional<std::uint64_t> BlobIntake::hashes_right(const Digest& digest) {
  std::error_code ec;
  const StoreDir::Opened file = store_->open_file(digest.blob_path(), ec);
  if (ec) return std::nullopt;
  (void)::posix_fadvise(file.fd.get(), 0, 0, POSIX_FADV_SEQUENTIAL);
  progress_.next(short_name(digest));
  hash_.begin();
  std::uint64_t size = 0;
  for (std::size_t n = HashPipe::kChunk; n == HashPipe::kChunk;) {
    const auto chunk = hash_.next();
    n = read_fully(store_->calls(), file.fd.get(), chunk.data(), chunk.size(), size, ec);
    if (ec) return std::nullopt;
    (void)hash_.add(n);
    size += n;
    progress_.add(n);
  }
  return hash_.finish() == digest ? std::optional{size} : std::nullopt;
}

void BlobIntake::check_room(const Member& member) {
  if (!writer_ || !member.size) return;
  require_large_files(*writer_, *member.digest, *member.size);
  const std::uint64_t room = writer_->room();
  if (*member.size > room) refuse_for_room(*writer_, *member.size, room);
}

void BlobIntake::take(ImportSource& source, const Member& member, Inventory& inventory) {
  const Digest& digest = *member.digest;
  check_room(member);
  progress_.next(short_name(digest));
  const std::unique_ptr<NewFile> file = writer_ ? writer_->new_blob() : nullptr;
  hash_.begin();
  std::uint64_t size = 0;
  std::optional<std::string> kept;
  for (std::size_t n = HashPipe::kChunk; n == HashPipe::kChunk;) {
    const auto chunk = hash_.next();
    n = source.read(chunk.data(), chunk.size());
    const std::string_view bytes = hash_.add(n);
    if (file) writer_->write(*file, digest, bytes);
    if (size == 0 && Inventory::may_be_manifest(bytes, n)) kept.emplace();
    size += n;
    if (kept && size <= kMaxManifestBytes) kept->append(bytes);
    progress_.add(n);
  }
  const Digest found = hash_.finish();
  if (found != digest) {
    throw TransferError{TransferError::Kind::broken,
                        fmt::format("{} is damaged: member {} has other bytes than its name says, "
                                    "their SHA-256 is {}",
                                    source.shown(), printable(member.path), found.hex())};
  }
  if (file) writer_->commit_blob(*file, digest);
  ++written_;
  bytes_written_ += size;
  known_[digest] = size;
  if (kept && size <= kMaxManifestBytes) inventory.keep_blob(digest, std::move(*kept));
}

void BlobIntake::put(const Digest& digest, std::string_view bytes) {
  const std::unique_ptr<NewFile> file = writer_->new_blob();
  writer_->write(*file, digest, bytes);
  writer_->commit_blob(*file, digest);
  known_[digest] = bytes.size();
}

}  // namespace ollamafs
