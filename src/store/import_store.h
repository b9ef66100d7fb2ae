#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "store/find/store_location.h"

namespace ollamafs {

// Finds the store that models are imported into, which may have to be made (find_store_to_fill).
// Throws CommandError: no_store if none can be had, store_unreadable if this user may not enter it.
// `command` is what was typed behind "ollamafs", without the store, for advice.
[[nodiscard]] StoreChoice choose_store_to_fill(const std::filesystem::path& given,
                                               const std::vector<std::string>& command);

// Refuses sources that show the store itself: they are in a mount of it. Throws CommandError.
void refuse_own_mount(const std::vector<std::filesystem::path>& sources,
                      const std::filesystem::path& store);

}  // namespace ollamafs
