#pragma once

#include <filesystem>
#include <memory>
#include <vector>

#include "store/base/progress.h"
#include "store/folder/store_dir.h"
#include "store/transfer/import_source.h"

namespace ollamafs {

// What the user has named, recognised by its content: an archive, the parts of one, a directory,
// "-" for standard input, or files that were downloaded one by one. `links` is for directories.
// Throws TransferError: not_found if something is not there, broken if it is nothing of these.
[[nodiscard]] std::vector<std::unique_ptr<ImportSource>> open_sources(
    const std::vector<std::filesystem::path>& paths, OutsideLinks links, Progress& progress);

}  // namespace ollamafs
