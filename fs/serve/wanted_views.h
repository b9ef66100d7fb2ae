#pragma once

#include <atomic>

#include "fs/tree/view.h"
#include "store/base/unique_fd.h"

namespace ollamafs {

// Which of the views that cost memory somebody has looked into since the mount began. Such a view
// is an empty directory in the tree until then, so that who only copies models pays nothing for it.
//
// Safe to use from several threads.
class WantedViews {
 public:
  // Throws std::system_error.
  WantedViews();

  // Somebody looks into it: from now on every tree is to be made with it.
  void want(View view) noexcept;

  [[nodiscard]] ViewSet all() const noexcept;

  // An eventfd that can be read when a view was wanted that was not before. Stays this object's.
  [[nodiscard]] int descriptor() const noexcept { return news_.get(); }

 private:
  std::atomic<ViewSet> wanted_{};
  UniqueFd news_;
};

}  // namespace ollamafs
