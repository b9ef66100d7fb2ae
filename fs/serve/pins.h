#pragma once

#include <sys/types.h>

#include <atomic>
#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "fs/serve/moments.h"
#include "store/base/unique_fd.h"
#include "store/blobs/blob_pool.h"
#include "store/catalog/catalog.h"

namespace ollamafs {

// Which models are in use and so keep the version that is shown (fs/CONSISTENCY.md). A model is in
// use from the opening of one of its blobs until none has been open for a while. Tools walk by
// path: if a model changed between one blob and the next, they would fail.
//
// A version is pinned only if all its blobs can be held open: what Ollama has deleted already
// cannot be shown any longer. A blob that many models share tells little about which of them is
// meant, and pins none.
//
// Safe to use from several threads. Must outlive what it gives out.
class Pins {
 public:
  using Clock = std::chrono::steady_clock;

  // `hold` is how long a use lasts beyond the last close.
  // Throws std::system_error.
  Pins(BlobPool& pool, std::chrono::milliseconds hold);

 private:
  // One version of a model that is in use.
  struct InUse {
    std::uint32_t opens = 0;
    Clock::time_point last_close{};
    Moments opened;       // when a process opened one of its blobs
    bool is_held = true;  // else this only remembers that it could not be
    std::vector<std::shared_ptr<const OpenBlob>> blobs;
  };
  using InUsePtr = std::shared_ptr<InUse>;
  using Version = std::pair<std::string, Digest>;  // view name, manifest

 public:
  // The use of a blob by one open file; ends with this. May be of nothing.
  class Use {
   public:
    Use() noexcept = default;
    Use(Use&& other) noexcept
        : pins_{std::exchange(other.pins_, nullptr)}, of_{std::move(other.of_)} {}
    Use& operator=(Use&&) = delete;
    ~Use() {
      if (pins_) pins_->closed(of_);
    }

   private:
    friend class Pins;
    Use(Pins& pins, std::vector<InUsePtr> of) noexcept : pins_{&pins}, of_{std::move(of)} {}

    Pins* pins_ = nullptr;
    std::vector<InUsePtr> of_;
  };

  // While not enabled, opening is no use: for what this program opens itself to try its mount.
  void enable(bool enabled) noexcept { enabled_ = enabled; }

  // To be called when a process opens a blob that `catalog` shows.
  [[nodiscard]] Use open(const Catalog& catalog, std::uint32_t blob, pid_t process);

  // The models of the catalog that is shown that are pinned: indexes, ascending. Forgets uses that
  // are over.
  [[nodiscard]] std::vector<std::uint32_t> pinned(const Catalog& shown);

  // When to ask again which models are pinned: then the first of the uses may be over. Nothing if
  // there is none.
  [[nodiscard]] std::optional<Clock::time_point> next_end() const;

  // Can be read from (eventfd(2)) after a use has begun where there was none, and after one was
  // released.
  [[nodiscard]] int descriptor() const noexcept { return news_.get(); }

  // Grows with every use that begins.
  [[nodiscard]] std::uint64_t begun() const;

  // Calls `action` while no use can begin, if none has since begun() was `begun`. Returns whether.
  bool unless_begun(std::uint64_t begun, const std::function<void()>& action);

  // ---- models of which the store has another version by now, or none ----

  // These, by view name, and no others.
  void set_outdated(std::set<std::string> models);
  [[nodiscard]] bool is_outdated(std::string_view model) const;

  // Ends the uses of an outdated model if nothing of it is open and every process that used it has
  // ended: who begins with it now must not get the old version. Returns whether it is so, also if
  // it was before.
  [[nodiscard]] bool release(std::string_view model);

  // Whether there was a release() since this was last asked.
  [[nodiscard]] bool take_released() noexcept { return released_.exchange(false); }

 private:
  void closed(const std::vector<InUsePtr>& pins);
  [[nodiscard]] InUsePtr pin(const Catalog& catalog, const Model& model, pid_t process);
  [[nodiscard]] InUsePtr use_known(const Version& version, pid_t process);
  [[nodiscard]] InUsePtr open_blobs(const Catalog& catalog, const Model& model);
  static void begin(InUse& pin, pid_t process);
  [[nodiscard]] std::vector<InUsePtr> take_over();
  [[nodiscard]] bool is_over(const InUse& pin, Clock::time_point now) const {
    return pin.opens == 0 && now - pin.last_close >= hold_;
  }

  BlobPool& pool_;
  const std::chrono::milliseconds hold_;
  std::atomic<bool> enabled_ = true;
  std::atomic<bool> any_outdated_ = false;
  std::atomic<bool> released_ = false;
  UniqueFd news_;
  mutable std::mutex mutex_;
  std::map<Version, InUsePtr> uses_;
  std::set<std::string, std::less<>> outdated_;
  std::uint64_t begun_ = 0;
};

}  // namespace ollamafs
