#include "src/mount/mount_command.h"

#include <malloc.h>

#include <functional>
#include <optional>

#include "src/mount/background.h"
#include "src/mount/daemon.h"
#include "src/mount/default_mountpoint.h"
#include "src/mount/fuse_access.h"
#include "src/mount/log.h"
#include "src/mount/mount_access.h"
#include "src/mount/mount_options.h"
#include "src/mount/mount_point.h"
#include "src/mount/service_manager.h"
#include "src/store/open_store.h"
#include "store/base/text.h"

namespace ollamafs {
namespace {

// What was typed behind "ollamafs", without the store. mount(8) has said more than anybody typed.
std::vector<std::string> words_of(const MountArguments& arguments) {
  std::vector<std::string> words{"mount"};
  if (!arguments.rules.rw_means_nothing) {
    for (const std::string& option : arguments.options) words.insert(words.end(), {"-o", option});
  }
  if (!arguments.mountpoint.empty()) words.push_back(arguments.mountpoint.string());
  return words;
}

// Each change of the store makes a new tree and a new catalog and frees the old ones. Their large
// parts shall go back to the system, which they do if each is mapped by itself: blocks of this size
// (bytes) and more are. Left to itself, the C library raises the limit with the first of them that
// is freed, and keeps the later ones.
void give_large_blocks_back() {
  ::mallopt(M_MMAP_THRESHOLD, 256 << 10);
}

// Nothing where there is no store and that is no error.
std::optional<StoreChoice> choose(const MountArguments& arguments, const MountOptions& options,
                                  Log& log) try {
  StoreChoice choice = choose_store(arguments.store, words_of(arguments));
  log->info("{}", choice.reason);
  for (const std::string& note : choice.notes) log->info("{}", note);
  return choice;
} catch (const CommandError& error) {
  if (error.status() != ExitStatus::no_store || !options.nofail) throw;
  log->info("{}; nothing is mounted, which is no error by -o nofail", error.what());
  return std::nullopt;
}

}  // namespace

ExitStatus mount_command(const MountArguments& arguments, const FileCalls& calls) {
  close_inherited_files();
  give_large_blocks_back();
  const MountOptions options = parse_mount_options(arguments.options, arguments.rules);
  Log log{{arguments.debug, arguments.quiet, arguments.log_file}};
  for (const std::string& option : options.skipped)
    log->warn("unknown option, passed over: -o {}", printable(option));
  const auto choice = choose(arguments, options, log);
  if (!choice) return ExitStatus::ok;
  require_fuse();
  const MountPlace place =
      find_mount_place(arguments.mountpoint.empty() ? default_mountpoint() : arguments.mountpoint);
  if (arguments.fake) return ExitStatus::ok;

  const MountAccess access{options};
  const bool foreground = arguments.foreground || arguments.debug;
  const ServiceManager manager = foreground ? ServiceManager::of_this_process() : ServiceManager{};
  const auto serve = [&](const std::function<void()>& ready) {
    Daemon daemon{{*choice, place, options, access, calls, manager, arguments.debug}, log};
    return daemon.run(ready);
  };
  if (foreground) return serve([] {});
  return run_in_background([&](const std::function<void()>& leave_terminal) {
    return serve([&] {
      leave_terminal();
      log.leave_terminal();
    });
  });
}

}  // namespace ollamafs
