#pragma once

#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "store/base/progress.h"
#include "store/transfer/import_source.h"

namespace ollamafs {

// Single files that a browser has downloaded, named as it likes ("manifest", "data", "data(1)"):
// what is a manifest is seen by its content, and which blob a file is by its size and hash, which
// are read for that. Files that no manifest names are passed over. Its manifests have no name. Null
// if no file is a manifest. `shown` names all of them in messages. Throws as ImportSource, and
// Interrupted.
[[nodiscard]] std::unique_ptr<ImportSource> open_loose_source(
    const std::vector<std::filesystem::path>& files, std::string shown, Progress& progress);

}  // namespace ollamafs
