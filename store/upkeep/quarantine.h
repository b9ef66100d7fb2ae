#pragma once

#include <filesystem>
#include <string>
#include <system_error>
#include <vector>

#include "store/base/write_calls.h"
#include "store/folder/store_dir.h"

namespace ollamafs {

// The folder for blobs whose bytes are wrong: beside blobs/, where no server looks, and on the same
// file system, so that nothing is copied.
inline constexpr const char* kQuarantine = "blobs-quarantine";

// A blob that was to be moved there.
struct Quarantined {
  std::string from;            // relative to the store: "blobs/sha256-..."
  std::filesystem::path to{};  // where it is now
  std::error_code error{};     // none: it is there
};

// Moves entries of blobs/ into the quarantine, which is made if need be and belongs to whom blobs/
// belongs to. `paths` are relative to the store. A symlink is moved as one. To get a blob back,
// move it back. Throws std::system_error that names the folder if there can be no quarantine.
[[nodiscard]] std::vector<Quarantined> quarantine(const StoreDir& store,
                                                  const std::vector<std::string>& paths,
                                                  const WriteCalls& calls = WriteCalls::kernel());

}  // namespace ollamafs
