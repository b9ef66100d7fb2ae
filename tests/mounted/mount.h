#pragma once

#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "tests/support/process.h"

namespace ollamafs::test {

// The program under test.
[[nodiscard]] std::string binary();

// An empty directory to mount at, or its name if it shall be `missing`. Removed with rmdir only.
class MountDir {
 public:
  explicit MountDir(bool missing = false, const std::optional<User>& owner = {});
  ~MountDir();
  MountDir(const MountDir&) = delete;
  MountDir& operator=(const MountDir&) = delete;
  [[nodiscard]] const std::filesystem::path& path() const noexcept { return path_; }

 private:
  std::filesystem::path parent_;
  std::filesystem::path path_;
};

// The real program, mounted, in the foreground of a process beside the test. At the end it is
// unmounted, and the test fails if the program does not leave or does not leave with status 0, as
// after a report of a sanitizer.
class Mount {
 public:
  struct Options {
    std::vector<std::string> arguments{};  // "-o", "allow_other"
    RunOptions run{};
    int expected_status = 0;
    std::string program = binary();
  };

  // Throws std::runtime_error with the program's own words if it does not mount.
  explicit Mount(const std::filesystem::path& store) : Mount{store, Options{}} {}
  Mount(const std::filesystem::path& store, const Options& options);
  ~Mount();
  Mount(const Mount&) = delete;
  Mount& operator=(const Mount&) = delete;

  [[nodiscard]] const std::filesystem::path& path() const noexcept { return dir_.path(); }
  [[nodiscard]] std::filesystem::path operator/(const std::filesystem::path& below) const {
    return path() / below;
  }
  [[nodiscard]] Background& daemon() noexcept { return *daemon_; }
  [[nodiscard]] std::string log() const { return daemon_->err(); }

  // Instead of that of the options.
  void expect_status(int status) noexcept { expected_status_ = status; }

  // Unmounts now; the destructor then only looks at the exit status.
  void unmount();

 private:
  MountDir dir_;
  int expected_status_;
  std::unique_ptr<Background> daemon_;
  bool unmounted_ = false;
};

// True if something is mounted at `path`.
[[nodiscard]] bool is_mounted(const std::filesystem::path& path);

}  // namespace ollamafs::test
