#include "store/blobs/blob.h"

#include <sys/stat.h>

#include <cerrno>
#include <utility>

namespace ollamafs {
namespace {

// Kernels before 5.8 say ENOSYS, and the first reading tells.
std::error_code readable(const FileCalls& calls, int path_fd) noexcept {
  if (calls.readable(path_fd) == 0) return {};
  if (errno == ENOSYS || errno == EPERM) return {};
  return {errno, std::generic_category()};
}

bool is_missing(const std::error_code& ec) noexcept {
  return ec == std::errc::no_such_file_or_directory;
}

}  // namespace

StoreDir::Opened open_blob(const StoreDir& store, const Digest& digest, std::error_code& ec) {
  StoreDir::Opened file = store.open_file(digest.blob_path(), ec);
  return is_missing(ec) ? store.open_file(digest.old_blob_path(), ec) : std::move(file);
}

FileContent read_blob(const StoreDir& store, const Digest& digest, std::uint64_t limit,
                      std::error_code& ec) {
  FileContent content = read_file(store, digest.blob_path(), limit, ec);
  return is_missing(ec) ? read_file(store, digest.old_blob_path(), limit, ec) : content;
}

Blob inspect_blob(const StoreDir& store, const Digest& digest, bool* alone) {
  Blob blob;
  blob.digest = digest;
  struct stat st {};
  const auto stat = [&](const StoreDir::Opened& opened) {
    if (!blob.error && store.calls().fstat(opened.fd.get(), st) != 0)
      blob.error = {errno, std::generic_category()};
    return !blob.error;
  };
  StoreDir::Opened path = store.resolve_entry(blob.path(), blob.error);
  if (is_missing(blob.error)) {
    std::error_code ec;
    if (auto old = store.resolve_entry(digest.old_blob_path(), ec); !ec) {
      path = std::move(old);
      blob.old_name = true;
      blob.error.clear();
    }
  }
  if (!stat(path)) return blob;
  if (alone) *alone = is_alone(st);
  if (S_ISLNK(st.st_mode)) {
    path = store.resolve(blob.path(), blob.error);
    if (!stat(path)) return blob;
  }
  if (!S_ISREG(st.st_mode)) {
    blob.error = std::make_error_code(std::errc::invalid_argument);
  } else {
    blob.error = readable(store.calls(), path.fd.get());
  }
  blob.identity = FileIdentity::of(st);
  blob.uid = st.st_uid;
  blob.gid = st.st_gid;
  blob.outside = path.outside;
  return blob;
}

}  // namespace ollamafs
