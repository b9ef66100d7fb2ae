#include "store/blobs/present_blobs.h"

#include <dirent.h>

#include <cerrno>

#include "store/base/dir_stream.h"
#include "store/blobs/blob.h"

namespace ollamafs {

std::map<Digest, std::uint64_t> present_blobs(const StoreDir& store, std::error_code& ec) {
  std::map<Digest, std::uint64_t> present;
  StoreDir::Opened folder = store.open_directory("blobs", ec);
  if (ec == std::errc::no_such_file_or_directory) ec.clear();
  if (ec || !folder.fd) return present;
  const DirStream listing{::fdopendir(folder.fd.get())};
  if (!listing) {
    ec = {errno, std::generic_category()};
    return present;
  }
  [[maybe_unused]] const int of_the_stream = folder.fd.release();
  for (;;) {
    errno = 0;
    const dirent* entry = store.calls().readdir(listing.get());
    if (!entry) break;
    const auto digest = Digest::parse(entry->d_name);
    if (!digest || digest->blob_name() != entry->d_name) continue;
    if (const Blob blob = inspect_blob(store, *digest); blob.good())
      present.emplace(*digest, blob.identity.size);
  }
  if (errno != 0) ec = {errno, std::generic_category()};
  return present;
}

}  // namespace ollamafs
