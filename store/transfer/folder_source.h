#pragma once

#include <memory>
#include <string>

#include "store/folder/store_dir.h"
#include "store/transfer/import_source.h"

namespace ollamafs {

// A directory that holds one or more models folders, itself or some levels down: a store, a model
// of the view, what an archive was unpacked to. Links are followed where `folder` allows it. Null
// if there is no file of a store in it. Throws as ImportSource.
[[nodiscard]] std::unique_ptr<ImportSource> open_folder_source(StoreDir folder, std::string shown);

}  // namespace ollamafs
