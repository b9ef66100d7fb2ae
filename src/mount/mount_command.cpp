#include <malloc.h>
#include <sys/resource.h>
#include <unistd.h>

#include <atomic>
#include <cstring>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <thread>
#include <utility>

#include "fs/kernel/cache_notifier.h"
#include "fs/kernel/session.h"
#include "fs/serve/file_system.h"
#include "fs/serve/live_view.h"
#include "fs/views/views.h"
#include "src/mount/background.h"
#include "src/mount/blob_access_note.h"
#include "src/mount/fuse_access.h"
#include "src/mount/log.h"
#include "src/mount/mount_access.h"
#include "src/mount/mount_command.h"
#include "src/mount/mount_options.h"
#include "src/mount/mount_point.h"
#include "src/mount/mount_probe.h"
#include "src/mount/own_mount.h"
#include "src/mount/signals.h"
#include "src/mount/store_report.h"
#include "src/store/open_store.h"
#include "store/base/text.h"
#include "store/catalog/catalog.h"

namespace ollamafs {
namespace {

namespace fs = std::filesystem;

// After the second signal. Seconds; many times what it takes.
constexpr unsigned kLeaveAtOnce = 5;

// As many descriptors as may be had; half of them for blobs that stay open (design §5).
BlobLimits blob_limits() {
  rlimit limit{};
  if (::getrlimit(RLIMIT_NOFILE, &limit) != 0) return {};
  limit.rlim_cur = limit.rlim_max;
  ::setrlimit(RLIMIT_NOFILE, &limit);
  BlobLimits limits;
  limits.descriptors = limit.rlim_cur / 2;
  return limits;
}

// Of a blob file in the view that is too large to be held in memory; empty: there is none.
fs::path path_of_large_blob(const Catalog& catalog) {
  for (const Model& model : catalog.models()) {
    if (!model.whole()) continue;
    for (const std::uint32_t index : model.blobs) {
      const Blob& blob = catalog.blobs()[index];
      if (blob.identity.size <= BlobLimits{}.small) continue;
      return fs::path{"models"} / model.view_name / "blobs" / blob.digest.blob_name();
    }
  }
  return {};
}

// What was typed behind "ollamafs", without the store.
std::vector<std::string> words_of(const MountArguments& arguments) {
  std::vector<std::string> words{"mount"};
  for (const std::string& option : arguments.options) words.insert(words.end(), {"-o", option});
  words.push_back(arguments.mountpoint.string());
  return words;
}

// Everything that lives as long as the mount, in the order in which it must come and go.
class Daemon {
 public:
  Daemon(const StoreChoice& choice, const MountArguments& arguments, const MountOptions& options,
         const MountAccess& access, const FileCalls& calls, Log& log)
      : log_{log},
        options_{options},
        access_{access},
        signals_{std::make_unique<SignalWatcher>(
            [this](int signal, int count) { on_signal(signal, count); })},
        store_{open_store(choice, access.outside_links(), options.follow, calls)},
        scanner_{store_, !options.poll},
        mountpoint_{{real_mountpoint(arguments.mountpoint), store_.path(), options.nonempty,
                     access.mountpoint_owner()},
                    log} {
    const auto catalog = scanner_.scan();
    log_->debug("{} models, {} blobs", catalog->models().size(), catalog->blobs().size());
    report(*Catalog::empty(), *catalog);
    file_system_ = std::make_unique<FileSystem>(
        store_, make_tree(catalog, nullptr), blob_limits(),
        [this](const std::string& message) { log_->error("{}", message); },
        [this](CacheNotices notices) { notifier_->add(std::move(notices)); }, options.hold,
        options.verify ? Verify::yes : Verify::no);
    SessionOptions session{store_.path().string(), access.allow_other(), arguments.debug};
    if (options.verify) {
      session.backing = nullptr;
      session.without_backing = BlobAccess::Way::unwanted;
    }
    session.on_refusal = [this](BlobAccess way) {
      if (answered_) log_->warn("{} from now on", blob_access_note(way));
    };
    session_ = std::make_unique<Session>(*file_system_, session);
    notifier_ = std::make_unique<CacheNotifier>(
        [this](const CacheNotice& notice) { session_->forget(notice); });
    large_blob_ = path_of_large_blob(*catalog);
    scanned_ = catalog;
  }

  ~Daemon() { end(); }
  Daemon(const Daemon&) = delete;
  Daemon& operator=(const Daemon&) = delete;

  // Mounts and serves until the end. Calls `ready` as soon as the mount answers.
  ExitStatus run(const std::function<void()>& ready) {
    if (stopping_) return ExitStatus::failed;
    file_system_->pins().enable(false);
    session_->mount(mountpoint_.path());
    own_mount_.emplace(mountpoint_.path());
    mounted_ = true;
    if (stopping_) return ExitStatus::failed;  // a signal came while the mount was made
    start_live_view();
    waiter_ = std::thread{[this, &ready] { wait_for_answer(ready); }};
    session_->run();
    end();
    if (answered_ || stopping_) return ExitStatus::ok;
    log_->error("the mount at {} did not answer", printable(mountpoint_.path().string()));
    return ExitStatus::failed;
  }

 private:
  void wait_for_answer(const std::function<void()>& ready) noexcept try {
    // Whether the kernel takes blobs it tells only when it is given one.
    answered_ = mount_answers(mountpoint_.path(), large_blob_);
    file_system_->pins().enable(true);
    if (!answered_) return;
    log_->info("{} shows the models of {}", printable(mountpoint_.path().string()),
               printable(store_.path().string()));
    log_->info("{}", blob_access_note(session_->blob_access()));
    ready();
  } catch (const std::exception& error) {
    log_->error("cannot go to the background: {}", error.what());
    answered_ = false;
    stop();
  }

  // The connection ends before the waiter is waited for, which may still want the mount's answer;
  // the session after it, which it uses. A disk that does not answer may hold up all of it but
  // what comes behind the signals.
  void end() {
    detach();
    if (session_) session_->disconnect();
    if (waiter_.joinable()) waiter_.join();
    live_view_.reset();
    signals_.reset();
    if (notifier_) notifier_->close();  // what ends with the session may still add to it
    session_.reset();
    notifier_.reset();
    own_mount_.reset();
  }

  // Said but not fatal: what else is there at its place is not ours to touch.
  bool detach() noexcept try {
    const std::scoped_lock lock{detaching_};
    const auto obstacle =
        own_mount_ ? own_mount_->detach([this] { return session_->is_connected(); }) : std::nullopt;
    if (obstacle) log_->error("cannot unmount {}", *obstacle);
    return !obstacle;
  } catch (const std::exception& error) {
    log_->error("cannot unmount: {}", error.what());
    return false;
  }

  void stop() {
    notifier_->close();
    session_->stop();
  }

  // The first signal takes the mount out of sight and lets what is open be read to its end; the
  // second ends that too (design §6), and leaves alone what then still waits for a disk.
  void on_signal(int signal, int count) {
    stopping_ = true;
    if (!mounted_) {
      if (count > 0) ::_exit(static_cast<int>(ExitStatus::failed));
      return;
    }
    if (count == 0) {
      log_->info("unmounting: {}", ::strsignal(signal));
      if (detach()) return;
    } else {
      leave_within(kLeaveAtOnce);
    }
    session_->stop();
    session_->disconnect();
  }

  // From the beginning, and then from the live view's thread.
  std::shared_ptr<const Tree> make_tree(std::shared_ptr<const Catalog> catalog,
                                        const Tree* previous) {
    std::string note;
    const TreeOptions tree =
        access_.tree_options(store_, *catalog, previous ? &previous->root() : nullptr, note);
    if (!note.empty() && note != access_note_) log_->info("{}", note);
    access_note_ = note;
    return build_tree(std::move(catalog), tree,
                      {mountpoint_.path(), store_.path(), MountAccess::by_sudo()}, previous);
  }

  void report(const Catalog& before, const Catalog& now) {
    for (const std::string& line : store_news(before, now)) log_->warn("{}", line);
  }

  void start_live_view() {
    LiveView::Options live;
    if (options_.poll) live.poll = *options_.poll;
    LiveView::Calls calls;
    calls.make_tree = [this](std::shared_ptr<const Catalog> catalog, const Tree* previous) {
      return make_tree(std::move(catalog), previous);
    };
    calls.is_outdated = [this](const Tree& shown) {
      std::string note;
      const auto root = access_.tree_options(store_, shown.catalog(), &shown.root(), note).root;
      const Node& now = shown.root();
      return root &&
             (root->permissions != now.permissions || root->uid != now.uid || root->gid != now.gid);
    };
    calls.changed = [this](const Catalog& before, const Catalog& now) { report(before, now); };
    calls.note = [this](const std::string& text) { log_->warn("{}", text); };
    live_view_ =
        std::make_unique<LiveView>(scanner_, *file_system_, std::move(scanned_), calls, live);
  }

  Log& log_;
  const MountOptions& options_;
  const MountAccess& access_;
  std::string access_note_;             // as it was said last
  std::atomic<bool> stopping_ = false;  // a signal came
  std::atomic<bool> mounted_ = false;
  std::atomic<bool> answered_ = false;
  std::mutex detaching_;
  std::unique_ptr<SignalWatcher> signals_;
  StoreDir store_;
  StoreScanner scanner_;
  MountPoint mountpoint_;
  std::shared_ptr<const Catalog> scanned_;  // first
  fs::path large_blob_;                     // below the mount point; empty: there is none
  std::unique_ptr<FileSystem> file_system_;
  std::unique_ptr<Session> session_;
  std::unique_ptr<CacheNotifier> notifier_;
  std::unique_ptr<LiveView> live_view_;
  std::optional<OwnMount> own_mount_;
  std::thread waiter_;
};

}  // namespace

ExitStatus mount_command(const MountArguments& arguments, const FileCalls& calls) {
  close_inherited_files();
  // Trees and catalogs come and go as a whole; their large parts shall go back to the system. Left
  // to itself, the C library raises this with the first one that goes.
  ::mallopt(M_MMAP_THRESHOLD, 256 << 10);
  const MountOptions options = parse_mount_options(arguments.options);
  Log log{arguments.debug};
  const StoreChoice choice = choose_store(arguments.store, words_of(arguments));
  require_fuse();
  log->info("{}", choice.reason);

  const MountAccess access{options};
  const auto serve = [&](const std::function<void()>& ready) {
    Daemon daemon{choice, arguments, options, access, calls, log};
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
