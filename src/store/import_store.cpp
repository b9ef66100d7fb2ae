#include "src/store/import_store.h"

#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <string>
#include <system_error>

#include "src/say/exit_status.h"
#include "src/store/open_store.h"
#include "store/base/text.h"
#include "store/watch/mount_table.h"

namespace ollamafs {

namespace fs = std::filesystem;

StoreChoice choose_store_to_fill(const fs::path& given, const std::vector<std::string>& command) {
  StoreChoice choice;
  try {
    choice = find_store_to_fill(given, Host::current());
  } catch (const StoreNotFound& error) {
    throw CommandError{error.what(), ExitStatus::no_store};
  }
  // One that is there must be readable, and there is advice if it is not.
  if (choice.taken.state == StoreCandidate::State::unreadable) {
    return choose_store(choice.taken.path, command);
  }
  return choice;
}

void refuse_own_mount(const std::vector<fs::path>& sources, const fs::path& store) {
  std::error_code ec;
  const fs::path real = fs::canonical(store, ec);
  if (ec) return;  // it has to be made: no mount shows it
  const std::vector<MountEntry> mounts = mount_table();
  for (const fs::path& source : sources) {
    struct stat st {};
    const int status = source == "-" ? ::fstat(STDIN_FILENO, &st) : ::stat(source.c_str(), &st);
    if (status != 0) continue;  // opening it will tell
    for (const MountEntry& mount : mounts) {
      if (mount.device != st.st_dev || mount.type != kMountType) continue;
      if (fs::path{mount.source} != real && fs::canonical(mount.source, ec) != real) continue;
      throw CommandError{
          fmt::format("{} is in the mount at {}, which shows the store {} itself: all its models "
                      "are there already",
                      source == "-" ? "standard input" : printable(source.string()),
                      printable(mount.mountpoint), printable(real.string())),
          ExitStatus::refused};
    }
  }
}

}  // namespace ollamafs
