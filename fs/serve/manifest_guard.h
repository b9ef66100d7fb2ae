#pragma once

#include <sys/types.h>

#include <atomic>
#include <cstdint>
#include <mutex>
#include <span>
#include <string>
#include <unordered_map>
#include <vector>

#include "fs/serve/moments.h"
#include "fs/serve/tool.h"
#include "store/catalog/catalog.h"

namespace ollamafs {

// Keeps a model's manifest from processes that may lack its blobs (fs/CONSISTENCY.md).
//
// The rule: a process that was there before a model changed or came back, or that missed a part of
// it, gets the model's manifest only after it has listed the model's blobs/ anew. For it may go by
// a listing of the old version, which the kernel or the process itself has in memory, and would
// then have the new manifest and not the new blobs. This holds for copiers that open no blob, too:
// `cp -ru` opens none that the target has.
//
// So that a new listing is seen, the kernel must not answer it from its memory: the caller makes it
// forget the listing of blobs/ whenever watches() is true, after each answer.
//
// Safe to use from several threads.
class ManifestGuard {
 public:
  // That `after` is shown instead of `before`.
  struct Change {
    const Catalog& before;
    const Catalog& after;
    std::uint64_t number;               // of this change; they grow
    std::vector<std::uint32_t> models;  // of `after` that are guarded because of it: ascending
  };
  // Makes room to note a change. If it throws std::bad_alloc, nothing has changed. Of one thread at
  // a time, with the commit() that follows.
  [[nodiscard]] Change prepare(const Catalog& before, const Catalog& after);

  // Notes it. To be called before `after` can be seen.
  void commit(const Change& change) noexcept;

  // To be called when the kernel has forgotten what the changes up to this number made wrong: a
  // process that begins from now on cannot be given anything of what was before them.
  void kernel_was_told(std::uint64_t number) noexcept;

  // A request of a process for a part of these models (by view name) failed, although the part is
  // there. True if this was not known: then the listings of their blobs/ must be seen from now on.
  // Where there is no memory to note it, as missed_something().
  bool missed(pid_t process, std::span<const std::string* const> models) noexcept;

  // For want of memory it is not known who missed what: so every process that is there now has
  // missed something of every model.
  void missed_something() noexcept;

  // A process lists the blobs/ of the model in this version. Where there is no memory to note it,
  // that process has to do it once more.
  void listed(pid_t process, const Model& model) noexcept;

  // Whether a listing of this model's blobs/ must be seen. Needs no lock where nothing is guarded.
  [[nodiscard]] bool watches(const Model& model) const noexcept;

  // Whether a process must not have the model's manifest.
  [[nodiscard]] bool refuses(pid_t process, const Model& model) const noexcept;

 private:
  static constexpr SinceBoot kNever = Moments::kNever;

  // A model of which an earlier version was shown, or of which a process missed something.
  struct Guarded {
    Digest version;              // the manifest that is shown
    bool is_gone = false;        // none is
    SinceBoot changed = kNever;  // when it came to be shown, if another was shown before
    SinceBoot told = kNever;     // when the kernel knew of that
    std::uint64_t change = 0;    // its number
    Moments missed;              // who missed something of it, and when for the last time
    Moments listed;              // who listed its blobs/ when for the last time
  };

  void forget_gone_if_many();
  [[nodiscard]] bool must_list(pid_t process, SinceBoot listed, SinceBoot since,
                               SinceBoot told) const noexcept;

  std::atomic<bool> any_ = false;  // most of the time nothing is guarded
  mutable std::mutex mutex_;
  std::unordered_map<std::string, Guarded> models_;  // by view name
  std::size_t gone_ = 0;                             // how many of them are
  SinceBoot all_missed_ = kNever;                    // see missed_something()
  bool guards_all_that_come_ = false;                // names of models that went were forgotten
  std::uint64_t changes_ = 0;
};

}  // namespace ollamafs
