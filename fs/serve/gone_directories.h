#pragma once

#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>

#include "fs/tree/tree.h"

namespace ollamafs {

// Which model a directory with blobs belonged to that is shown no more. Until the kernel has been
// told, and as long as a tool has it open, such a directory is still asked for by its number.
//
// Safe to use from several threads.
class GoneDirectories {
 public:
  // To be called when `after` is shown instead of `before`; if it throws, nothing has changed.
  void changed(const Tree& before, const Tree& after);

  // The name in the view of the model of which a tool misses blobs that asks in vain for `name` in
  // the directory that had this number; for "": for its listing. Nothing if it misses none: who
  // looks for the manifest will find it by its path.
  [[nodiscard]] std::optional<std::string> model_missed(InodeNumber directory,
                                                        std::string_view name) const;

 private:
  struct Gone {
    std::string view_name;
    bool is_blobs;  // or the model's own
  };

  mutable std::mutex mutex_;
  std::unordered_map<InodeNumber, Gone> gone_;
};

}  // namespace ollamafs
