#pragma once

#include <atomic>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>

#include "fs/kernel/cache_notifier.h"
#include "fs/kernel/session.h"
#include "fs/serve/file_system.h"
#include "fs/serve/live_view.h"
#include "src/mount/log.h"
#include "src/mount/mount_access.h"
#include "src/mount/mount_options.h"
#include "src/mount/mount_point.h"
#include "src/mount/mount_report.h"
#include "src/mount/own_mount.h"
#include "src/mount/service_manager.h"
#include "src/mount/signals.h"
#include "src/say/exit_status.h"
#include "store/catalog/store_scanner.h"
#include "store/describe/model_summaries.h"
#include "store/find/store_location.h"
#include "store/folder/store_dir.h"

namespace ollamafs {

// One mount, from the store that is opened to the mount that is gone: everything that lives as long
// as the mount does.
//
// It comes in this order. The signals first: if the store lies on a disk that does not answer, they
// must still end the process; and all later threads must have them blocked. Then the store, the
// mount point, the first catalog, the file system, the session with the kernel. run() adds the
// mount itself, and the live view, which reads the store again when it changes.
//
// It goes in this order. The mount goes out of the tree, so that nobody new comes in. The
// connection to the kernel ends, so that whoever waits for an answer gets an error. The live view
// stops. Each of these may have to wait for a disk, so a second signal still ends the process; what
// is left waits for none: the signals, the notices to the kernel, the session.
//
// Made, run and destroyed by one thread. In run() that thread answers requests, with others of the
// session's. Beside them:
// - the signals' thread calls on_signal();
// - the waiter lives from the mount to its first answer, and runs wait_for_answer();
// - the live view's thread makes trees, and reports what has changed;
// - the notifier's thread hands the kernel what it must forget.
class Daemon {
 public:
  // What it serves, where, and how. All that is referred to must outlive the daemon.
  struct Wanted {
    const StoreChoice& store;
    const MountPlace& place;
    const MountOptions& options;
    const MountAccess& access;
    const FileCalls& calls;         // that read the store
    const ServiceManager& manager;  // told when the mount answers, and when it ends
    bool debug;                     // log every request
  };

  // Reads the store and makes the mount point ready; nothing is mounted yet. Must be made before
  // the process has any other thread. Throws CommandError, or std::runtime_error of what it makes.
  Daemon(const Wanted& wanted, Log& log);
  ~Daemon() { end(); }
  Daemon(const Daemon&) = delete;
  Daemon& operator=(const Daemon&) = delete;

  // Mounts, and serves until somebody unmounts or a signal comes. Calls `ready` as soon as the
  // mount answers, from another thread; if that throws, the mount ends. Returns failed if a signal
  // came before it was mounted, or if it ended without a signal and without an answer; else ok.
  // Throws std::runtime_error if it cannot be mounted. Once only.
  [[nodiscard]] ExitStatus run(const std::function<void()>& ready);

 private:
  void make_session(bool debug);
  void start_live_view();
  void wait_for_answer(const std::function<void()>& ready) noexcept;

  void end();
  void stop();
  bool detach() noexcept;

  [[nodiscard]] MountReport status() const;
  void on_signal(int signal, int count);
  void on_passthrough_refused(BlobAccess access);
  std::shared_ptr<const Tree> make_tree(std::shared_ptr<const Catalog> catalog,
                                        std::shared_ptr<const Catalog> stored,
                                        const Tree* previous);
  [[nodiscard]] bool is_outdated(const Tree& shown) const;
  void report(const Catalog& before, const Catalog& now);

  Log& log_;
  const MountOptions& options_;
  const MountAccess& access_;
  const ServiceManager& manager_;
  std::string access_note_;             // as it was said last
  std::atomic<bool> stopping_ = false;  // a signal came
  std::atomic<bool> mounted_ = false;
  std::atomic<bool> answered_ = false;
  std::mutex detaching_;
  std::unique_ptr<SignalWatcher> signals_;
  StoreDir store_;
  ModelSummaries summaries_{store_};  // for every tree
  StoreScanner scanner_;
  MountPoint mountpoint_;
  std::shared_ptr<const Catalog> scanned_;  // first; the live view's from then on
  std::filesystem::path large_blob_;        // below the mount point; empty: there is none
  std::unique_ptr<FileSystem> file_system_;
  std::unique_ptr<Session> session_;
  std::unique_ptr<CacheNotifier> notifier_;
  std::unique_ptr<LiveView> live_view_;
  std::optional<OwnMount> own_mount_;
  std::thread waiter_;
  std::int64_t since_ = 0;  // when it was mounted, seconds since the epoch
};

}  // namespace ollamafs
