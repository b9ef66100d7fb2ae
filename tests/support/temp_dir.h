#pragma once

#include <filesystem>

namespace ollamafs::test {

// A fresh empty directory, removed with all that is in it. Never mount in it: removal would walk
// into the mount (see Mount, which has its own place).
class TempDir {
 public:
  TempDir();
  ~TempDir();
  TempDir(const TempDir&) = delete;
  TempDir& operator=(const TempDir&) = delete;

  [[nodiscard]] const std::filesystem::path& path() const noexcept { return path_; }
  [[nodiscard]] std::filesystem::path operator/(const std::filesystem::path& below) const {
    return path_ / below;
  }

 private:
  std::filesystem::path path_;
};

}  // namespace ollamafs::test
