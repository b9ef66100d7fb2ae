#pragma once

#include <chrono>
#include <mutex>
#include <optional>
#include <string>
#include <unordered_map>

#include "fs/tree.h"

namespace ollamafs {

// Which model a directory belonged to that is shown no more. Until the kernel has been told, and as
// long as a tool has it open, such a directory is still asked for by its number.
//
// Safe to use from several threads.
class GoneDirectories {
 public:
  using Clock = std::chrono::steady_clock;

  // They are known for the `hold`, and until the next change behind it.
  explicit GoneDirectories(std::chrono::milliseconds hold) : hold_{hold} {}

  // To be called when `after` is shown instead of `before`; if it throws, nothing has changed.
  void changed(const Tree& before, const Tree& after);

  // The name in the view of the model whose directory, or one below it, had that number.
  [[nodiscard]] std::optional<std::string> model_of(InodeNumber directory) const;

 private:
  struct Gone {
    std::string view_name;
    Clock::time_point since;
  };

  const std::chrono::milliseconds hold_;
  mutable std::mutex mutex_;
  std::unordered_map<InodeNumber, Gone> gone_;
};

}  // namespace ollamafs
