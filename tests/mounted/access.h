#pragma once

#include <gtest/gtest.h>

#include <filesystem>
#include <string>
#include <vector>

#include "tests/mounted/over.h"
#include "tests/support/process.h"
#include "tests/support/store_builder.h"
#include "tests/support/temp_dir.h"

namespace ollamafs::test {

using Words = std::vector<std::string>;

// A new file that stands in another's place until the end of the scope, with root's name and this
// mode.
class NewOver {
 public:
  NewOver(const std::filesystem::path& place, const std::string& content, const char* mode)
      : over_{written(content, mode), place} {}

 private:
  [[nodiscard]] std::filesystem::path written(const std::string& content, const char* mode) const;

  TempDir dir_;
  Over over_;
};

// A user's process, with one more group if that is named.
struct Reader {
  std::string user;
  std::string group{};

  [[nodiscard]] Result runs(const Words& command) const;
};

// That a reader can read everything of a store with one model, and gets the right bytes: every blob
// has the hash that is its name.
void expect_reads(const Reader& reader, const std::filesystem::path& view);

// That a reader gets in nowhere, at the top or below it.
void expect_denied(const Reader& reader, const std::filesystem::path& view);

// "games:games 700"
[[nodiscard]] std::string owner_and_mode(const std::filesystem::path& path);

// A store with the model llama3.2:3b, and those who may read it or not.
class Access : public ::testing::Test {
 protected:
  Access() { store_.v1("llama3.2:3b", model_); }

  // All of it belongs to `owner`, "man:man"; the mode is that of its directory.
  void give_store(const std::string& owner, const char* mode) const;
  [[nodiscard]] std::filesystem::path weights() const;
  // Moves the weights to `target` and puts a symlink to it in their place.
  void move_weights(const std::filesystem::path& target) const;
  [[nodiscard]] Result mount_as(const Reader& reader, const std::filesystem::path& place,
                                const Words& options = {}) const;

  TempDir dir_;
  StoreBuilder store_{dir_ / "home/models"};
  ManifestSpec model_ = store_.text_model(1);
  const Reader root_{"root"}, games_{"games"}, nobody_{"nobody"}, man_{"man"};
  const Reader in_group_{"nobody", "man"};
};

}  // namespace ollamafs::test
