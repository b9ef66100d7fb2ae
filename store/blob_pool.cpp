#include "store/blob_pool.h"

#include <fcntl.h>
#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <mutex>
#include <unordered_map>
#include <utility>

#include "store/read_file.h"

namespace ollamafs {
namespace {

const std::error_code kIoError = std::make_error_code(std::errc::io_error);

std::error_code identify(int fd, FileIdentity& identity) noexcept {
  struct stat st {};
  if (::fstat(fd, &st) != 0) return {errno, std::generic_category()};
  identity = FileIdentity::of(st);
  return {};
}

std::error_code read_exactly(int fd, char* out, std::size_t size, std::uint64_t offset) noexcept {
  std::error_code ec;
  const std::size_t done = read_fully(fd, out, size, offset, ec);
  return !ec && done < size ? kIoError : ec;
}

}  // namespace

// What the blobs that are open hold together, and where each of them is.
struct OpenBlob::Ledger {
  std::mutex mutex;
  BlobPool::Usage usage;
  std::unordered_map<Digest, std::weak_ptr<const OpenBlob>> open;

  // The open blob of this digest, if it is this file.
  std::shared_ptr<const OpenBlob> find(const Digest& digest, const FileIdentity& file) {
    std::shared_ptr<const OpenBlob> known;  // outlives the lock: its destructor takes the mutex
    const std::scoped_lock lock{mutex};
    if (const auto it = open.find(digest); it != open.end()) known = it->second.lock();
    return known && same_file(known->identity_, file) ? known : nullptr;
  }

  // As find, or else `blob` itself, which others find from now on.
  std::shared_ptr<const OpenBlob> find_or_add(const std::shared_ptr<const OpenBlob>& blob) {
    std::shared_ptr<const OpenBlob> known;
    const std::scoped_lock lock{mutex};
    std::weak_ptr<const OpenBlob>& entry = open[blob->digest_];
    known = entry.lock();
    if (known && same_file(known->identity_, blob->identity_)) return known;
    entry = blob;
    return blob;
  }

  bool take_memory(std::uint64_t bytes, std::uint64_t limit) {
    const std::scoped_lock lock{mutex};
    if (bytes > limit - std::min(usage.memory, limit)) return false;
    usage.memory += bytes;
    return true;
  }

  bool take_descriptor(std::size_t limit) {
    const std::scoped_lock lock{mutex};
    if (usage.descriptors >= limit) return false;
    ++usage.descriptors;
    return true;
  }
};

OpenBlob::OpenBlob(const Blob& blob, std::shared_ptr<Ledger> ledger)
    : digest_{blob.digest}, identity_{blob.identity}, ledger_{std::move(ledger)} {
  const std::scoped_lock lock{ledger_->mutex};
  ++ledger_->usage.blobs;
}

OpenBlob::~OpenBlob() {
  const std::scoped_lock lock{ledger_->mutex};
  --ledger_->usage.blobs;
  ledger_->usage.memory -= bytes_.size();
  if (fd_) --ledger_->usage.descriptors;
  // Another one may have been opened under this digest since.
  const auto it = ledger_->open.find(digest_);
  if (it != ledger_->open.end() && it->second.expired()) ledger_->open.erase(it);
}

std::error_code OpenBlob::load(const StoreDir& store, const BlobLimits& limits) {
  std::error_code ec;
  UniqueFd fd = store.open_file(digest_.blob_path(), ec).fd;
  if (ec) return ec;
  FileIdentity found;
  if (ec = identify(fd.get(), found); ec) return ec;
  if (!same_file(found, identity_)) return kIoError;
  identity_ = found;

  if (found.size <= limits.small) {
    std::string bytes(found.size, '\0');
    if (ledger_->take_memory(bytes.size(), limits.memory)) {
      bytes_ = std::move(bytes);
      return read_exactly(fd.get(), bytes_.data(), bytes_.size(), 0);
    }
  }
  if (ledger_->take_descriptor(limits.descriptors)) {
    fd_ = std::move(fd);
  } else {
    store_ = &store;
  }
  return {};
}

std::error_code OpenBlob::check() const noexcept {
  if (!fd_) return {};
  FileIdentity now;
  if (const auto ec = identify(fd_.get(), now)) return ec;
  return same_file(now, identity_) ? std::error_code{} : kIoError;
}

MappedRange OpenBlob::map(std::size_t size, std::uint64_t offset,
                          std::error_code& ec) const noexcept {
  MappedRange range{fd_.get(), offset, size, ec};
  if (offset > identity_.size || size > identity_.size - offset) ec = kIoError;
  if (!ec) ec = check();
  return range;
}

void OpenBlob::prefetch(std::uint64_t offset, std::uint64_t size) const noexcept {
  if (fd_) {
    ::posix_fadvise(fd_.get(), static_cast<off_t>(offset), static_cast<off_t>(size),
                    POSIX_FADV_WILLNEED);
  }
}

std::error_code OpenBlob::read(char* out, std::size_t size, std::uint64_t offset) const noexcept {
  if (offset > identity_.size || size > identity_.size - offset) return kIoError;
  if (fd_) return read_exactly(fd_.get(), out, size, offset);
  if (!store_) {
    std::memcpy(out, bytes_.data() + offset, size);
    return {};
  }
  try {
    std::error_code ec;
    const UniqueFd fd = store_->open_file(digest_.blob_path(), ec).fd;
    FileIdentity found;
    if (!ec) ec = identify(fd.get(), found);
    if (ec == std::errc::no_such_file_or_directory || (!ec && !same_file(found, identity_)))
      return kIoError;
    return ec ? ec : read_exactly(fd.get(), out, size, offset);
  } catch (const std::bad_alloc&) {
    return std::make_error_code(std::errc::not_enough_memory);
  }
}

BlobPool::BlobPool(const StoreDir& store, BlobLimits limits)
    : store_{store}, limits_{limits}, ledger_{std::make_shared<OpenBlob::Ledger>()} {}

std::shared_ptr<const OpenBlob> BlobPool::open(const Blob& blob, std::error_code& ec) {
  ec.clear();
  if (auto known = ledger_->find(blob.digest, blob.identity)) {
    ec = known->check();
    return ec ? nullptr : known;
  }
  // Opened without a lock: others need not wait for this disk. Of two who open the same blob at
  // once the second takes the first one's.
  const auto opened = std::make_shared<OpenBlob>(blob, ledger_);
  if (ec = opened->load(store_, limits_); ec) return nullptr;
  return ledger_->find_or_add(opened);
}

std::error_code BlobPool::check(const Blob& blob) const {
  const auto open = ledger_->find(blob.digest, blob.identity);
  if (open && !open->store_) return open->check();
  const Blob now = inspect_blob(store_, blob.digest);
  if (now.error) return now.error;
  return same_file(now.identity, blob.identity) ? std::error_code{} : kIoError;
}

BlobPool::Usage BlobPool::usage() const {
  const std::scoped_lock lock{ledger_->mutex};
  return ledger_->usage;
}

}  // namespace ollamafs
