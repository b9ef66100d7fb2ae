#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "src/mount/mount_options.h"
#include "src/say/exit_status.h"
#include "store/base/file_calls.h"

namespace ollamafs {

struct MountArguments {
  std::filesystem::path mountpoint;  // empty: the usual one
  std::filesystem::path store;       // empty: find it
  std::vector<std::string> options;  // of all -o
  OptionRules rules{};
  std::filesystem::path log_file;  // empty: none
  bool foreground = false;
  bool debug = false;
  bool quiet = false;  // says nothing on stderr but warnings and errors
  bool fake = false;   // all but the mount itself
};

// `ollamafs mount`. Returns when the mount answers, or with `foreground` when it has ended. The
// store is read by `calls`. Throws CommandError.
ExitStatus mount_command(const MountArguments& arguments,
                         const FileCalls& calls = FileCalls::kernel());

}  // namespace ollamafs
