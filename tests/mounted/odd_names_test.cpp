// Names that need care, of the store and of the mount point: each is shown, listed and taught as it
// is.
#include <gtest/gtest.h>

#include <filesystem>
#include <nlohmann/json.hpp>
#include <ostream>
#include <string>

#include "tests/mounted/environment.h"
#include "tests/mounted/mount.h"
#include "tests/support/process.h"
#include "tests/support/store_builder.h"

namespace ollamafs::test {
namespace {

namespace fs = std::filesystem;

struct OddName {
  std::string kind;
  std::string name;
  friend void PrintTo(const OddName& odd, std::ostream* out) { *out << odd.kind; }
};

class OddNames : public Environment, public ::testing::WithParamInterface<OddName> {};

INSTANTIATE_TEST_SUITE_P(
    Names, OddNames,
    ::testing::Values(OddName{"Blank", "my models"}, OddName{"Commas", "a,b,uid=0"},
                      OddName{"Backslashes", "back\\slash\\"}, OddName{"Newline", "new\nline"},
                      OddName{"Quote", "it's"}, OddName{"NotAscii", "Modèle-模型"},
                      OddName{"Shell", "\"$HOME\" `id`"}),
    [](const auto& tested) { return tested.param.kind; });

TEST_P(OddNames, OfAStoreAreShownAsTheyAre) {
  const StoreBuilder store{dir_ / GetParam().name};
  write_model(store);
  for (const RunOptions& user : {RunOptions{}, as_games_}) {
    const Mount mount{store.root(), {.run = user}};
    EXPECT_EQ(source_of(mount.path()), store.root());
    EXPECT_EQ(must({"ls", (mount / "models").string()}, user), "llama3.2+3b\n");
  }
  const std::string list = must({binary(), "list", "--json", "--store", store.root().string()});
  EXPECT_EQ(nlohmann::json::parse(list)["store"], store.root().string());
}

// The README's commands, as they stand, in a shell.
TEST_P(OddNames, OfAMountPointAreRightInTheReadmesCommands) {
  const fs::path place = dir_ / GetParam().name;
  must({binary(), "mount", "--store", store_.root().string(), place.string()});
  const std::string readme = read_file(place / "README.txt");
  fs::create_directory(dir_ / "stick");
  const auto command = [&](const std::string& begin) {
    const std::size_t at = readme.find("    " + begin);
    return readme.substr(at, readme.find('\n', at) - at);
  };
  std::string copy = command("cp ");
  copy.replace(copy.find("/media/STICK"), 12, (dir_ / "stick").string());
  must({"bash", "-c", copy});
  EXPECT_TRUE(fs::exists(dir_ / "stick/llama3.2+3b.tar")) << copy;
  const std::string umount = command("ollamafs umount ");
  must({"bash", "-c", "PATH=" + fs::path{binary()}.parent_path().string() + ":$PATH; " + umount});
  EXPECT_FALSE(is_mounted(place)) << umount;
}

}  // namespace
}  // namespace ollamafs::test
