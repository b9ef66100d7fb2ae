#include "store/blob.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>

namespace ollamafs {
namespace {

// faccessat2(2): an O_PATH descriptor can be asked directly. Kernels before 5.8 say ENOSYS, and the
// first reading tells.
std::error_code readable(int path_fd) noexcept {
  if (::syscall(SYS_faccessat2, path_fd, "", R_OK, AT_EMPTY_PATH | AT_EACCESS) == 0) return {};
  if (errno == ENOSYS || errno == EPERM) return {};
  return {errno, std::generic_category()};
}

}  // namespace

Blob inspect_blob(const StoreDir& store, const Digest& digest) {
  Blob blob;
  blob.digest = digest;
  const StoreDir::Opened path = store.resolve(digest.blob_path(), blob.error);
  if (blob.error) return blob;
  struct stat st {};
  if (::fstat(path.fd.get(), &st) != 0) {
    blob.error = {errno, std::generic_category()};
  } else if (!S_ISREG(st.st_mode)) {
    blob.error = std::make_error_code(std::errc::invalid_argument);
  } else {
    blob.error = readable(path.fd.get());
  }
  blob.identity = FileIdentity::of(st);
  blob.uid = st.st_uid;
  blob.gid = st.st_gid;
  blob.outside = path.outside;
  return blob;
}

}  // namespace ollamafs
