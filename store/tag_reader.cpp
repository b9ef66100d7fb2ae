#include "store/tag_reader.h"

#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <climits>
#include <string_view>
#include <utility>

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

// The digest that a symlink's target is named after, if it is named like a blob.
std::optional<Digest> blob_behind(int link_fd) {
  char target[PATH_MAX];
  const ssize_t length = ::readlinkat(link_fd, "", target, sizeof target);
  if (length < 0) return std::nullopt;
  std::string_view name{target, static_cast<std::size_t>(length)};
  if (const auto slash = name.rfind('/'); slash != std::string_view::npos) {
    name.remove_prefix(slash + 1);
  }
  return Digest::parse(name);
}

bool are_one_file(int a, int b) noexcept {
  struct stat st_a {
  }, st_b{};
  return ::fstat(a, &st_a) == 0 && ::fstat(b, &st_b) == 0 && st_a.st_dev == st_b.st_dev &&
         st_a.st_ino == st_b.st_ino;
}

}  // namespace

TagResult TagReader::read(const Tag& tag) {
  std::error_code ec;
  const StoreDir::Opened entry = store_.resolve_entry(tag.path, ec);
  struct stat st {};
  if (!ec && ::fstat(entry.fd.get(), &st) != 0) ec = {errno, std::generic_category()};
  refuse_shortage(store_, tag.path, ec);
  if (ec) return TagFailure{{}, open_failure(ec)};

  TagResult result = S_ISLNK(st.st_mode) ? read_link(tag, entry.fd.get()) : read_plain(tag);
  if (auto* file = std::get_if<TagFile>(&result)) file->mtime = st.st_mtim.tv_sec;
  return result;
}

TagResult TagReader::read_link(const Tag& tag, int link_fd) {
  const auto digest = blob_behind(link_fd);
  if (!digest) {
    if (tag.tree == TreeKind::v1) return read_plain(tag);
    return TagFailure{{}, "is a symlink to something that is not a manifest blob"};
  }
  std::error_code ec;
  const StoreDir::Opened reached = store_.resolve(tag.path, ec);
  refuse_shortage(store_, tag.path, ec);
  if (ec == std::errc::no_such_file_or_directory) {
    return TagFailure{digest, fmt::format("manifest blob {} is missing", digest->blob_name()),
                      true};
  }
  if (ec) return TagFailure{{}, open_failure(ec)};
  const StoreDir::Opened own = store_.resolve(digest->blob_path(), ec);
  refuse_shortage(store_, digest->blob_path(), ec);
  if (ec || !are_one_file(reached.fd.get(), own.fd.get())) {
    return TagFailure{{}, "is a symlink to a blob that is not this store's"};
  }
  return read_blob(*digest);
}

TagResult TagReader::read_plain(const Tag& tag) try {
  std::error_code ec;
  FileContent file = read_file(store_, tag.path, kMaxManifestBytes, ec);
  refuse_shortage(store_, tag.path, ec);
  if (ec == std::errc::file_too_large) {
    return TagFailure{{},
                      fmt::format("is larger than {} bytes, the most that a manifest may have",
                                  kMaxManifestBytes)};
  }
  if (ec) return TagFailure{{}, open_failure(ec)};
  return tag_file(std::move(file));
} catch (const ManifestError& error) {
  return TagFailure{{}, fmt::format("is not a manifest: it {}", error.what())};
}

TagResult TagReader::read_blob(const Digest& digest) try {
  if (const auto known = blobs_.find(digest); known != blobs_.end()) return known->second;
  const std::string name = digest.blob_name();
  std::error_code ec;
  FileContent file = read_file(store_, digest.blob_path(), kMaxManifestBytes, ec);
  refuse_shortage(store_, digest.blob_path(), ec);
  if (ec) {
    return TagFailure{digest, fmt::format("manifest blob {} {}", name, open_failure(ec)),
                      ec == std::errc::no_such_file_or_directory};
  }
  if (Digest::of(file.bytes) != digest) {
    return TagFailure{digest,
                      fmt::format("manifest blob {} is damaged: its SHA-256 is another", name)};
  }
  return blobs_.emplace(digest, tag_file(std::move(file))).first->second;
} catch (const ManifestError& error) {
  return TagFailure{digest, fmt::format("manifest blob {} is no manifest: it {}",
                                        digest.blob_name(), error.what())};
}

}  // namespace ollamafs
