#include "src/mount/mount_command.h"

#include <malloc.h>

#include <functional>

#include "src/mount/background.h"
#include "src/mount/daemon.h"
#include "src/mount/fuse_access.h"
#include "src/mount/log.h"
#include "src/mount/mount_access.h"
#include "src/mount/mount_options.h"
#include "src/store/open_store.h"

namespace ollamafs {
namespace {

// What was typed behind "ollamafs", without the store.
std::vector<std::string> words_of(const MountArguments& arguments) {
  std::vector<std::string> words{"mount"};
  for (const std::string& option : arguments.options) words.insert(words.end(), {"-o", option});
  words.push_back(arguments.mountpoint.string());
  return words;
}

// Each change of the store makes a new tree and a new catalog and frees the old ones. Their large
// parts shall go back to the system, which they do if each is mapped by itself: blocks of this size
// (bytes) and more are. Left to itself, the C library raises the limit with the first of them that
// is freed, and keeps the later ones.
void give_large_blocks_back() {
  ::mallopt(M_MMAP_THRESHOLD, 256 << 10);
}

}  // namespace

ExitStatus mount_command(const MountArguments& arguments, const FileCalls& calls) {
  close_inherited_files();
  give_large_blocks_back();
  const MountOptions options = parse_mount_options(arguments.options);
  Log log{arguments.debug};
  const StoreChoice choice = choose_store(arguments.store, words_of(arguments));
  require_fuse();
  log->info("{}", choice.reason);
  for (const std::string& note : choice.notes) log->info("{}", note);

  const MountAccess access{options};
  const auto serve = [&](const std::function<void()>& ready) {
    Daemon daemon{{choice, arguments.mountpoint, options, access, calls, arguments.debug}, log};
    return daemon.run(ready);
  };
  if (arguments.foreground || arguments.debug) return serve([] {});
  return run_in_background([&](const std::function<void()>& leave_terminal) {
    return serve([&] {
      leave_terminal();
      log.move_to_syslog();
    });
  });
}

}  // namespace ollamafs
