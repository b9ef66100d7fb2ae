#pragma once

#include <sys/types.h>

#include <filesystem>
#include <string>

#include "store/base/unique_fd.h"

namespace ollamafs::test {

// A process that copies models one after the other, as a tool does: what the mount knows of a tool
// it knows of a process, so two copies at once must not be one process's. To be made while the test
// has no threads; ends with this.
class CopyingProcess {
 public:
  CopyingProcess();
  ~CopyingProcess();
  CopyingProcess(const CopyingProcess&) = delete;
  CopyingProcess& operator=(const CopyingProcess&) = delete;

  struct Outcome {
    bool failed = false;  // as StepwiseCopy says
    std::string fault;
  };

  // A StepwiseCopy of the model's directory. Throws std::runtime_error if the process has ended.
  [[nodiscard]] Outcome copy(const std::filesystem::path& model) const;

 private:
  UniqueFd connection_;
  pid_t child_ = -1;
};

}  // namespace ollamafs::test
