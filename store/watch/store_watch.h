#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <set>
#include <string>
#include <string_view>

#include "store/base/swept_map.h"
#include "store/base/unique_fd.h"
#include "store/model/digest.h"
#include "store/watch/mount_watch.h"

namespace ollamafs {

// What has happened in what was watched.
struct StoreChanges {
  bool everything = false;                     // may have changed
  std::set<std::string, std::less<>> folders;  // of manifests: their entries, and the files in them
  std::set<std::string, std::less<>> trees;    // folders that came, went or moved, with all below
  std::set<Digest> blobs;
};

// Tells when something in a set of directories changes, by inotify(7), or is mounted in the way.
// Not for use from several threads at once.
class StoreWatch {
 public:
  // What matters of a directory; it may be several things.
  enum class Kind : std::uint8_t {
    manifests,  // every file in it, but the temporary ones of a running server
    blobs,      // files that are named like blobs: not those that are still being downloaded
  };

  StoreWatch();

  // Why not everything can be watched: a printable reason. Then the watcher must look by itself.
  [[nodiscard]] const std::optional<std::string>& failure() const noexcept { return failure_; }

  // To be called before and after all directories are added. What is not added between the two is
  // watched no more.
  void begin();
  void end();

  // Watches an open directory; of one of manifests `folder` is the name in StoreChanges. What
  // happens in it from now on is told. Returns a number that tells this directory from every other
  // one, or kNone.
  static constexpr int kNone = -1;
  int add(int directory, Kind kind, const std::string& folder = {});

  // Goes on watching a folder of manifests that add() has given this number. False if it is not
  // watched any more.
  [[nodiscard]] bool keep(int watch, const std::string& folder);

  // Watches a directory for one name, which may be added to others, and for what is mounted there.
  void add_name(const std::filesystem::path& directory, const std::string& name);

  // Watches for what is mounted at `top` or anywhere below it.
  void add_tree(const std::filesystem::path& top) { mounts_.add_tree(top); }

  // Tells that a directory cannot be added, and why.
  void cannot(const std::string& reason);

  // Readable when something may have happened; -1 if nothing can be watched.
  [[nodiscard]] int descriptor() const noexcept { return inotify_ ? events_.get() : -1; }

  // Whether something that matters has happened since the last call.
  [[nodiscard]] bool has_changed();

  // What that is of which has_changed() has told since the last call of this, and what has happened
  // since.
  [[nodiscard]] StoreChanges take_changes();

 private:
  struct Watched {
    std::set<std::string, std::less<>> names;
    std::set<std::string, std::less<>> folders;  // of manifests, that it is
    bool blobs = false;
  };

  [[nodiscard]] bool wait_for(int descriptor, std::uint32_t events) noexcept;
  [[nodiscard]] int watch(const char* path);
  Watched& use(int watch);
  [[nodiscard]] bool matters(int watch, std::uint32_t mask, std::string_view name);
  [[nodiscard]] bool note(const Watched& watched, std::uint32_t mask, std::string_view name);
  void fail(const std::string& what, int error);

  [[nodiscard]] bool mounts_have_changed();

  UniqueFd inotify_;
  MountWatch mounts_;
  UniqueFd events_;                 // epoll(7) of both
  SweptMap<int, Watched> watched_;  // by the number of the watch
  StoreChanges changes_;
  std::optional<std::string> failure_;
};

}  // namespace ollamafs
