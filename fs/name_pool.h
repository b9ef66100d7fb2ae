#pragma once

#include <deque>
#include <string>
#include <string_view>
#include <unordered_set>

namespace ollamafs {

// Keeps names, equal ones once: most names of the view ("blobs", "manifests", "library", the names
// of shared blobs) stand in many directories.
class NamePool {
 public:
  // A view of `name` that lives as long as the pool, also after the pool is moved.
  std::string_view intern(std::string_view name) {
    if (const auto known = known_.find(name); known != known_.end()) return *known;
    return *known_.insert(names_.emplace_back(name)).first;
  }

  // No more names will come.
  void close() { known_ = {}; }

 private:
  std::deque<std::string> names_;  // elements never move
  std::unordered_set<std::string_view> known_;
};

}  // namespace ollamafs
