#pragma once

#include <gtest/gtest.h>

#include <filesystem>
#include <string>

#include "tests/mounted/life.h"
#include "tests/support/process.h"
#include "tests/support/store_builder.h"
#include "tests/support/temp_dir.h"

namespace ollamafs::test {

[[nodiscard]] Words operator+(Words left, const Words& right);

// `command` in namespaces of its own, as `unshare` names them, after the lines of `setup`.
[[nodiscard]] Words within(const std::string& setup, const Words& command,
                           const Words& namespaces = {"-m"});

// What is shown as the source of the mount at `path`; nothing if none is there.
[[nodiscard]] std::string source_of(const std::filesystem::path& path);

// A store with the model llama3.2:3b, to be mounted at various places. At the end nothing is
// mounted that shows a store of this test.
class Environment : public ::testing::Test {
 protected:
  Environment() { write_model(store_); }
  ~Environment() override;
  static void write_model(const StoreBuilder& store);

  TempDir dir_;
  StoreBuilder store_{dir_ / "models"};
  const RunOptions as_games_{.as = User::named("games")};
};

}  // namespace ollamafs::test
