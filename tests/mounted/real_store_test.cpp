// Stores that real Ollama servers wrote, as the program shows them.
#include "tests/support/real_store.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <map>
#include <string>

#include "tests/mounted/mount.h"
#include "tests/mounted/shown.h"
#include "tests/support/process.h"
#include "tests/support/temp_dir.h"

namespace ollamafs::test {
namespace {

namespace fs = std::filesystem;

// Name in the view and ID, as their servers' `ollama list` printed them.
using Models = std::map<std::string, std::string>;

const Models kOlder = {{"localhost%3A5000/team/tiny+q8", "f8fc7bbdc61b"},
                       {"hf.co/someuser/Tiny-Random-GGUF+Q4_0", "801ab2caf9e2"},
                       {"mannix/tiny+q4", "801ab2caf9e2"},
                       {"chatty+latest", "4c30d5a81258"},
                       {"chatty+v1.5", "4c30d5a81258"}};

const Models kNewer = {{"vision+latest", "49f7259cc8e1"},
                       {"lora+latest", "eb8fd786b22d"},
                       {"derived+latest", "c9118675eba2"},
                       {"hf.co/someuser/Tiny-Random-GGUF+Q4_0", "d03527731c85"},
                       {"localhost%3A5000/team/tiny+q4", "d03527731c85"},
                       {"mannix/tiny+q4", "d03527731c85"},
                       {"chatty+latest", "d88ef4792650"},
                       {"chatty+v1.5", "d88ef4792650"},
                       {"mannix/tiny+f16", "34fee50e683a"},
                       {"plain+latest", "34fee50e683a"}};

std::string attribute(const fs::path& path, const std::string& name) {
  return must({"getfattr", "--only-values", "-n", "user.ollamafs." + name, path.string()});
}

// The archives of a view, as paths without ".tar".
std::set<std::string> archives_of(const fs::path& view) {
  std::set<std::string> names;
  for (const auto& entry : fs::recursive_directory_iterator{view / "archives"}) {
    if (!entry.is_regular_file()) continue;
    names.insert(fs::relative(entry.path(), view / "archives").replace_extension().string());
  }
  return names;
}

void expect_shown(const fs::path& store, const Models& models) {
  const Mount mount{store};
  EXPECT_EQ(list_json(store)["models"].size(), models.size());
  std::set<std::string> names;
  for (const auto& [name, id] : models) {
    names.insert(name);
    const fs::path model = mount / "models" / name;
    EXPECT_EQ(attribute(model, "id"), id) << name;
    EXPECT_EQ(attribute(model, "state"), "whole") << name;
    std::string shown = name;
    shown.replace(shown.rfind('+'), 1, ":");
    if (const auto port = shown.find("%3A"); port != std::string::npos) shown.replace(port, 3, ":");
    EXPECT_EQ(attribute(model, "name"), shown);
    EXPECT_THAT(list(store), ::testing::ContainsRegex(shown + " +" + id + " "));
  }
  EXPECT_EQ(archives_of(mount.path()), names);
}

TEST(ARealStore, OfTheOlderTreeIsShownWithItsNamesAndIds) {
  const TempDir dir;
  unpack_real_store_v1(dir / "models");
  expect_shown(dir / "models", kOlder);
}

TEST(ARealStore, OfTheNewerTreeIsShownWithItsNamesAndIds) {
  const TempDir dir;
  unpack_real_store_v2(dir / "models");
  expect_shown(dir / "models", kNewer);
}

}  // namespace
}  // namespace ollamafs::test
