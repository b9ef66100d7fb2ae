#include "store/blobs/blob_pool.h"

#include <fcntl.h>
#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <mutex>
#include <unordered_map>
#include <utility>
#include <vector>

#include "store/folder/read_file.h"

namespace ollamafs {
namespace {

const std::error_code kIoError = std::make_error_code(std::errc::io_error);

std::error_code identify(const FileCalls& calls, int fd, FileIdentity& identity) noexcept {
  struct stat st {};
  if (calls.fstat(fd, st) != 0) return {errno, std::generic_category()};
  identity = FileIdentity::of(st);
  return {};
}

std::error_code read_exactly(const FileCalls& calls, int fd, char* out, std::size_t size,
                             std::uint64_t offset) noexcept {
  std::error_code ec;
  const std::size_t done = read_fully(calls, fd, out, size, offset, ec);
  return !ec && done < size ? kIoError : ec;
}

}  // namespace

// What the blobs that are open hold together, where each of them is, and what is known of their
// files.
struct OpenBlob::Ledger {
  explicit Ledger(Verify choice) : verify{choice == Verify::yes} {}

  const bool verify;
  std::mutex mutex;
  BlobPool::Usage usage;
  std::unordered_map<Digest, std::weak_ptr<const OpenBlob>> open;

  // If blobs are verified: all that are open, also those that another state has superseded.
  std::unordered_map<Digest, std::vector<const OpenBlob*>> states;
  // The state of each blob's file that is known to be good, and the one that was not when the
  // kernel was last allowed to cache it.
  std::unordered_map<Digest, FileIdentity> good, cached;

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
    if (known && known->is_state_of(blob->identity_)) return known;
    entry = blob;
    if (!verify) return blob;
    auto& all = states[blob->digest_];
    for (const OpenBlob* other : all) other->superseded_ = true;
    all.push_back(blob.get());
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

  bool is_good(const Digest& digest, const FileIdentity& file) {
    const std::scoped_lock lock{mutex};
    const auto it = good.find(digest);
    return it != good.end() && it->second == file;
  }

  // Whether all that is open of this digest has the same bytes for sure. Under the lock.
  bool agree(const OpenBlob& blob) const {
    const auto it = states.find(blob.digest_);
    return it == states.end() || it->second.size() < 2 ||
           std::ranges::all_of(it->second, &OpenBlob::is_trusted);
  }

  void remove(const OpenBlob& blob) {
    const auto it = states.find(blob.digest_);
    if (it == states.end()) return;
    std::erase(it->second, &blob);
    if (it->second.empty()) states.erase(it);
  }
};

OpenBlob::OpenBlob(const StoreDir& store, const Blob& blob, std::shared_ptr<Ledger> ledger)
    : store_{store},
      digest_{blob.digest},
      path_{blob.path()},
      identity_{blob.identity},
      ledger_{std::move(ledger)} {
  const std::scoped_lock lock{ledger_->mutex};
  ++ledger_->usage.blobs;
}

OpenBlob::~OpenBlob() {
  const std::scoped_lock lock{ledger_->mutex};
  --ledger_->usage.blobs;
  ledger_->usage.memory -= bytes_.size();
  if (fd_) --ledger_->usage.descriptors;
  ledger_->remove(*this);
  // Another one may have been opened under this digest since.
  const auto it = ledger_->open.find(digest_);
  if (it != ledger_->open.end() && it->second.expired()) ledger_->open.erase(it);
}

std::error_code OpenBlob::load(const BlobLimits& limits) {
  std::error_code ec;
  UniqueFd fd = store_.open_file(path_, ec).fd;
  if (ec) return ec;
  FileIdentity found;
  if (ec = identify(store_.calls(), fd.get(), found); ec) return ec;
  if (!same_file(found, identity_)) return kIoError;
  identity_ = found;

  if (found.size <= limits.small) {
    std::string bytes(found.size, '\0');
    if (ledger_->take_memory(bytes.size(), limits.memory)) {
      bytes_ = std::move(bytes);
      ec = read_exactly(store_.calls(), fd.get(), bytes_.data(), bytes_.size(), 0);
      if (!ec && ledger_->verify && Digest::of(bytes_) != digest_) ec = BlobFault::wrong_digest;
      return ec;
    }
  }
  if (ledger_->take_descriptor(limits.descriptors)) {
    fd_ = std::move(fd);
  } else {
    is_late_ = true;
  }
  if (ledger_->verify) {
    verifier_ = std::make_unique<BlobVerifier>(digest_, found.size, [this] { settled(); });
    if (ledger_->is_good(digest_, found)) verifier_->trust();
  }
  return {};
}

// The verdict is known.
void OpenBlob::settled() {
  const std::scoped_lock lock{ledger_->mutex};
  ledger_->usage.hashed += identity_.size;
  if (is_trusted()) ledger_->good.insert_or_assign(digest_, identity_);
}

bool OpenBlob::is_state_of(const FileIdentity& file) const noexcept {
  return verifier_ ? identity_ == file : same_file(identity_, file);
}

// What the file is now that this is read from.
std::error_code OpenBlob::look(FileIdentity& now) const {
  if (fd_) return identify(store_.calls(), fd_.get(), now);
  std::error_code ec;
  const UniqueFd fd = store_.open_file(path_, ec).fd;
  return ec ? ec : identify(store_.calls(), fd.get(), now);
}

std::error_code OpenBlob::check() const noexcept try {
  if (!fd_ && (!verifier_ || !is_late_)) return {};
  if (superseded_ && !is_trusted()) return BlobFault::changed;
  FileIdentity now;
  const auto ec = look(now);
  if (ec) return ec;
  if (!same_file(now, identity_)) return kIoError;
  return is_state_of(now) ? std::error_code{} : BlobFault::changed;
} catch (const std::bad_alloc&) {
  return std::make_error_code(std::errc::not_enough_memory);
}

// What is open of the digest in other states may be read through the same cache, so all of it must
// have the same bytes; and what the kernel may have from before must be of this state or be
// forgotten. Not more often than that: to forget a page that is just waited for the kernel waits
// itself, and cannot be killed then.
Caching OpenBlob::enter_cache() const {
  const std::scoped_lock lock{ledger_->mutex};
  if (!ledger_->verify) {
    // Who had another file open under this digest may have read on after the kernel was told to
    // forget its bytes.
    const auto [last, is_first] = ledger_->cached.try_emplace(digest_, identity_);
    return is_first || std::exchange(last->second, identity_) == identity_ ? Caching::keep
                                                                           : Caching::begin;
  }
  if (!ledger_->agree(*this)) {
    ledger_->cached.insert_or_assign(digest_, FileIdentity{});  // of more than one state
    return Caching::bypass;
  }
  const auto before = ledger_->cached.find(digest_);
  const bool is_known = before != ledger_->cached.end();
  if (is_known ? before->second == identity_ : is_trusted()) return Caching::keep;
  if (!is_trusted()) {
    ledger_->cached.insert_or_assign(digest_, identity_);
  } else {
    ledger_->cached.erase(before);
  }
  return Caching::begin;
}

// In pieces: of each the kernel reads no more than the disk's read_ahead_kb or its max_sectors_kb,
// whichever is more; the first is 128 KiB unless somebody set it (force_page_cache_ra in
// mm/readahead.c).
void OpenBlob::prefetch(std::uint64_t offset, std::uint64_t size) const noexcept {
  constexpr std::uint64_t piece = 128u << 10;
  for (std::uint64_t at = 0; fd_ && at < size; at += piece) {
    ::posix_fadvise(fd_.get(), static_cast<off_t>(offset + at),
                    static_cast<off_t>(std::min(piece, size - at)), POSIX_FADV_WILLNEED);
  }
}

std::error_code OpenBlob::read(char* out, std::size_t size, std::uint64_t offset) const noexcept {
  if (offset > identity_.size || size > identity_.size - offset) return kIoError;
  if (!fd_ && !is_late_) {
    std::memcpy(out, bytes_.data() + offset, size);
    return {};
  }
  try {
    if (!verifier_) return read_file(out, size, offset);
    const auto ec = read_state(out, size, offset);
    return ec ? ec : verifier_->see({out, size}, offset, reader());
  } catch (...) {  // libcrypto refuses for want of memory alone
    return std::make_error_code(std::errc::not_enough_memory);
  }
}

std::error_code OpenBlob::verify_on(std::uint64_t most) const noexcept try {
  return verifier_ ? verifier_->hash_on(most, reader()) : std::error_code{};
} catch (...) {
  return std::make_error_code(std::errc::not_enough_memory);
}

BlobVerifier::Read OpenBlob::reader() const {
  return [this](char* out, std::size_t size, std::uint64_t offset) {
    return read_state(out, size, offset);
  };
}

// What was read before the file changed is of the state that it had, whatever came after.
std::error_code OpenBlob::read_state(char* out, std::size_t size, std::uint64_t offset) const {
  if (const auto ec = read_file(out, size, offset)) return ec;
  return fd_ ? check() : std::error_code{};
}

std::error_code OpenBlob::read_file(char* out, std::size_t size, std::uint64_t offset) const {
  if (fd_) return read_exactly(store_.calls(), fd_.get(), out, size, offset);
  std::error_code ec;
  const UniqueFd fd = store_.open_file(path_, ec).fd;
  FileIdentity found;
  if (!ec) ec = identify(store_.calls(), fd.get(), found);
  if (ec == std::errc::no_such_file_or_directory || (!ec && !same_file(found, identity_)))
    return kIoError;
  if (!ec) ec = read_exactly(store_.calls(), fd.get(), out, size, offset);
  // As check(), of the file that was read.
  if (!ec && verifier_) ec = identify(store_.calls(), fd.get(), found);
  if (ec || !verifier_) return ec;
  return is_state_of(found) && (!superseded_ || is_trusted()) ? ec : BlobFault::changed;
}

BlobPool::BlobPool(const StoreDir& store, BlobLimits limits, Verify verify)
    : store_{store}, limits_{limits}, ledger_{std::make_shared<OpenBlob::Ledger>(verify)} {}

std::shared_ptr<const OpenBlob> BlobPool::open(const Blob& blob, std::error_code& ec) {
  ec.clear();
  if (auto known = ledger_->find(blob.digest, blob.identity)) {
    ec = known->check();
    if (ec != BlobFault::changed) return ec ? nullptr : known;
  }
  // Opened without a lock: others need not wait for this disk. Of two who open the same blob at
  // once the second takes the first one's.
  const auto opened = std::make_shared<OpenBlob>(store_, blob, ledger_);
  if (ec = opened->load(limits_); ec) return nullptr;
  return ledger_->find_or_add(opened);
}

std::error_code BlobPool::check(const Blob& blob) const {
  const auto open = ledger_->find(blob.digest, blob.identity);
  if (open && !open->is_late_) {
    const auto ec = open->check();
    return ec == BlobFault::changed ? std::error_code{} : ec;  // of the same size
  }
  const Blob now = inspect_blob(store_, blob.digest);
  if (now.error) return now.error;
  return same_file(now.identity, blob.identity) ? std::error_code{} : kIoError;
}

BlobPool::Usage BlobPool::usage() const {
  const std::scoped_lock lock{ledger_->mutex};
  return ledger_->usage;
}

}  // namespace ollamafs
