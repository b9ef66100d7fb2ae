#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <system_error>
#include <vector>

#include "store/base/file_identity.h"
#include "store/base/write_calls.h"
#include "store/folder/store_dir.h"

namespace ollamafs {

// The folder for blobs whose bytes are wrong: beside blobs/, where no server looks, and on the same
// file system, so that nothing is copied.
inline constexpr const char* kQuarantine = "blobs-quarantine";

// A blob whose bytes were found to be wrong.
struct BadBlob {
  std::string path;       // relative to the store: "blobs/sha256-..."
  FileIdentity identity;  // of the file that had them; behind a symlink, of what it leads to
};

// One that was to be moved there.
struct Quarantined {
  std::string from;            // BadBlob::path
  std::filesystem::path to{};  // where it is now
  std::error_code error{};     // why it is not there
  bool has_changed = false;    // it is another file by now, which may be right: it was left

  [[nodiscard]] bool is_moved() const noexcept { return !error && !has_changed; }
};

// Moves entries of blobs/ into the quarantine, which is made if need be and belongs to whom blobs/
// belongs to. What has changed since it was found stays where it is. A symlink is moved as one. To
// get a blob back, move it back. Throws std::system_error that names the folder if there can be no
// quarantine.
[[nodiscard]] std::vector<Quarantined> quarantine(const StoreDir& store,
                                                  const std::vector<BadBlob>& blobs,
                                                  const WriteCalls& calls = WriteCalls::kernel());

// What lies in the quarantine.
struct QuarantineUsage {
  std::filesystem::path path{};  // of the folder
  std::uint64_t files = 0;
  std::uint64_t bytes = 0;  // that they hold
};

// Weighs it; it has no files if there is no such folder or it cannot be read.
[[nodiscard]] QuarantineUsage weigh_quarantine(const StoreDir& store);

}  // namespace ollamafs
