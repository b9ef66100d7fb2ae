#pragma once

#include <filesystem>
#include <vector>

#include "src/say/exit_status.h"

namespace ollamafs {

struct ListArguments {
  std::filesystem::path store;                // empty: find it
  std::vector<std::filesystem::path> follow;  // where symlinks may lead out of the store
  bool json = false;
};

// `ollamafs list`: the models as `ollama list` prints them, the newest first, then what is wrong
// with the broken ones and with the store. Throws CommandError.
ExitStatus list_command(const ListArguments& arguments);

}  // namespace ollamafs
