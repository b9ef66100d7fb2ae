// Models copied from a mount to another machine, which a sshd on loopback stands for, and into a
// store that a server lives in. What must arrive is put together from the store, never from the
// mount, and compared by diff.
#include <gmock/gmock.h>
#include <sys/stat.h>

#include <ctime>
#include <filesystem>
#include <map>
#include <nlohmann/json.hpp>
#include <optional>
#include <ostream>
#include <stdexcept>
#include <string>
#include <vector>

#include "store/model/digest.h"
#include "tests/mounted/mount.h"
#include "tests/mounted/ssh_server.h"
#include "tests/support/process.h"
#include "tests/support/store_builder.h"
#include "tests/support/temp_dir.h"

namespace ollamafs::test {
namespace {

namespace fs = std::filesystem;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Pair;
using ::testing::SizeIs;

// Puts into `folder` what a models folder needs for this model, from the store's own files.
void add_alone(const StoreBuilder& store, const ManifestSpec& model, const fs::path& manifest_path,
               const fs::path& folder) {
  std::vector<LayerSpec> layers = model.layers;
  layers.push_back(model.config.value());
  for (const LayerSpec& layer : layers) {
    const Digest digest = Digest::parse(layer.digest).value();
    write_file(folder / "blobs" / digest.blob_name(), read_file(store.blob_path(digest)));
  }
  write_file(folder / "manifests" / manifest_path, model.json());
}

void expect_same_tree(const fs::path& expected, const fs::path& copy) {
  const Result diff =
      run({"diff", "-r", "--no-dereference", "-q", expected.string(), copy.string()});
  EXPECT_EQ(diff.status, 0) << diff.out << diff.err;
}

nlohmann::json list(const fs::path& store) {
  return nlohmann::json::parse(must({binary(), "list", "--json", "--store", store.string()}));
}

// ---- to and from another machine ----

// Copies the directory $1 into the directory $2 under its own name; one of the two is reached by
// ssh with the configuration $3.
struct Tool {
  const char* name;
  const char* line;
};

void PrintTo(const Tool& tool, std::ostream* out) {
  *out << tool.name;
}

class CopiedOverSsh : public ::testing::TestWithParam<Tool> {};

TEST_P(CopiedOverSsh, AModelIsItsManifestAndItsBlobsAndNothingElse) {
  const TempDir dir;
  const StoreBuilder store{dir / "store"};
  const ManifestSpec model = store.text_model(1, 300'000);
  // A port's colon, which these tools take for the end of a host, is below what is named to them.
  store.v2("localhost:5000/team/tuned:v1", model);
  add_alone(store, model, "localhost:5000/team/tuned/v1", dir / "expected");
  fs::create_directory(dir / "copy");

  Mount mount{store.root()};
  const SshServer server;
  const fs::path from = mount / "models/localhost%3A5000/team/tuned+v1";
  const Result result = run({"bash", "-c", GetParam().line, "copy", from.string(),
                             (dir / "copy").string(), server.config()});
  EXPECT_EQ(result.status, 0) << result.err << server.log();
  expect_same_tree(dir / "expected", dir / "copy/tuned+v1");
  const auto listed = list(dir / "copy/tuned+v1");
  EXPECT_THAT(listed["problems"], IsEmpty());
  ASSERT_THAT(listed["models"], SizeIs(1));
  EXPECT_EQ(listed["models"][0]["name"], "localhost:5000/team/tuned:v1");
  EXPECT_EQ(listed["models"][0]["id"], Digest::of(model.json()).hex().substr(0, 12));
  EXPECT_EQ(listed["models"][0]["state"], "whole");
}

constexpr Tool kTools[] = {
    {"ScpTo", R"(scp -F "$3" -r "$1" target:"$2/")"},
    {"ScpFrom", R"(scp -F "$3" -r target:"$1" "$2/")"},
    {"OldScpTo", R"(scp -O -F "$3" -r "$1" target:"$2/")"},
    {"OldScpFrom", R"(scp -O -F "$3" -r target:"$1" "$2/")"},
    {"SftpPut", R"(echo "put -r \"$1\" \"$2/\"" | sftp -F "$3" -b - target)"},
    {"SftpGet", R"(echo "get -r \"$1\" \"$2/\"" | sftp -F "$3" -b - target)"},
    {"RsyncTo", R"(rsync -a -e "ssh -F $3" "$1" target:"$2/")"},
    {"RsyncFrom", R"(rsync -a -e "ssh -F $3" target:"$1" "$2/")"},
    {"RsyncCompressed", R"(rsync -az -e "ssh -F $3" "$1" target:"$2/")"},
};
INSTANTIATE_TEST_SUITE_P(, CopiedOverSsh, ::testing::ValuesIn(kTools),
                         [](const auto& test) { return test.param.name; });

// ---- the taught command, into a live store ----

// How it gets there, and to whom the files then belong.
struct Way {
  const char* name;
  const char* options;
  const char* target;
  const char* owner;
};

void PrintTo(const Way& way, std::ostream* out) {
  *out << way.name;
}

// All that can be told of a file or a directory apart from its name.
struct Found {
  struct stat st {};
  std::string bytes;
};

using Tree = std::map<std::string, Found>;

Tree tree_of(const fs::path& folder) {
  std::vector<fs::path> paths{folder};
  for (const auto& entry : fs::recursive_directory_iterator{folder}) paths.push_back(entry.path());
  Tree tree;
  for (const fs::path& path : paths) {
    Found& found = tree[path.lexically_relative(folder).string()];
    if (::lstat(path.c_str(), &found.st) != 0) throw std::runtime_error{path.string()};
    if (S_ISREG(found.st.st_mode)) found.bytes = read_file(path);
  }
  return tree;
}

// The store of a server that runs as `games`: folders with modes and dates of their own, and two
// models, one of which shares its text blobs with the model that comes.
class IntoALiveStore : public ::testing::TestWithParam<Way> {
 protected:
  IntoALiveStore() {
    const ManifestSpec model = store.text_model(1, 300'000);
    store.v2("mannix/pirate:q4", model);
    add_alone(store, model, "registry.ollama.ai/mannix/pirate/q4", dir / "coming");

    live.v1("team/other:latest", live.text_model(2, 50'000));
    ManifestSpec alone;
    alone.config = live.layer(kConfigType, "{}");
    alone.layers = {live.layer(kModelType, "GGUF" + random_bytes(3, 50'000))};
    live.v1("alone:latest", alone);
    for (const auto& [path, mode] : std::map<std::string, mode_t>{
             {".", 02750}, {"blobs", 0700}, {"manifests", 0711}, {kHost, 02775}}) {
      EXPECT_EQ(::chmod((live.root() / path).c_str(), mode), 0);
    }
    must({"chown", "-R", "games:nogroup", live.root().string()});
    must({"find", live.root().string(), "-exec", "touch", "-d", "2024-02-29 12:34:57", "{}", "+"});
    before = tree_of(live.root());
    mount.emplace(store.root());
  }

  std::string copy(const std::string& more = "") {
    const std::string line = std::string{"rsync -rtO --delay-updates "} + GetParam().options + " " +
                             more + R"( "$1/" )" + GetParam().target + R"("$2/")";
    return must({"bash", "-c", line, "copy", (*mount / "models/mannix/pirate+q4").string(),
                 live.root().string(), server.config()});
  }

  // What the target had before, without the blobs that come again: those are the model's own.
  [[nodiscard]] Tree others() const {
    Tree others = before;
    for (const auto& [path, found] : tree_of(dir / "coming")) {
      if (S_ISREG(found.st.st_mode)) others.erase(path);
    }
    return others;
  }

  static constexpr const char* kHost = "manifests/registry.ollama.ai";
  TempDir dir;
  StoreBuilder store{dir / "store"};
  StoreBuilder live{dir / "live"};
  Tree before;
  SshServer server;
  std::optional<Mount> mount;
};

TEST_P(IntoALiveStore, TheModelArrivesAndNothingElse) {
  Tree expected = before;
  expected.merge(tree_of(dir / "coming"));
  copy();
  const Tree after = tree_of(live.root());
  for (const auto& [path, found] : after) EXPECT_TRUE(expected.contains(path)) << path;
  for (const auto& [path, found] : expected) {
    ASSERT_TRUE(after.contains(path)) << path;
    EXPECT_EQ(after.at(path).bytes, found.bytes) << path;
    if (before.contains(path)) continue;
    EXPECT_EQ(after.at(path).st.st_uid, User::named(GetParam().owner).uid) << path;
    // New folders inherit the set-group-ID bit from those that have it.
    const mode_t mode = S_ISDIR(found.st.st_mode) ? 0755 : 0644;
    EXPECT_EQ(after.at(path).st.st_mode & 0777, mode) << path;
  }
}

TEST_P(IntoALiveStore, TheFoldersOfTheTargetKeepModesAndOwners) {
  const std::time_t start = std::time(nullptr) - 1;  // the clock of files is a tick behind
  copy();
  const Tree after = tree_of(live.root());
  for (const auto& [path, found] : before) {
    if (!S_ISDIR(found.st.st_mode)) continue;
    const struct stat& st = after.at(path).st;
    EXPECT_EQ(st.st_mode, found.st.st_mode) << path;
    EXPECT_EQ(st.st_uid, found.st.st_uid) << path;
    EXPECT_EQ(st.st_gid, found.st.st_gid) << path;
    // A folder that got an entry has the date of that; none has the date of the sender's.
    EXPECT_TRUE(st.st_mtime == found.st.st_mtime || st.st_mtime >= start) << path;
  }
}

TEST_P(IntoALiveStore, TheOtherModelsAreNotTouched) {
  const Tree others = this->others();
  ASSERT_TRUE(others.contains("manifests/registry.ollama.ai/team/other/latest"));
  copy();
  const Tree after = tree_of(live.root());
  for (const auto& [path, found] : others) {
    if (S_ISDIR(found.st.st_mode)) continue;
    const struct stat& st = after.at(path).st;
    EXPECT_EQ(st.st_ino, found.st.st_ino) << path;
    EXPECT_EQ(st.st_mtime, found.st.st_mtime) << path;
    EXPECT_EQ(st.st_ctim.tv_sec, found.st.st_ctim.tv_sec) << path;
    EXPECT_EQ(st.st_ctim.tv_nsec, found.st.st_ctim.tv_nsec) << path;
  }
  const auto listed = list(live.root());
  EXPECT_THAT(listed["problems"], IsEmpty());
  std::map<std::string, std::string> states;
  for (const auto& model : listed["models"]) states[model["name"]] = model["state"];
  EXPECT_THAT(states, ElementsAre(Pair("alone:latest", "whole"), Pair("mannix/pirate:q4", "whole"),
                                  Pair("team/other:latest", "whole")));
}

TEST_P(IntoALiveStore, ASecondRunMovesNothing) {
  EXPECT_THAT(copy("--itemize-changes"), HasSubstr("registry.ollama.ai/mannix/pirate/q4\n"));
  EXPECT_EQ(copy("--itemize-changes"), "");
}

constexpr Way kWays[] = {
    {"OnThisMachine", "", "", "root"},
    {"OverSsh", R"(-e "ssh -F $3")", "target:", "root"},
    {"AsTheUserOfTheService", R"(-e "ssh -F $3" --rsync-path='sudo -u games rsync')",
     "target:", "games"},
};
INSTANTIATE_TEST_SUITE_P(, IntoALiveStore, ::testing::ValuesIn(kWays),
                         [](const auto& test) { return test.param.name; });

}  // namespace
}  // namespace ollamafs::test
