#include "store/base/progress.h"

namespace ollamafs {

Progress& Progress::none() noexcept {
  static Progress nobody;
  return nobody;
}

}  // namespace ollamafs
