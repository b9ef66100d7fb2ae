#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

#include "store/base/unique_fd.h"
#include "store/blobs/blob_pool.h"
#include "store/catalog/catalog.h"

namespace ollamafs {

// Which models are in use, and so keep the version that is shown (design §5): those that name a
// blob which is open, or was until a while ago. Tools walk by path: if a model changed between one
// blob and the next, they would make a mixture.
//
// Safe to use from several threads. Must outlive what it gives out.
class Pins {
 public:
  using Clock = std::chrono::steady_clock;

  // `hold` is how long a use lasts beyond the last close.
  // Throws std::system_error.
  Pins(BlobPool& pool, std::chrono::milliseconds hold);

  // The use of a blob by one open file; ends with this. May be of nothing.
  class Use {
   public:
    Use() noexcept = default;
    Use(Pins& pins, const Digest& blob) noexcept : pins_{&pins}, blob_{blob} {}
    Use(Use&& other) noexcept : pins_{std::exchange(other.pins_, nullptr)}, blob_{other.blob_} {}
    Use& operator=(Use&&) = delete;
    ~Use() {
      if (pins_) pins_->closed(blob_);
    }

   private:
    Pins* pins_ = nullptr;
    Digest blob_;
  };

  // While not enabled, opening is no use: for what this program opens itself to try its mount.
  void enable(bool enabled) noexcept { enabled_ = enabled; }

  // To be called when a blob that `catalog` shows is opened. Its models' other blobs are opened
  // too, so that they can be had although Ollama may remove them; where many models name it, which
  // tells little about which of them is meant, they are not.
  [[nodiscard]] Use open(const Catalog& catalog, std::uint32_t blob);

  // The models of the catalog that is shown that are in use: indexes, ascending. Forgets uses that
  // are over.
  [[nodiscard]] std::vector<std::uint32_t> pinned(const Catalog& shown);

  // When to ask again which models are in use: then the first of the uses may be over. Nothing if
  // there is none.
  [[nodiscard]] std::optional<Clock::time_point> next_end() const;

  // Can be read from (eventfd(2)) after a use has begun where there was none: then there is a
  // next_end().
  [[nodiscard]] int descriptor() const noexcept { return any_.get(); }

  // Grows with every use that begins.
  [[nodiscard]] std::uint64_t begun() const;

  // Calls `action` while no use can begin, if none has since begun() was `begun`. Returns whether.
  bool unless_begun(std::uint64_t begun, const std::function<void()>& action);

 private:
  // The open blobs of one version of a model.
  using Held = std::vector<std::shared_ptr<const OpenBlob>>;

  struct Used {
    std::uint32_t opens = 0;
    Clock::time_point last_close{};
    std::vector<std::shared_ptr<const Held>> held;
  };

  void closed(const Digest& blob);
  [[nodiscard]] std::shared_ptr<const Held> hold(const Catalog& catalog, const Model& model);

  BlobPool& pool_;
  std::chrono::milliseconds hold_;
  std::atomic<bool> enabled_ = true;
  UniqueFd any_;
  mutable std::mutex mutex_;
  std::unordered_map<Digest, Used> used_;
  std::map<std::pair<std::string, Digest>, std::weak_ptr<const Held>> held_;  // by name, version
  std::uint64_t begun_ = 0;
};

}  // namespace ollamafs
