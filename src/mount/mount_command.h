#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "src/say/exit_status.h"
#include "store/base/file_calls.h"

namespace ollamafs {

struct MountArguments {
  std::filesystem::path mountpoint;
  std::filesystem::path store;       // empty: find it
  std::vector<std::string> options;  // of all -o
  bool foreground = false;
  bool debug = false;
};

// `ollamafs mount`. Returns when the mount answers, or with `foreground` when it has ended. The
// store is read by `calls`. Throws CommandError.
ExitStatus mount_command(const MountArguments& arguments,
                         const FileCalls& calls = FileCalls::kernel());

}  // namespace ollamafs
