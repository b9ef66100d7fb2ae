// Models copied out of a mount by the tools of this machine. What a copy must hold is put together
// from the store, never from the mount, and compared by diff.
#include <gmock/gmock.h>
#include <sys/stat.h>

#include <cctype>
#include <chrono>
#include <cstdint>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <ostream>
#include <stdexcept>
#include <string>
#include <vector>

#include "store/model/digest.h"
#include "tests/mounted/mount.h"
#include "tests/support/process.h"
#include "tests/support/store_builder.h"
#include "tests/support/temp_dir.h"

namespace ollamafs::test {
namespace {

namespace fs = std::filesystem;
using ::testing::IsEmpty;
using ::testing::SizeIs;
using ::testing::StartsWith;

// A model of the store, and how it looks in the mount and in a models folder.
struct Sample {
  std::string name;
  std::string view_name;
  std::string manifest_path;
  ManifestSpec manifest;
};

// One of every way in which a store keeps a model: both trees, a symlink and a copy, a list whose
// other child was never pulled, a model without layers. Most of them share blobs.
std::vector<Sample> write_samples(const StoreBuilder& store) {
  const ManifestSpec plain = store.text_model(1, 300'000);
  store.v1("llama3.2:3b", plain);

  ManifestSpec derived = plain;
  derived.layers.push_back(store.layer(kSystemType, "You are a pirate."));
  derived.end = "\n";
  store.v2("mannix/pirate:q4", derived);

  ManifestSpec tuned = plain;
  tuned.layers.push_back(store.layer(kAdapterType, "GGUF" + random_bytes(2, 70'000)));
  store.v2("localhost:5000/team/tuned:v1", tuned, true);

  ManifestSpec cloud;
  cloud.config = store.layer(kConfigType, R"({"remote_host":"https://ollama.com:443"})");
  cloud.null_layers = true;
  store.v1("gpt-oss:cloud", cloud);

  ManifestSpec child = store.text_model(3, 200'000);
  child.runner = "llamacpp";
  child.format = "gguf";
  write_file(store.blob_path(Digest::of(child.json())), child.json());
  store.v2_bytes("gemma3:4b",
                 StoreBuilder::list_json({{Digest::of(child.json()), "llamacpp", "gguf"},
                                          {Digest::of("never pulled"), "mlx", "safetensors"}}));

  const std::string library = "registry.ollama.ai/library/";
  return {{"llama3.2:3b", "llama3.2+3b", library + "llama3.2/3b", plain},
          {"mannix/pirate:q4", "mannix/pirate+q4", "registry.ollama.ai/mannix/pirate/q4", derived},
          {"localhost:5000/team/tuned:v1", "localhost%3A5000/team/tuned+v1",
           "localhost:5000/team/tuned/v1", tuned},
          {"gpt-oss:cloud", "gpt-oss+cloud", library + "gpt-oss/cloud", cloud},
          {"gemma3:4b", "gemma3+4b", library + "gemma3/4b", child}};
}

// Puts into `folder` what a models folder needs for this model, from the store's own files.
void add_alone(const StoreBuilder& store, const Sample& sample, const fs::path& folder) {
  std::vector<LayerSpec> layers = sample.manifest.layers;
  if (sample.manifest.config) layers.push_back(*sample.manifest.config);
  for (const LayerSpec& layer : layers) {
    const Digest digest = Digest::parse(layer.digest).value();
    write_file(folder / "blobs" / digest.blob_name(), read_file(store.blob_path(digest)));
  }
  write_file(folder / "manifests" / sample.manifest_path, sample.manifest.json());
}

// The tools, each copying the directory $1 into the directory $2 under its own name.
struct Tool {
  const char* name;
  const char* line;
};

void PrintTo(const Tool& tool, std::ostream* out) {
  *out << tool.name;
}

Result copy(const Tool& tool, const fs::path& from, const fs::path& into) {
  fs::create_directories(into);
  return run({"bash", "-o", "pipefail", "-c", tool.line, "copy", from.string(), into.string()});
}

// Nothing in `copy` but what is in `expected`, byte for byte, and the reverse.
void expect_same_tree(const fs::path& expected, const fs::path& copy) {
  const Result diff =
      run({"diff", "-r", "--no-dereference", "-q", expected.string(), copy.string()});
  EXPECT_EQ(diff.status, 0) << diff.out << diff.err;
}

// `ollamafs list` finds in `folder` this model, whole, under the ID that the store's manifest has.
void expect_lists_alone(const Sample& sample, const fs::path& folder) {
  const auto listed = nlohmann::json::parse(
      must({binary(), "list", "--json", "--store", folder.string()}), nullptr);
  EXPECT_THAT(listed["problems"], IsEmpty()) << listed;
  ASSERT_THAT(listed["models"], SizeIs(1)) << listed;
  EXPECT_EQ(listed["models"][0]["name"], sample.name);
  EXPECT_EQ(listed["models"][0]["id"], Digest::of(sample.manifest.json()).hex().substr(0, 12));
  EXPECT_EQ(listed["models"][0]["state"], "whole");
}

struct stat lstat_of(const fs::path& path) {
  struct stat st {};
  if (::lstat(path.c_str(), &st) != 0) throw std::runtime_error{"cannot stat " + path.string()};
  return st;
}

// What `label` says in rsync's --stats, in bytes or files.
long stat_of(const std::string& stats, const std::string& label) {
  const std::size_t at = stats.find(label + ": ");
  if (at == std::string::npos) throw std::runtime_error{"no \"" + label + "\" in: " + stats};
  std::string digits;
  for (std::size_t i = at + label.size() + 2; i < stats.size(); ++i) {
    if (stats[i] != ',' && !std::isdigit(static_cast<unsigned char>(stats[i]))) break;
    if (stats[i] != ',') digits += stats[i];
  }
  return std::stol(digits);
}

// ---- every tool ----

class CopiedBy : public ::testing::TestWithParam<Tool> {};

TEST_P(CopiedBy, AModelIsItsManifestAndItsBlobsAndNothingElse) {
  const TempDir dir;
  const StoreBuilder store{dir / "store"};
  const auto samples = write_samples(store);
  Mount mount{store.root()};
  for (const Sample& sample : samples) {
    SCOPED_TRACE(sample.name);
    const fs::path into = dir / "copy" / sample.view_name;
    const Result result = copy(GetParam(), mount / "models" / sample.view_name, into);
    EXPECT_EQ(result.status, 0) << result.err;
    const fs::path folder = into / fs::path{sample.view_name}.filename();
    const fs::path expected = dir / "expected" / sample.view_name;
    add_alone(store, sample, expected);
    expect_same_tree(expected, folder);
    expect_lists_alone(sample, folder);
  }
}

TEST_P(CopiedBy, AllModelsComeEachInItsDirectory) {
  const TempDir dir;
  const StoreBuilder store{dir / "store"};
  for (const Sample& sample : write_samples(store)) {
    add_alone(store, sample, dir / "expected" / sample.view_name);
  }
  Mount mount{store.root()};
  const Result result = copy(GetParam(), mount / "models", dir / "copy");
  EXPECT_EQ(result.status, 0) << result.err;
  expect_same_tree(dir / "expected", dir / "copy/models");
}

constexpr Tool kTools[] = {
    {"RsyncArchive", R"(rsync -a "$1" "$2/")"},
    {"RsyncHardLinks", R"(rsync -aH "$1" "$2/")"},
    {"RsyncAsTaught", R"sh(rsync -rtO --delay-updates "$1/" "$2/$(basename "$1")/")sh"},
    {"CpRecursive", R"(cp -r "$1" "$2/")"},
    {"CpArchive", R"(cp -a "$1" "$2/")"},
    {"Tar", R"sh(tar -c -C "$(dirname "$1")" "$(basename "$1")" | tar -x -C "$2")sh"},
};
INSTANTIATE_TEST_SUITE_P(, CopiedBy, ::testing::ValuesIn(kTools),
                         [](const auto& test) { return test.param.name; });

// ---- once for all who share it ----

class SharedWeights : public ::testing::Test {
 protected:
  // The two models, copied into one folder, have one file for their weights.
  void expect_one_file() {
    const fs::path blob = fs::path{"blobs"} / Digest::parse(weights.digest)->blob_name();
    const struct stat first = lstat_of(dir / "copy/llama3.2+3b" / blob);
    const struct stat second = lstat_of(dir / "copy/pirate+q4" / blob);
    EXPECT_EQ(first.st_ino, second.st_ino);
    EXPECT_EQ(first.st_nlink, 2U);
    EXPECT_EQ(first.st_size, weights.size);
  }

  TempDir dir;
  StoreBuilder store{dir / "store"};
  std::vector<Sample> samples = write_samples(store);
  LayerSpec weights = samples[0].manifest.layers[0];
  Mount mount{store.root()};
  std::string one = (mount / "models/llama3.2+3b").string();
  std::string other = (mount / "models/mannix/pirate+q4").string();
};

TEST_F(SharedWeights, AreSentOnceByRsyncWithHardLinks) {
  const std::string into = (dir / "copy/").string();
  const auto sent = must({"rsync", "-aH", "--stats", one, other, into});
  EXPECT_GE(stat_of(sent, "Total bytes sent"), weights.size);
  EXPECT_LT(stat_of(sent, "Total bytes sent"), weights.size * 3 / 2);
  expect_one_file();
  // What the numbers mean: without -H they are sent for each model.
  const auto twice = must({"rsync", "-a", "--stats", one, other, (dir / "without/").string()});
  EXPECT_GE(stat_of(twice, "Total bytes sent"), weights.size * 2);
}

TEST_F(SharedWeights, AreOneFileInACopyByCpArchive) {
  fs::create_directory(dir / "copy");
  must({"cp", "-a", one, other, (dir / "copy").string()});
  expect_one_file();
}

TEST_F(SharedWeights, AreInATarOnce) {
  const std::string tar = (dir / "two.tar").string();
  must({"tar", "-cf", tar, "-C", (mount / "models").string(), "llama3.2+3b", "-C",
        (mount / "models/mannix").string(), "pirate+q4"});
  EXPECT_LT(fs::file_size(tar), static_cast<std::uintmax_t>(weights.size) * 3 / 2);
  fs::create_directory(dir / "copy");
  must({"tar", "-xf", tar, "-C", (dir / "copy").string()});
  expect_one_file();
}

// ---- again ----

// Copies what is in `from` into `to` and returns what rsync says about it.
std::string rsync(const std::string& options, const fs::path& from, const fs::path& to) {
  return must({"sh", "-c", "rsync " + options + R"( --itemize-changes --stats "$1/" "$2/")",
               "rsync", from.string(), to.string()});
}

// A second run of the same rsync finds nothing to do, not even a date to set.
void expect_nothing_moves(const std::string& options, const fs::path& from, const fs::path& to) {
  const std::string said = rsync(options, from, to);
  EXPECT_THAT(said, StartsWith("\nNumber of files: "));  // no line about a change before it
  EXPECT_EQ(stat_of(said, "Number of regular files transferred"), 0);
}

class ASecondRsync : public ::testing::TestWithParam<Tool> {
 protected:
  [[nodiscard]] static std::string options() { return GetParam().line; }

  TempDir dir;
  StoreBuilder store{dir / "store"};
  std::vector<Sample> samples = write_samples(store);
  fs::path to = dir / "copy";
};

TEST_P(ASecondRsync, MovesNothing) {
  Mount mount{store.root()};
  const std::string first = rsync(options(), mount.path(), to);
  EXPECT_GT(stat_of(first, "Number of regular files transferred"), 10);
  expect_nothing_moves(options(), mount.path(), to);
}

TEST_P(ASecondRsync, MovesNothingAfterOllamaTouchedTheBlobs) {
  rsync(options(), Mount{store.root()} / "models", to);
  // `ollama create` gives blobs that it finds the current time, another than they had.
  must(
      {"find", (store.root() / "blobs").string(), "-exec", "touch", "-d", "2031-01-01", "{}", "+"});
  Mount again{store.root()};
  expect_nothing_moves(options(), again / "models", to);
}

TEST_P(ASecondRsync, MovesAModelThatChangedAndKeptItsSize) {
  Sample& sample = samples[0];
  const fs::path manifest = store.root() / "manifests" / sample.manifest_path;
  fs::last_write_time(manifest, fs::file_time_type::clock::now() - std::chrono::hours{1});
  {
    Mount mount{store.root()};
    rsync(options(), mount / "models" / sample.view_name, to);
    rsync(options(), mount / "archives", dir / "archives");
  }
  const auto size = fs::file_size(manifest);
  sample.manifest.layers[0] = store.layer(kModelType, "GGUF" + random_bytes(77, 300'000));
  store.v1(sample.name, sample.manifest);
  ASSERT_EQ(fs::file_size(manifest), size);
  add_alone(store, sample, dir / "expected");

  Mount mount{store.root()};
  rsync(options() + " --delete", mount / "models" / sample.view_name, to);
  expect_same_tree(dir / "expected", to);
  rsync(options(), mount / "archives", dir / "archives");
  fs::create_directory(dir / "unpacked");
  must({"tar", "-xf", (dir / "archives" / (sample.view_name + ".tar")).string(), "-C",
        (dir / "unpacked").string()});
  expect_same_tree(dir / "expected", dir / "unpacked");
}

constexpr Tool kOptions[] = {
    {"Archive", "-a"},
    {"HardLinks", "-aH"},
    {"AsTaught", "-rtO --delay-updates"},
};
INSTANTIATE_TEST_SUITE_P(, ASecondRsync, ::testing::ValuesIn(kOptions),
                         [](const auto& test) { return test.param.name; });

// ---- the order ----

// A tool that says, line by line, what it copies from $1 into $2.
class TheOrderOf : public ::testing::TestWithParam<Tool> {};

// Whoever stops half-way must be left with blobs that no manifest names, never the reverse.
TEST_P(TheOrderOf, BlobsIsBeforeTheManifest) {
  const TempDir dir;
  const StoreBuilder store{dir / "store"};
  const auto samples = write_samples(store);
  Mount mount{store.root()};
  fs::create_directory(dir / "copy");
  const Result said = run({"bash", "-o", "pipefail", "-c", GetParam().line, "copy",
                           (mount / "models").string(), (dir / "copy").string()});
  ASSERT_EQ(said.status, 0) << said.err;
  for (const Sample& sample : samples) {
    const std::string model = "models/" + sample.view_name;
    const std::size_t manifest = said.out.find(model + "/manifests/" + sample.manifest_path);
    ASSERT_NE(manifest, std::string::npos) << said.out;
    std::size_t last_blob = said.out.rfind(model + "/blobs/sha256-");
    ASSERT_NE(last_blob, std::string::npos) << said.out;
    EXPECT_LT(last_blob, manifest) << said.out;
  }
}

constexpr Tool kTalkative[] = {
    {"RsyncArchive", R"(rsync -av "$1" "$2/")"},
    {"RsyncAsTaught", R"(rsync -rtOv --delay-updates "$1" "$2/")"},
    {"CpRecursive", R"(cp -rv "$1" "$2/")"},
    {"CpArchive", R"(cp -av "$1" "$2/")"},
    {"Tar", R"sh(tar -c -C "$(dirname "$1")" models | tar -t)sh"},
};
INSTANTIATE_TEST_SUITE_P(, TheOrderOf, ::testing::ValuesIn(kTalkative),
                         [](const auto& test) { return test.param.name; });

}  // namespace
}  // namespace ollamafs::test
