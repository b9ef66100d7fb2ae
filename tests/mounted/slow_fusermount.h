#pragma once

#include <filesystem>

#include "tests/mounted/over.h"
#include "tests/support/temp_dir.h"

namespace ollamafs::test {

// A fusermount3 that does nothing until it is told to go on. It makes the mounts of ordinary users,
// and the daemon waits for it. Stands in the place of the usual one until the end of the scope.
class SlowFusermount {
 public:
  SlowFusermount();

  // Throws std::runtime_error if nobody calls it.
  void wait_until_called() const;
  void go_on() const;

 private:
  [[nodiscard]] std::filesystem::path script() const;
  [[nodiscard]] std::filesystem::path place_for_real() const;

  const std::filesystem::path usual_;
  const TempDir dir_;
  const Over kept_;
  const Over replaced_;
};

}  // namespace ollamafs::test
