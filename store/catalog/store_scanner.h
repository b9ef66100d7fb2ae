#pragma once

#include <sys/types.h>

#include <filesystem>
#include <memory>
#include <vector>

#include "store/catalog/catalog.h"
#include "store/catalog/tag_reader.h"
#include "store/folder/store_dir.h"
#include "store/watch/store_memory.h"
#include "store/watch/store_watch.h"

namespace ollamafs {

// Reads a store again and again: what is at its path, by what has changed. Not for use from several
// threads at once.
class StoreScanner {
 public:
  // `store` must outlive it. With `watch`, what it has read is watched from before it was read.
  StoreScanner(StoreDir& store, bool watch);
  StoreScanner(const StoreScanner&) = delete;
  StoreScanner& operator=(const StoreScanner&) = delete;

  // The store as it is now; gone if nothing is at its path, or no models folder. Throws as
  // Catalog::read does, and if the path cannot be opened.
  [[nodiscard]] std::shared_ptr<const Catalog> scan();

  // Makes the next scan look at everything: also at what has changed in a way that is not seen.
  void forget() noexcept { memory_.forget(); }

  // Whether the last scan should be repeated soon, because something was being written.
  [[nodiscard]] bool is_unsettled() const noexcept { return reader_.has_pending(); }

  // Whether a later scan may find another store although nothing changes in it: the disk failed.
  [[nodiscard]] bool is_provisional() const noexcept { return is_provisional_; }

  // Null without `watch`.
  [[nodiscard]] StoreWatch* watch() noexcept { return watch_.get(); }

 private:
  [[nodiscard]] std::shared_ptr<const Catalog> read();
  [[nodiscard]] std::shared_ptr<const Catalog> unless_replaced(
      std::shared_ptr<const Catalog> catalog);
  void watch_path();
  void watch_way(const std::filesystem::path& path);

  StoreDir& store_;
  std::unique_ptr<StoreWatch> watch_;
  StoreMemory memory_;
  TagReader reader_;
  std::vector<dev_t> devices_;  // when it had models the last time
  bool is_provisional_ = false;
};

}  // namespace ollamafs
