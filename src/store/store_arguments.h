#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "store/find/store_location.h"
#include "store/folder/store_dir.h"

namespace ollamafs {

// What the command line says of the store that a command reads: --store and --follow. The options
// themselves are added by src/commands/common_options.
struct StoreArguments {
  std::filesystem::path store;                // empty: find it
  std::vector<std::filesystem::path> follow;  // where symlinks may lead out of it
};

// A store that was chosen, and is open for reading.
struct ChosenStore {
  StoreChoice choice;
  StoreDir dir;
};

// Chooses and opens the store. `command` is what was typed behind "ollamafs", without the store and
// without --follow, for advice: {"list", "--json"}. Throws CommandError as choose_store,
// follow_directory and open_store do.
[[nodiscard]] ChosenStore open_store(const StoreArguments& arguments,
                                     std::vector<std::string> command);

}  // namespace ollamafs
