#pragma once

#include <filesystem>
#include <vector>

#include "store/store_dir.h"
#include "store/store_location.h"

namespace ollamafs {

// Finds the store that a command is about (find_store). Throws CommandError: no_store if there is
// none, store_unreadable if this user may not read it, with the ways that work.
[[nodiscard]] StoreChoice choose_store(const std::filesystem::path& given);

// Opens the chosen store. Throws CommandError if it, or a directory of `follow`, cannot be opened.
[[nodiscard]] StoreDir open_store(const StoreChoice& choice, OutsideLinks outside,
                                  const std::vector<std::filesystem::path>& follow);

}  // namespace ollamafs
