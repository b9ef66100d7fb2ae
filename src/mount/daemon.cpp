#include "src/mount/daemon.h"

#include <sys/resource.h>
#include <unistd.h>

#include <cstring>
#include <ctime>
#include <utility>

#include "fs/views/views.h"
#include "src/mount/blob_access_note.h"
#include "src/mount/mount_probe.h"
#include "src/mount/store_report.h"
#include "src/store/open_store.h"
#include "store/base/text.h"
#include "store/catalog/nested_store.h"

namespace ollamafs {
namespace {

namespace fs = std::filesystem;

// After the second signal. Seconds; many times what it takes.
constexpr unsigned kLeaveAtOnce = 5;

// As many descriptors as may be had; half of them for blobs that stay open (docs/view.md §8).
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

}  // namespace

Daemon::Daemon(const Wanted& wanted, Log& log)
    : log_{log},
      options_{wanted.options},
      access_{wanted.access},
      manager_{wanted.manager},
      signals_{std::make_unique<SignalWatcher>(
          [this](int signal, int count) { on_signal(signal, count); })},
      store_{open_store(wanted.store, access_.outside_links(), options_.follow, wanted.calls)},
      scanner_{store_, !options_.poll},
      mountpoint_{{wanted.place, store_.path(), options_.nonempty, access_.mountpoint_owner()},
                  log} {
  scanned_ = scanner_.scan();
  log_->debug("{} models, {} blobs", scanned_->models().size(), scanned_->blobs().size());
  report(*Catalog::empty(), *scanned_);
  if (scanned_->models().empty() && !scanned_->is_gone())
    log_->info("{} has no models yet", printable(store_.path().string()));
  for (const Problem& nested : nested_stores(store_))
    log_->warn("{} {}", printable(nested.path), nested.text);
  large_blob_ = path_of_large_blob(*scanned_);
  file_system_ = std::make_unique<FileSystem>(
      store_, make_tree(scanned_, scanned_, nullptr), blob_limits(),
      [this](const std::string& message) { log_->error("{}", message); },
      [this](CacheNotices notices) { notifier_->add(std::move(notices)); }, options_.hold,
      options_.verify ? Verify::yes : Verify::no);
  file_system_->tell_status_by([this] { return to_json(status()); });
  make_session(wanted.debug);
  notifier_ = std::make_unique<CacheNotifier>(
      [this](const CacheNotice& notice) { session_->forget(notice); });
}

void Daemon::make_session(bool debug) {
  SessionOptions session{store_.path().string(), access_.allow_other(), debug};
  // What is to be verified, or read in another way than the kernel's, the kernel must not read
  // itself.
  if (options_.verify || &store_.calls() != &FileCalls::kernel()) {
    session.backing = nullptr;
    session.without_backing = BlobAccess::Way::unwanted;
  }
  session.on_refusal = [this](BlobAccess access) { on_passthrough_refused(access); };
  session_ = std::make_unique<Session>(*file_system_, session);
}

ExitStatus Daemon::run(const std::function<void()>& ready) {
  if (stopping_) return ExitStatus::failed;
  file_system_->pins().enable(false);
  since_ = std::time(nullptr);
  session_->mount(mountpoint_.target());
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

void Daemon::start_live_view() {
  LiveView::Options live;
  if (options_.poll) live.poll = *options_.poll;
  LiveView::Calls calls;
  calls.make_tree = [this](std::shared_ptr<const Catalog> catalog,
                           std::shared_ptr<const Catalog> stored, const Tree* previous) {
    return make_tree(std::move(catalog), std::move(stored), previous);
  };
  calls.is_outdated = [this](const Tree& shown) { return is_outdated(shown); };
  calls.changed = [this](const Catalog& before, const Catalog& now) { report(before, now); };
  calls.note = [this](const std::string& text) { log_->warn("{}", text); };
  live_view_ =
      std::make_unique<LiveView>(scanner_, *file_system_, std::move(scanned_), calls, live);
}

// On the waiter's thread.
void Daemon::wait_for_answer(const std::function<void()>& ready) noexcept try {
  // The large blob is opened because the kernel tells only then whether it takes blobs. What autofs
  // waits for cannot be asked yet; who comes to it is answered as soon as run() does.
  answered_ = mountpoint_.is_automounted() || mount_answers(mountpoint_.path(), large_blob_);
  file_system_->pins().enable(true);
  if (!answered_) return;
  log_->info("{} shows the models of {}", printable(mountpoint_.path().string()),
             printable(store_.path().string()));
  log_->info("{}", blob_access_note(session_->blob_access()));
  manager_.tell("READY=1");
  ready();
} catch (const std::exception& error) {
  log_->error("cannot go to the background: {}", error.what());
  answered_ = false;
  stop();
}

// The waiter may still wait for the mount's answer, which never comes from a daemon that has
// stopped answering: it is waited for once the connection has ended, which gives it an error. The
// session stays until then, because the waiter uses it.
void Daemon::end() {
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

// On the waiter's thread.
void Daemon::stop() {
  notifier_->close();
  session_->stop();
}

// Whether there is nothing left to unmount. What stands in the way is said, but is not fatal: what
// else is mounted at its place is not ours to touch.
bool Daemon::detach() noexcept try {
  const std::scoped_lock lock{detaching_};
  const auto obstacle =
      own_mount_ ? own_mount_->detach([this] { return session_->is_connected(); }) : std::nullopt;
  if (obstacle) log_->error("cannot unmount {}", *obstacle);
  return !obstacle;
} catch (const std::exception& error) {
  log_->error("cannot unmount: {}", error.what());
  return false;
}

// On any thread that answers requests.
MountReport Daemon::status() const {
  const auto tree = file_system_->current();
  MountReport report;
  report.store = store_.path().string();
  report.is_gone = tree->catalog().is_gone();
  for (const Model& model : tree->catalog().models()) {
    ++report.models;
    if (file_system_->fault_of(model)) report.add_broken(model.shown);
  }
  const BlobAccess access = session_->blob_access();
  if (access.way != BlobAccess::Way::untried)
    report.passthrough = access.way == BlobAccess::Way::passthrough;
  report.access = blob_access_note(access);
  report.since = since_;
  report.bytes_read = file_system_->files().bytes_read();
  report.pid = ::getpid();
  report.version = OLLAMAFS_VERSION;
  return report;
}

// On the signals' thread. The first signal takes the mount out of sight and lets what is open be
// read to its end. The second ends that too (docs/view.md §6); what then still waits for a disk is
// given kLeaveAtOnce, after which the process goes without it.
void Daemon::on_signal(int signal, int count) {
  stopping_ = true;
  if (!mounted_) {
    if (count > 0) ::_exit(static_cast<int>(ExitStatus::failed));
    return;
  }
  if (count == 0) {
    manager_.tell("STOPPING=1");
    log_->info("unmounting: {}", ::strsignal(signal));
    if (detach()) return;
  } else {
    leave_within(kLeaveAtOnce);
  }
  session_->stop();
  session_->disconnect();
}

// On any thread that answers requests. What is known by the first answer is said with it.
void Daemon::on_passthrough_refused(BlobAccess access) {
  if (answered_) log_->warn("{} from now on", blob_access_note(access));
}

// On the thread that makes the daemon, later on the live view's.
std::shared_ptr<const Tree> Daemon::make_tree(std::shared_ptr<const Catalog> catalog,
                                              std::shared_ptr<const Catalog> stored,
                                              const Tree* previous) {
  std::string note;
  TreeOptions tree =
      access_.tree_options(store_, *catalog, previous ? &previous->root() : nullptr, note);
  tree.shown = options_.views;
  tree.split = options_.split;
  if (file_system_) tree.awake = file_system_->wanted_views().all();
  tree.store = &store_;
  if (!note.empty() && note != access_note_) log_->info("{}", note);
  access_note_ = note;
  return build_tree(std::move(catalog), std::move(stored), tree,
                    {mountpoint_.path(), store_.path(), MountAccess::by_sudo(), &summaries_},
                    previous);
}

// On the live view's thread. Whether the root directory's owner or mode would be others now: who
// may read the store's folders has changed, and no file in them.
bool Daemon::is_outdated(const Tree& shown) const {
  std::string note;
  const Node& root = shown.root();
  const auto wanted = access_.tree_options(store_, shown.catalog(), &root, note).root;
  return wanted && (wanted->permissions != root.permissions || wanted->uid != root.uid ||
                    wanted->gid != root.gid);
}

// As make_tree().
void Daemon::report(const Catalog& before, const Catalog& now) {
  for (const std::string& line : store_news(before, now)) log_->warn("{}", line);
}

}  // namespace ollamafs
