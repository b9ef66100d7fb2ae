#pragma once

#include <sys/types.h>

#include <atomic>
#include <chrono>
#include <mutex>
#include <set>
#include <string>
#include <string_view>
#include <unordered_map>

#include "store/catalog.h"

namespace ollamafs {

// Keeps the manifest of a model that has just changed from tools that went by its old version.
// Listing pins nothing, and the kernel lists from memory, so a tool may have the old version's
// names when the new one comes: it would miss blobs, and still get the new manifest. For a while
// after a change, and as long as tools that it concerns read blobs, a tool that reads blobs of the
// model has to have opened all those that the new version added, and must not have asked for one
// that it dropped. Who reads the manifest alone may have it.
//
// A tool is a process. Safe to use from several threads.
class VersionGuard {
 public:
  using Clock = std::chrono::steady_clock;

  explicit VersionGuard(std::chrono::milliseconds hold) : hold_{hold} {}

  // Whether there is such a change; without one, nothing is to be told.
  [[nodiscard]] bool is_watching() const noexcept { return any_; }

  // To be called when `after` is shown instead of `before`.
  void changed(const Catalog& before, const Catalog& after);

  // A tool opened a blob; closed it.
  void opened(pid_t tool, const Digest& blob);
  void closed(pid_t tool, const Digest& blob) noexcept;

  // A tool looked for a name in the blobs/ of the model with this view name, which has none such.
  void missed(pid_t tool, const std::string& view_name, std::string_view name);

  // Whether a tool must not have that model's manifest.
  [[nodiscard]] bool refuses(pid_t tool, const std::string& view_name);

 private:
  struct Progress {
    std::set<Digest> opened;
    std::multiset<Digest> open;  // right now
    bool missed = false;
  };
  struct Change {
    Clock::time_point at;      // or of what a tool last did that it concerns
    std::set<Digest> blobs;    // of the version that is shown, or that was last
    std::set<Digest> added;    // of these, those that an older one lacked
    std::set<Digest> dropped;  // of an older one, that are no more
    std::unordered_map<pid_t, Progress> tools;
  };

  void went(const Model& model);
  void came(const Model& model, const std::set<Digest>& was);
  void forget_old();

  std::chrono::milliseconds hold_;
  std::atomic<bool> any_ = false;  // most of the time nothing has changed
  std::mutex mutex_;
  std::unordered_map<std::string, Change> changes_;  // by view name
};

}  // namespace ollamafs
