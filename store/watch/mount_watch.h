#pragma once

#include <filesystem>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "store/base/unique_fd.h"
#include "store/watch/mount_table.h"

namespace ollamafs {

// Tells when something is mounted or unmounted where it matters, of which inotify(7) tells nothing.
// Where the table of mounts cannot be read from the beginning, nor does this. Not for use from
// several threads at once.
class MountWatch {
 public:
  MountWatch();

  // To be called before and after all places are added. What is not added between the two matters
  // no more.
  void begin() noexcept { next_ = {}; }
  void end() noexcept { now_ = std::exchange(next_, {}); }

  // A mount matters that is made at this very place, or at this or anywhere below it. Paths are
  // absolute and without symlinks.
  void add(const std::filesystem::path& place) { next_.places.insert(place.string()); }
  void add_tree(const std::filesystem::path& top) { next_.trees.insert(top.string()); }

  // For epoll(7) with EPOLLIN | EPOLLET: has an event when the table may have changed; -1 without
  // one.
  [[nodiscard]] int descriptor() const noexcept { return table_ ? table_.get() : -1; }

  // Whether one that matters has come or gone since the last call. Throws as mount_table.
  [[nodiscard]] bool has_changed();

 private:
  struct Places {
    std::set<std::string, std::less<>> places, trees;

    [[nodiscard]] bool have(std::string_view mountpoint) const;
  };

  UniqueFd table_;
  [[nodiscard]] std::vector<MountEntry> mounts_now() const;

  std::vector<MountEntry> mounts_;  // in order
  Places now_, next_;
};

}  // namespace ollamafs
