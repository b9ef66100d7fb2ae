#pragma once

#include <chrono>
#include <filesystem>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <vector>

namespace ollamafs::test {

// A copy of a model's directory as cp -r and rsync make it: by path, in this thread, blobs first,
// going on behind what failed.
class StepwiseCopy {
 public:
  // `between` is called before every step with its number.
  using Between = std::function<void(unsigned step)>;

  explicit StepwiseCopy(
      const std::filesystem::path& model, Between between = [](unsigned) {});

  [[nodiscard]] bool failed() const noexcept { return failed_; }  // anything
  [[nodiscard]] unsigned steps() const noexcept { return steps_; }
  [[nodiscard]] const std::string& manifest() const noexcept { return manifest_; }

  // What is wrong: that it has a manifest without one of its blobs, or with a damaged one, or no
  // manifest although nothing has failed. Empty: it is a whole model, or it has failed.
  [[nodiscard]] std::string fault() const;

 private:
  void step() { between_(steps_++); }
  [[nodiscard]] std::vector<std::string> names(const std::filesystem::path& directory);
  [[nodiscard]] std::optional<std::string> content(const std::filesystem::path& path);

  void note(const std::filesystem::path& path, const char* what);

  Between between_;
  const std::chrono::steady_clock::time_point begin_ = std::chrono::steady_clock::now();
  bool failed_ = false;
  std::string events_;  // what came and what failed when, a line each
  unsigned steps_ = 0;
  std::map<std::string, std::string> blobs_;  // by name
  std::string manifest_;
};

}  // namespace ollamafs::test
