#pragma once

#include <sys/types.h>

#include <atomic>
#include <chrono>
#include <mutex>
#include <set>
#include <string>
#include <string_view>
#include <unordered_map>

#include "fs/serve/at_work.h"
#include "fs/serve/tool.h"
#include "store/catalog/catalog.h"

namespace ollamafs {

// Keeps the manifest of a model that has just changed from tools that went by its old version.
// Listing pins nothing, and the kernel lists from memory, so a tool may have the old version's
// names when the new one comes: it would miss blobs, and still get the new manifest. So a tool that
// reads blobs of the model has to have opened all those that the new version added, and must not
// have asked for one that it dropped, unless it lists the model anew: for a while after a change,
// and for tools that are at work since before it as long as they are. Who reads the manifest alone
// may have it; who was started later may have what it lacks from an earlier copy.
//
// All blobs of a model that went and is there again count as added: a tool that was there before
// may have looked for them in vain, and for the model itself. It gets the manifest alone only if it
// has listed the model since then, and else if it has opened them all.
//
// Safe to use from several threads.
class VersionGuard {
 public:
  using Clock = AtWork::Clock;

  VersionGuard(AtWork& at_work, std::chrono::milliseconds hold) : at_work_{at_work}, hold_{hold} {}

  // Whether there is such a change; without one, nothing is to be told.
  [[nodiscard]] bool is_watching() const noexcept { return any_; }

  // To be called when `after` is shown instead of `before`; if it throws, nothing has changed.
  void changed(const Catalog& before, const Catalog& after);

  // A tool opened a blob.
  void opened(pid_t tool, const Digest& blob);

  // A tool looked for a name in the blobs/ of the model with this view name, which has none such.
  // True if it will not get the manifest any more, unless it begins anew.
  bool missed(pid_t tool, const std::string& view_name, std::string_view name);

  // A tool asked for something in a directory of the model's old version, which is no more. True as
  // with missed().
  bool missed_directory(pid_t tool, const std::string& view_name);

  // A tool lists the model's directory.
  void begins(pid_t tool, const std::string& view_name) noexcept;

  // Whether a tool must not have that model's manifest.
  [[nodiscard]] bool refuses(pid_t tool, const std::string& view_name);

 private:
  struct Progress {
    std::set<Digest> opened;  // of the version that is shown
    bool has_opened = false;  // of any
    bool missed = false;
    bool has_begun = false;  // it listed the model, and it has not gone since then
  };
  struct Change {
    SinceBoot at{};            // when it was shown
    Clock::time_point shown;   // the same
    Clock::time_point last;    // when a tool last did what concerns it
    std::set<pid_t> before;    // the tools that have been at work since before it
    std::set<Digest> blobs;    // of the version that is shown, or that was last
    std::set<Digest> added;    // of these, those that an older one lacked
    std::set<Digest> dropped;  // of an older one, that are no more
    bool has_returned = false;
    std::unordered_map<pid_t, Progress> tools;
  };

  using Changes = std::unordered_map<std::string, Change>;  // by view name

  [[nodiscard]] bool is_late(const Change& change) const;
  void forget_old();
  void forget_resting(Change& change, Clock::time_point now, const std::set<pid_t>& at_work) const;

  AtWork& at_work_;
  const std::chrono::milliseconds hold_;
  std::atomic<bool> any_ = false;  // most of the time nothing has changed
  std::mutex mutex_;
  Changes changes_;
  std::set<std::string> gone_;  // the models that are not shown any more, by view name
};

}  // namespace ollamafs
