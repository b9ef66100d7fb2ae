#pragma once

#include <cstdint>
#include <string>
#include <system_error>
#include <vector>

#include "store/base/file_identity.h"
#include "store/base/progress.h"
#include "store/folder/store_dir.h"
#include "store/model/digest.h"

namespace ollamafs {

// A file of a store whose SHA-256 is to be computed, and what came out.
struct HashJob {
  std::string path;            // relative to the store
  std::uint64_t expected = 0;  // bytes; the largest files are begun first
  Digest name{};               // what its bytes are said to have
  std::error_code error{};     // as of StoreDir::open_file, or of reading
  std::uint64_t size = 0;      // bytes that were read
  Digest digest{};             // of them, if there is no error
  FileIdentity identity{};     // of the file that was read, likewise
  bool has_changed = false;    // while it was read, so that a wrong digest says nothing
};

// Does all jobs, each by one of as many threads as there are processors: SHA-256 goes through a
// file from its beginning to its end. One that changes meanwhile, and has not the digest that it is
// said to have, is done once more. Tells `progress` of names and bytes, but not how much to
// expect. Throws std::system_error if this process lacks descriptors or memory, Interrupted as
// `progress`.
void hash_files(const StoreDir& store, std::vector<HashJob>& jobs, Progress& progress);

}  // namespace ollamafs
