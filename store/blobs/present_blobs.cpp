#include "store/blobs/present_blobs.h"

#include <utility>

#include "store/base/dir_stream.h"
#include "store/blobs/blob.h"

namespace ollamafs {

std::map<Digest, std::uint64_t> present_blobs(const StoreDir& store, std::error_code& ec) {
  std::map<Digest, std::uint64_t> present;
  StoreDir::Opened folder = store.open_directory("blobs", ec);
  if (ec == std::errc::no_such_file_or_directory) ec.clear();
  if (ec || !folder.fd) return present;
  for_each_dir_entry(store.calls(), std::move(folder.fd), ec, [&](const dirent& entry) {
    const auto digest = Digest::parse(entry.d_name);
    if (!digest || digest->blob_name() != entry.d_name) return;
    if (const Blob blob = inspect_blob(store, *digest); blob.good())
      present.emplace(*digest, blob.identity.size);
  });
  return present;
}

}  // namespace ollamafs
