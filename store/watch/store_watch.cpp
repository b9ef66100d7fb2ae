#include "store/watch/store_watch.h"

#include <fmt/format.h>
#include <linux/magic.h>
#include <sys/epoll.h>
#include <sys/inotify.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <new>
#include <utility>

#include "store/base/text.h"

namespace ollamafs {
namespace {

constexpr std::uint32_t kEvents = IN_CREATE | IN_DELETE | IN_MOVED_FROM | IN_MOVED_TO | IN_MODIFY |
                                  IN_CLOSE_WRITE | IN_ATTRIB | IN_DELETE_SELF | IN_MOVE_SELF |
                                  IN_ONLYDIR | IN_EXCL_UNLINK;

// File systems on which others may write from elsewhere, of which inotify hears nothing (statfs(2);
// those that linux/magic.h lacks by their numbers).
bool is_remote(int directory) noexcept {
  constexpr std::uint64_t kRemote[] = {NFS_SUPER_MAGIC,
                                       V9FS_MAGIC,
                                       SMB_SUPER_MAGIC,
                                       CIFS_SUPER_MAGIC,
                                       SMB2_SUPER_MAGIC,
                                       CEPH_SUPER_MAGIC,
                                       CODA_SUPER_MAGIC,
                                       AFS_SUPER_MAGIC,
                                       AFS_FS_MAGIC,
                                       FUSE_SUPER_MAGIC,
                                       0x786f4256 /* vboxsf */,
                                       0xbacbacbc /* vmhgfs */,
                                       0x0bd00bd0 /* Lustre */,
                                       0x47504653 /* GPFS */,
                                       0x01161970 /* GFS2 */};
  struct statfs st {};
  return ::fstatfs(directory, &st) == 0 &&
         std::ranges::find(kRemote, static_cast<std::uint32_t>(st.f_type)) != std::end(kRemote);
}

}  // namespace

StoreWatch::StoreWatch() : inotify_{::inotify_init1(IN_CLOEXEC | IN_NONBLOCK)} {
  if (inotify_) events_ = UniqueFd{::epoll_create1(EPOLL_CLOEXEC)};
  if (!events_ || !wait_for(inotify_.get(), EPOLLIN)) {
    fail("inotify", errno);
    inotify_ = UniqueFd{};
    return;
  }
  // The table of mounts can always be read: what tells that it has changed is the edge. The first
  // one tells that it can be read.
  if (wait_for(mounts_.descriptor(), EPOLLIN | EPOLLET)) (void)mounts_have_changed();
}

bool StoreWatch::wait_for(int descriptor, std::uint32_t events) noexcept {
  epoll_event event{.events = events, .data = {.fd = descriptor}};
  return ::epoll_ctl(events_.get(), EPOLL_CTL_ADD, descriptor, &event) == 0;
}

void StoreWatch::fail(const std::string& what, int error) {
  cannot(error == ENOSPC ? "the limit of inotify watches (fs.inotify.max_user_watches) is reached"
                         : fmt::format("{}: {}", what, std::strerror(error)));
}

void StoreWatch::cannot(const std::string& reason) {
  if (!failure_) failure_ = reason;
}

void StoreWatch::begin() {
  if (inotify_) failure_.reset();
  mounts_.begin();
  watched_.begin();
}

void StoreWatch::end() {
  watched_.end([this](int id) { ::inotify_rm_watch(inotify_.get(), id); });
  mounts_.end();
}

// What a directory is may be another thing in every reading.
StoreWatch::Watched& StoreWatch::use(int watch) {
  const auto [watched, is_first] = watched_.make(watch);
  if (is_first) *watched = {};
  return *watched;
}

int StoreWatch::watch(const char* path) {
  if (!inotify_) return kNone;
  const int id = ::inotify_add_watch(inotify_.get(), path, kEvents);
  if (id < 0) {
    // One that is not there, or may not be read, is for others to complain of.
    if (errno != ENOENT && errno != ENOTDIR && errno != EACCES) fail(printable(path), errno);
    return kNone;
  }
  (void)use(id);
  return id;
}

int StoreWatch::add(int directory, Kind kind, const std::string& folder) {
  if (is_remote(directory)) cannot("it is on a network file system");
  const int id = watch(("/proc/self/fd/" + std::to_string(directory)).c_str());
  if (id == kNone) return kNone;
  Watched& watched = use(id);
  if (kind == Kind::manifests) {
    watched.folders.insert(folder);
  } else {
    watched.blobs = true;
  }
  return id;
}

bool StoreWatch::keep(int watch, const std::string& folder) {
  if (!watched_.find(watch)) return false;
  use(watch).folders.insert(folder);
  return true;
}

void StoreWatch::add_name(const std::filesystem::path& directory, const std::string& name) {
  if (const int id = watch(directory.c_str()); id != kNone) use(id).names.insert(name);
  mounts_.add(directory / name);
}

// What cannot be noted for want of memory may be anything.
bool StoreWatch::matters(int watch, std::uint32_t mask, std::string_view name) try {
  if (mask & IN_Q_OVERFLOW) return changes_.everything = true;
  const Watched* const watched = watched_.find(watch);
  if (!watched) return false;
  const bool matters = note(*watched, mask, name);
  if (mask & IN_IGNORED) watched_.erase(watch);
  return matters;
} catch (const std::bad_alloc&) {
  return changes_.everything = true;
}

// Notes what has happened, for each thing that the directory is. False: nothing that matters.
bool StoreWatch::note(const Watched& watched, std::uint32_t mask, std::string_view name) {
  const bool is_itself = (mask & (IN_IGNORED | IN_DELETE_SELF | IN_MOVE_SELF)) != 0;
  if (watched.names.contains(name) || (is_itself && (watched.blobs || watched.folders.empty()))) {
    return changes_.everything = true;
  }
  bool matters = false;
  if (is_itself) {
    changes_.trees.insert(watched.folders.begin(), watched.folders.end());
    matters = true;
  } else if (!name.empty() && !name.starts_with(".manifest-")) {
    for (const std::string& folder : watched.folders) {
      changes_.folders.insert(folder);
      if (mask & IN_ISDIR) changes_.trees.insert(folder + "/" + std::string{name});
      matters = true;
    }
  }
  if (const auto digest = watched.blobs ? Digest::parse(name) : std::nullopt) {
    changes_.blobs.insert(*digest);
    matters = true;
  }
  return matters;
}

bool StoreWatch::has_changed() {
  bool changed = mounts_have_changed();
  alignas(inotify_event) std::array<char, 64 << 10> buffer;
  for (;;) {
    const ssize_t size = ::read(inotify_.get(), buffer.data(), buffer.size());
    if (size <= 0) return changed;
    for (const char* at = buffer.data(); at < buffer.data() + size;) {
      const auto* event = reinterpret_cast<const inotify_event*>(at);
      changed |= matters(event->wd, event->mask, event->len > 0 ? event->name : "");
      at += sizeof(inotify_event) + event->len;
    }
  }
}

// What cannot be found out may be anything.
bool StoreWatch::mounts_have_changed() try {
  std::array<epoll_event, 2> events;
  const int count = ::epoll_wait(events_.get(), events.data(), static_cast<int>(events.size()), 0);
  const bool may_have = std::any_of(
      events.data(), events.data() + std::max(count, 0),
      [this](const epoll_event& event) { return event.data.fd == mounts_.descriptor(); });
  return may_have && mounts_.has_changed() && (changes_.everything = true);
} catch (const std::exception&) {
  return changes_.everything = true;
}

StoreChanges StoreWatch::take_changes() {
  (void)has_changed();
  return std::exchange(changes_, {});
}

}  // namespace ollamafs
