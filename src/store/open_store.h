#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "store/find/store_location.h"
#include "store/folder/store_dir.h"

namespace ollamafs {

// `command`, what was typed behind "ollamafs" without the store, as root would have to type it. The
// store is named: root may find another one, and sudo does not pass OLLAMA_MODELS on.
[[nodiscard]] std::string as_root(const std::vector<std::string>& command,
                                  const std::filesystem::path& store);

// Finds the store that a command is about (find_store). Throws CommandError: no_store if there is
// none, store_unreadable if this user may not read it, with the ways that work. One of them is the
// command itself, as root: `command` is what was typed behind "ollamafs", without the store.
[[nodiscard]] StoreChoice choose_store(const std::filesystem::path& given,
                                       const std::vector<std::string>& command);

// The real path of a directory into which symlinks of the store may lead. `option` is how the
// command line names it, up to its value: "--follow ", "-o follow=". Throws CommandError with
// ExitStatus::usage if it is no directory that can be reached.
[[nodiscard]] std::filesystem::path follow_directory(const std::string& option,
                                                     const std::filesystem::path& given);

// Opens the chosen store, to be read by `calls`; `follow` are follow_directory()s. Throws
// CommandError if it cannot be opened.
[[nodiscard]] StoreDir open_store(const StoreChoice& choice, OutsideLinks outside,
                                  const std::vector<std::filesystem::path>& follow,
                                  const FileCalls& calls = FileCalls::kernel());

}  // namespace ollamafs
