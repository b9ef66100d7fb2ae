#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <thread>

#include "fs/serve/file_system.h"
#include "store/base/unique_fd.h"
#include "store/catalog/store_scanner.h"

namespace ollamafs {

// Keeps a FileSystem showing what its store holds (fs/CONSISTENCY.md), from a thread of its own:
// waits for the store to change, or looks every now and then where that cannot be seen; reads it;
// and publishes the next tree, in which models that are in use stay as they are.
class LiveView {
 public:
  using Duration = std::chrono::milliseconds;

  struct Options {
    // How often to look where changes cannot be seen, or after the disk has failed; a store that
    // takes long to read is looked at less often.
    Duration poll{2000};
    bool always_poll = false;
    // How often to look at everything, because of what cannot be seen at all (StoreMemory).
    Duration look_again = std::chrono::hours{1};
    // After a change, how long nothing more must change before the store is read, and how long at
    // most that is waited for.
    Duration quiet{50};
    Duration patience{300};
  };

  // All are called from the thread of this.
  struct Calls {
    // Makes the tree that follows `previous`, of what is shown and what the store has (see Tree).
    std::function<std::shared_ptr<const Tree>(std::shared_ptr<const Catalog> catalog,
                                              std::shared_ptr<const Catalog> stored,
                                              const Tree* previous)>
        make_tree;
    // Whether the tree that is shown is not what make_tree would make of the same catalog, because
    // of what a catalog does not hold: the modes of the store's folders.
    std::function<bool(const Tree& shown)> is_outdated = [](const Tree&) { return false; };
    // The store was read and is another.
    std::function<void(const Catalog& before, const Catalog& now)> changed;
    // Printable sentences, each said once while it lasts: that changes cannot be seen, or that the
    // store cannot be read, so that what was read before goes on being shown.
    std::function<void(const std::string&)> note;
  };

  // `first` is what `scanner` read last and `fs` shows. Both must outlive this.
  LiveView(StoreScanner& scanner, FileSystem& fs, std::shared_ptr<const Catalog> first, Calls calls,
           const Options& options);
  ~LiveView();
  LiveView(const LiveView&) = delete;
  LiveView& operator=(const LiveView&) = delete;

 private:
  using Clock = std::chrono::steady_clock;

  void run();
  [[nodiscard]] bool step();
  void note_watch_trouble();
  [[nodiscard]] bool wait(Clock::time_point until, bool for_change);
  [[nodiscard]] bool store_has_changed();
  void read_store();
  void try_to(const std::function<void()>& action);
  void show(bool anyhow = false);
  [[nodiscard]] std::shared_ptr<const Catalog> with_pinned(const Catalog& shown);
  void note_once(std::string& last, const std::string& text) const;
  [[nodiscard]] std::optional<Clock::time_point> next_reading() const;

  StoreScanner& scanner_;
  FileSystem& fs_;
  std::shared_ptr<const Catalog> scanned_;
  Calls calls_;
  Options options_;
  Clock::time_point last_reading_ = Clock::now();
  Clock::time_point last_look_ = Clock::now();  // at everything
  Clock::duration reading_took_{};
  // When a use may be over. Stays although the use is over meanwhile and Pins know it no more.
  std::optional<Clock::time_point> unpinning_;
  bool owes_reading_ = false;  // what failed, or its tree
  std::string watch_trouble_, read_trouble_;
  UniqueFd stop_;
  std::thread thread_;
};

}  // namespace ollamafs
