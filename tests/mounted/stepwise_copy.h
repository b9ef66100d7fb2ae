#pragma once

#include <chrono>
#include <filesystem>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "store/base/unique_fd.h"

namespace ollamafs::test {

// A copy of a model's directory as tools make it: in this thread, blobs first, going on behind what
// failed.
class StepwiseCopy {
 public:
  // `between` is called before every step with its number.
  using Between = std::function<void(unsigned step)>;

  using Blobs = std::map<std::string, std::string>;  // bytes, by name

  struct Options {
    // As rsync 3.2.5 and tar walk: from a directory that is open to what is in it. Else as cp -r
    // does: by the path of each file.
    bool by_descriptor = false;
    // What the target has already: such blobs are not opened, as by cp -u.
    Blobs has{};
  };

  StepwiseCopy(const std::filesystem::path& model, Between between, const Options& options);
  explicit StepwiseCopy(
      const std::filesystem::path& model, Between between = [](unsigned) {})
      : StepwiseCopy{model, std::move(between), Options{}} {}

  [[nodiscard]] bool failed() const noexcept { return failed_; }  // anything
  [[nodiscard]] unsigned steps() const noexcept { return steps_; }
  [[nodiscard]] const std::string& manifest() const noexcept { return manifest_; }
  // What the target has in the end.
  [[nodiscard]] const Blobs& blobs() const noexcept { return blobs_; }

  // What is wrong: that it has a manifest without one of its blobs, or with a damaged one, or no
  // manifest although nothing has failed. Empty: it is a whole model, or it has failed.
  [[nodiscard]] std::string fault() const;

 private:
  void step() { between_(steps_++); }
  [[nodiscard]] UniqueFd open(const std::filesystem::path& path, int flags) const;
  [[nodiscard]] std::vector<std::string> names(const std::filesystem::path& directory);
  [[nodiscard]] std::optional<std::string> content(const std::filesystem::path& path);

  void note(const std::filesystem::path& path, const char* what);

  Between between_;
  const bool by_descriptor_;
  std::map<std::filesystem::path, UniqueFd> directories_;  // that are open
  const std::chrono::steady_clock::time_point begin_ = std::chrono::steady_clock::now();
  bool failed_ = false;
  std::string events_;  // what came and what failed when, a line each
  unsigned steps_ = 0;
  Blobs blobs_;
  std::string manifest_;
};

}  // namespace ollamafs::test
