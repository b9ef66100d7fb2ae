#include "store/catalog/tag_reader.h"

#include <fmt/format.h>
#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <climits>
#include <ctime>
#include <stdexcept>
#include <string_view>
#include <utility>

#include "store/base/text.h"

namespace ollamafs {
namespace {

// Throws ManifestError.
TagFile tag_file(FileContent file) {
  TagFile tag{{}, file.st.st_mtim.tv_sec, file.st.st_uid, file.st.st_gid, file.outside};
  AnyManifest manifest = parse_manifest(file.bytes);
  if (auto* list = std::get_if<ManifestList>(&manifest)) {
    tag.content = StoredList{Digest::of(file.bytes), std::move(*list)};
  } else {
    tag.content = StoredManifest::from(std::move(file.bytes), std::get<Manifest>(manifest));
  }
  return tag;
}

struct LinkTarget {
  Digest digest;
  bool is_direct;  // straight into blobs/, as Ollama writes it, and not by other symlinks
};

// Where a symlink leads, if its target is named like a blob.
std::optional<LinkTarget> blob_behind(const FileCalls& calls, int link_fd, std::error_code& ec) {
  char target[PATH_MAX];
  const ssize_t length = calls.readlink(link_fd, target, sizeof target);
  if (length < 0) {
    ec = {errno, std::generic_category()};
    return std::nullopt;
  }
  const std::string_view path{target, static_cast<std::size_t>(length)};
  const auto slash = path.rfind('/');
  const auto digest = Digest::parse(path.substr(slash == path.npos ? 0 : slash + 1));
  if (!digest) return std::nullopt;
  return LinkTarget{*digest, path == "../../../../" + digest->blob_path()};
}

// The kernel's clock for files goes by ticks of up to 10 ms: two writes in one look the same.
constexpr std::chrono::milliseconds kTick{100};

// How long a writer may take for one manifest.
constexpr std::chrono::milliseconds kPatience{2000};

// Whether a time is longer ago than that. One from the future is.
bool is_older(std::int64_t time_ns, std::chrono::milliseconds age) noexcept {
  timespec now{};
  ::clock_gettime(CLOCK_REALTIME, &now);
  const std::int64_t since = now.tv_sec * std::int64_t{1'000'000'000} + now.tv_nsec - time_ns;
  return since < 0 || since > std::chrono::nanoseconds{age}.count();
}

TagFailure dangling() {
  return {
      ProblemKind::missing,
      {},
      "is a symlink that leads nowhere: remove it, because while it is there Ollama before 0.40 "
      "lists no model at all"};
}

// A tag that cannot be had.
TagFailure unreadable(const std::error_code& ec) {
  return {problem_kind(ec), {}, open_failure(ec)};
}

bool are_one_file(const FileCalls& calls, int a, int b, std::error_code& ec) noexcept {
  struct stat st_a {
  }, st_b{};
  if (calls.fstat(a, st_a) != 0 || calls.fstat(b, st_b) != 0) {
    ec = {errno, std::generic_category()};
    return false;
  }
  return st_a.st_dev == st_b.st_dev && st_a.st_ino == st_b.st_ino;
}

}  // namespace

TagResult TagReader::read(const Tag& tag) {
  if (auto file = remembered(tag)) return *std::move(file);
  std::error_code ec;
  const StoreDir::Opened entry = store_.resolve_entry(tag.path, ec);
  struct stat st {};
  if (!ec && store_.calls().fstat(entry.fd.get(), st) != 0) ec = {errno, std::generic_category()};
  judge(tag.path, ec);
  if (ec) return unreadable(ec);

  if (S_ISDIR(st.st_mode) || (S_ISLNK(st.st_mode) && leads_to_directory(tag.path))) {
    return TagFailure{ProblemKind::directory, {}, kDirectoryForManifest};
  }
  if (!S_ISLNK(st.st_mode)) {
    TagResult result = read_plain(tag);
    (void)watch_from_now(tag.path, result, st);
    return result;
  }
  TagResult result = read_link(tag, entry.fd.get());
  if (auto* file = std::get_if<TagFile>(&result)) {
    file->mtime = st.st_mtim.tv_sec;
    if (KnownLink* const link = links_.find(tag.path)) link->mtime = file->mtime;
  }
  return result;
}

// Where a symlink leads the store judges, before anything there is touched.
bool TagReader::leads_to_directory(const std::string& path) const {
  std::error_code ec;
  const StoreDir::Opened reached = store_.resolve(path, ec);
  struct stat st {};
  return !ec && store_.calls().fstat(reached.fd.get(), st) == 0 && S_ISDIR(st.st_mode);
}

bool TagReader::leads_nowhere(const std::string& path) const {
  std::error_code ec;
  (void)store_.resolve(path, ec);
  return ec == std::errc::no_such_file_or_directory;
}

// What has not changed since it was read, as far as it can be seen.
std::optional<TagFile> TagReader::remembered(const Tag& tag) {
  if (!tag.unchanged) return std::nullopt;
  if (const KnownLink* const link = links_.use(tag.path).value) {
    auto file = remembered(link->digest);
    if (file) file->mtime = link->mtime;
    return file;
  }
  return watched_file(tag.path);
}

std::optional<TagFile> TagReader::remembered(const Digest& digest) {
  if (!memory_ || !memory_->knows_manifest(digest)) return std::nullopt;
  return watched_file(digest.blob_path());
}

std::optional<TagFile> TagReader::watched_file(const std::string& path) {
  const Known* const known = known_.find(path);
  if (!known || !known->watched) return std::nullopt;
  return use(path);
}

// Notes whether a file that was read, and whose entry is this, changes only by its own name.
bool TagReader::watch_from_now(const std::string& path, const TagResult& result,
                               const struct stat& entry) {
  Known* const known = known_.find(path);
  if (!known) return false;
  const bool stands_in = known->identity != FileIdentity::of(entry);  // while another is written
  return known->watched = std::holds_alternative<TagFile>(result) && known->settled && !stands_in &&
                          is_alone(entry);
}

TagResult TagReader::read_link(const Tag& tag, int link_fd) {
  std::error_code ec;
  const auto target = blob_behind(store_.calls(), link_fd, ec);
  judge(tag.path, ec);
  if (ec) return unreadable(ec);
  if (!target) {
    if (tag.tree == TreeKind::v1) return leads_nowhere(tag.path) ? dangling() : read_plain(tag);
    return TagFailure{
        ProblemKind::foreign_link, {}, "is a symlink to something that is not a manifest blob"};
  }
  const Digest& digest = target->digest;
  const StoreDir::Opened reached = store_.resolve(tag.path, ec);
  judge(tag.path, ec);
  if (ec == std::errc::no_such_file_or_directory) {
    return TagFailure{ProblemKind::missing, digest,
                      fmt::format("manifest blob {} is missing", digest.blob_name())};
  }
  if (ec) return unreadable(ec);
  const StoreDir::Opened own = store_.resolve(digest.blob_path(), ec);
  if (!ec && are_one_file(store_.calls(), reached.fd.get(), own.fd.get(), ec)) {
    if (target->is_direct) links_.put(tag.path, {digest});
    return read_blob(digest);
  }
  judge(digest.blob_path(), ec);
  if (ec && ec != std::errc::no_such_file_or_directory) return unreadable(ec);
  return TagFailure{
      ProblemKind::foreign_link, {}, "is a symlink to a blob that is not this store's"};
}

TagResult TagReader::read_plain(const Tag& tag) {
  return read_manifest(tag.path, nullptr);
}

TagResult TagReader::read_blob(const Digest& digest) {
  if (auto file = remembered(digest)) return *std::move(file);
  const std::string path = digest.blob_path();
  TagResult result = read_manifest(path, &digest);
  if (!memory_) return result;
  std::error_code ec;
  const StoreDir::Opened entry = store_.resolve_entry(path, ec);
  struct stat st {};
  if (!ec && store_.calls().fstat(entry.fd.get(), st) == 0 && watch_from_now(path, result, st)) {
    memory_->remember_manifest(digest);
  }
  return result;
}

void ReadFailures::count(const std::error_code& ec) noexcept {
  if (ec && ec != std::errc::no_such_file_or_directory) ++all;
  if (is_disk_failure(ec)) ++of_disk;
}

// Throws if it is this process that is at fault.
void TagReader::judge(const std::string& path, const std::error_code& ec) {
  refuse_shortage(store_, path, ec);
  failures_.count(ec);
}

void TagReader::begin() {
  has_pending_ = false;
  failures_ = {};
  bytes_ = 0;
  known_.begin();
  links_.begin();
}

void TagReader::end() {
  known_.end();
  links_.end();
}

// Of a path that is known.
const TagFile& TagReader::use(const std::string& path) {
  const auto [known, is_first] = known_.use(path);
  count_bytes(is_first ? known->identity.size : 0);
  return known->file;
}

const TagFile& TagReader::put(const std::string& path, Known known) {
  count_bytes(known.identity.size);
  return known_.put(path, std::move(known)).file;
}

void TagReader::count_bytes(std::uint64_t more) {
  bytes_ += more;
  if (bytes_ <= limits_.manifest_bytes) return;
  throw std::length_error{
      fmt::format("the manifests of {} have more than {} bytes, the most that those of a store "
                  "may have",
                  printable(store_.path().string()), limits_.manifest_bytes)};
}

// The manifest in the file `path`, which must be that of the blob `digest` if there is one.
TagResult TagReader::read_manifest(const std::string& path, const Digest* digest) {
  const Known* known = known_.find(path);
  // What this scan has read once it does not read twice.
  if (known && !known->settled && !known_.is_used(path)) known = nullptr;
  std::error_code ec;
  const StoreDir::Opened file = store_.open_file(path, ec);
  FileContent content;
  if (!ec)
    content = read_file(store_, file, kMaxManifestBytes, known ? &known->identity : nullptr, ec);
  judge(path, ec);
  if (!ec && known && known->identity == FileIdentity::of(content.st)) return use(path);
  if (!ec) return parse(path, digest, std::move(content));
  if (digest) {
    return TagFailure{problem_kind(ec), *digest,
                      fmt::format("manifest blob {} {}", digest->blob_name(), open_failure(ec))};
  }
  if (ec != std::errc::file_too_large) return unreadable(ec);
  return TagFailure{
      ProblemKind::bad_manifest,
      {},
      fmt::format("is larger than {} bytes, the most that a manifest may have", kMaxManifestBytes)};
}

TagResult TagReader::parse(const std::string& path, const Digest* digest, FileContent content) {
  const FileIdentity identity = FileIdentity::of(content.st);
  TagFailure failure{ProblemKind::bad_manifest, digest ? std::optional{*digest} : std::nullopt, {}};
  try {
    if (!digest || Digest::of(content.bytes) == *digest) {
      const bool settled = is_older(std::max(identity.mtime_ns, identity.ctime_ns), kTick);
      return put(path, {identity, settled, tag_file(std::move(content))});
    }
    failure.kind = ProblemKind::damaged;
    failure.text =
        fmt::format("manifest blob {} is damaged: its SHA-256 is another", digest->blob_name());
  } catch (const ManifestError& error) {
    failure.text = digest ? fmt::format("manifest blob {} is no manifest: it {}",
                                        digest->blob_name(), error.what())
                          : fmt::format("is not a manifest: it {}", error.what());
  }
  // Blobs get their names when they are complete.
  if (digest || !patient_ || is_older(identity.mtime_ns, kPatience)) return failure;
  has_pending_ = true;
  if (Known* const known = known_.find(path)) {
    known->settled = false;
    return use(path);
  }
  failure.pending = true;
  return failure;
}

}  // namespace ollamafs
