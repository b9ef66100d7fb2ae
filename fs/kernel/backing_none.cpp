// For libfuse before 3.17, which has no passthrough; CMakeLists.txt chooses.
#include "fs/kernel/backing.h"

namespace ollamafs {

const BackingCalls* backing_calls() noexcept {
  return nullptr;
}

}  // namespace ollamafs
