#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <unordered_map>

#include "store/unique_fd.h"

namespace ollamafs {

// Tells when something in a set of directories changes, by inotify(7). Not for use from several
// threads at once.
class StoreWatch {
 public:
  // What matters of a directory.
  enum class Kind : std::uint8_t {
    manifests,  // every file in it, but the temporary ones of a running server
    blobs,      // files that are named like blobs: not those that are still being downloaded
    names,      // that certain names come, go or lead elsewhere
  };

  StoreWatch();

  // Why not everything can be watched: a printable reason. Then the watcher must look by itself.
  [[nodiscard]] const std::optional<std::string>& failure() const noexcept { return failure_; }

  // To be called before and after all directories are added. What is not added between the two is
  // watched no more.
  void begin();
  void end();

  // Watches an open directory. What happens in it from now on is told.
  void add(int directory, Kind kind);

  // Watches a directory for one name, which may be added to others.
  void add_name(const std::filesystem::path& directory, const std::string& name);

  // Tells that a directory cannot be added, and why.
  void cannot(const std::string& reason);

  // Readable when something may have happened; -1 if nothing can be watched.
  [[nodiscard]] int descriptor() const noexcept { return inotify_ ? inotify_.get() : -1; }

  // Whether something that matters has happened since the last call.
  [[nodiscard]] bool has_changed();

 private:
  struct Watched {
    Kind kind = Kind::names;
    std::set<std::string, std::less<>> names;
    bool used = false;
  };

  [[nodiscard]] Watched* watch(const char* path);
  [[nodiscard]] bool matters(int watch, std::uint32_t mask, std::string_view name);
  void fail(const std::string& what, int error);

  UniqueFd inotify_;
  std::unordered_map<int, Watched> watched_;
  std::optional<std::string> failure_;
};

}  // namespace ollamafs
