#pragma once

#include <vector>

#include "store/folder/store_dir.h"
#include "store/model/problem.h"

namespace ollamafs {

// Models folders in a models folder, which Ollama does not look into: `rsync models/NAME STORE/`,
// without the slash behind NAME, makes one, and `cp -r blobs STORE/blobs` makes blobs/blobs. Looks
// at the folder's own entries only.
[[nodiscard]] std::vector<Problem> nested_stores(const StoreDir& store);

}  // namespace ollamafs
