#pragma once

#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include "src/store/store_arguments.h"

namespace ollamafs {

// Values that begin with `typed`, for completion: what cannot be known is left out, and nobody is
// told why.

// The models of the store, in the spelling that was begun (complete_name).
[[nodiscard]] std::vector<std::string> completed_models(const StoreArguments& store,
                                                        std::string_view typed);

// Where ollamafs is mounted.
[[nodiscard]] std::vector<std::string> completed_mounts(std::string_view typed);

// One of several: "tar,tar.gz".
[[nodiscard]] std::vector<std::string> completed_choice(std::string_view choice,
                                                        std::string_view typed);

// Some of several, behind a comma each, as `-o` takes them. `description` names them as the help
// does: "allow_other, hold=S". What takes a value goes as far as the equals sign.
[[nodiscard]] std::vector<std::string> completed_list(std::string_view description,
                                                      std::string_view typed);

// A path as it was typed, with the home in the place of "~/": to the shell it was no word yet.
[[nodiscard]] std::filesystem::path with_home(const std::string& typed);

}  // namespace ollamafs
