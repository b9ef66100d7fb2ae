#pragma once

#include <gtest/gtest.h>
#include <sys/types.h>

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "store/model/digest.h"
#include "tests/mounted/mount.h"
#include "tests/support/process.h"
#include "tests/support/store_builder.h"
#include "tests/support/temp_dir.h"

namespace ollamafs::test {

using Words = std::vector<std::string>;

// The processes of the program under test that have `argument` among their arguments.
[[nodiscard]] std::vector<pid_t> processes_with(const std::string& argument);

// errno of listing a directory, 0 if it can be listed.
[[nodiscard]] int listing_fails_with(const std::filesystem::path& path);

// True if nothing is there, not even a dead mount.
[[nodiscard]] bool is_gone(const std::filesystem::path& path);

// Where a test mounts. At its end nothing is mounted there, and the test fails if a daemon still
// serves it.
class Place {
 public:
  explicit Place(bool missing = false, const std::optional<User>& owner = {})
      : dir_{missing, owner} {}
  ~Place();
  Place(const Place&) = delete;
  Place& operator=(const Place&) = delete;

  [[nodiscard]] const std::filesystem::path& path() const noexcept { return dir_.path(); }
  [[nodiscard]] std::vector<pid_t> daemons() const { return processes_with(path().string()); }
  // The one that serves it. Throws std::runtime_error if there is none, or more than one.
  [[nodiscard]] pid_t daemon() const;

 private:
  MountDir dir_;
};

// A store with the model llama3.2:3b and the commands about it.
class Life : public ::testing::Test {
 protected:
  Life() { store_.v1("llama3.2:3b", model_); }

  [[nodiscard]] Words mount_command(const std::filesystem::path& place,
                                    const Words& options = {}) const;
  [[nodiscard]] Result mount(const Place& place, const RunOptions& options = {}) const;
  static Result umount(const Words& arguments, const RunOptions& options = {});

  // Kills the daemon of this user's mount, and waits until the mount is dead.
  static void kill_daemon(const Place& place, const RunOptions& user);
  void leave_dead_mount(const Place& place, const RunOptions& user = {}) const;

  [[nodiscard]] Digest weights() const { return *Digest::parse(model_.layers[0].digest); }
  // The weights as the view shows them.
  [[nodiscard]] std::filesystem::path weights_in(const std::filesystem::path& view) const;

  TempDir dir_;
  StoreBuilder store_{dir_ / "models"};
  ManifestSpec model_ = store_.text_model(1, 3'000'000);
  const RunOptions as_games_{.as = User::named("games")};
};

}  // namespace ollamafs::test
