// Models that lack something. Each is shown, says what it lacks, harms no other, and no tool can
// copy it as if it were whole: its manifest never leaves the mount.
#include <dirent.h>
#include <fcntl.h>
#include <gmock/gmock.h>
#include <sys/stat.h>

#include <algorithm>
#include <cctype>
#include <cerrno>
#include <filesystem>
#include <functional>
#include <iterator>
#include <nlohmann/json.hpp>
#include <ostream>
#include <span>
#include <string>
#include <vector>

#include "store/digest.h"
#include "store/dir_stream.h"
#include "store/unique_fd.h"
#include "tests/mounted/mount.h"
#include "tests/mounted/ssh_server.h"
#include "tests/support/process.h"
#include "tests/support/store_builder.h"
#include "tests/support/temp_dir.h"

namespace ollamafs::test {
namespace {

namespace fs = std::filesystem;
using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;
using ::testing::SizeIs;
using ::testing::StartsWith;
using ::testing::UnorderedElementsAre;

// Copies the directory $1 into the directory $2 under its own name. $3: configuration of ssh.
struct Tool {
  const char* name;
  const char* line;
};

void PrintTo(const Tool& tool, std::ostream* out) {
  *out << tool.name;
}

constexpr Tool kTools[] = {
    {"RsyncArchive", R"(rsync -a "$1" "$2/")"},
    {"RsyncAsTaught", R"sh(rsync -rtO --delay-updates "$1/" "$2/$(basename "$1")/")sh"},
    {"CpRecursive", R"(cp -r "$1" "$2/")"},
    {"CpArchive", R"(cp -a "$1" "$2/")"},
    {"Tar", R"sh(tar -c -C "$(dirname "$1")" "$(basename "$1")" | tar -x -C "$2")sh"},
    {"Scp", R"(scp -F "$3" -r "$1" target:"$2/")"},
    {"OldScp", R"(scp -O -F "$3" -r "$1" target:"$2/")"},
};

constexpr const Tool& kRsync = kTools[0];
constexpr const Tool& kCp = kTools[2];
constexpr auto kLocalTools = std::span{kTools}.first<5>();

Result copy(const Tool& tool, const fs::path& from, const fs::path& into,
            const std::string& ssh = {}, const RunOptions& options = {}) {
  fs::create_directories(into);
  return run({"bash", "-o", "pipefail", "-c", tool.line, "copy", from.string(), into.string(), ssh},
             options);
}

// Every file that a copy holds below some manifests/.
std::vector<std::string> manifests_in(const fs::path& folder) {
  std::vector<std::string> manifests;
  if (!fs::exists(folder)) return manifests;
  for (const auto& entry : fs::recursive_directory_iterator{folder}) {
    const std::string path = entry.path().lexically_relative(folder).string();
    if (!entry.is_directory() && path.find("manifests/") != std::string::npos) {
      manifests.push_back(path);
    }
  }
  return manifests;
}

std::size_t count(const std::string& text, const std::string& what) {
  std::size_t found = 0;
  for (std::size_t at = 0; (at = text.find(what, at)) != std::string::npos; at += what.size()) {
    ++found;
  }
  return found;
}

// The errno of opening a directory or a file, 0 if that works.
int listing_error(const fs::path& path) {
  return DirStream{::opendir(path.c_str())} ? 0 : errno;
}
int opening_error(const fs::path& path) {
  return UniqueFd{::open(path.c_str(), O_RDONLY | O_CLOEXEC)} ? 0 : errno;
}

std::string attribute(const fs::path& path, const std::string& name) {
  return must({"getfattr", "--only-values", "-n", "user.ollamafs." + name, path.string()});
}

// A store with the model bad/one:v1, whose weights can be damaged, and two whole ones. Each of
// these shares template, params and config with it.
struct Store {
  explicit Store(const fs::path& root) : builder{root} {
    builder.v1("good:v1", good);
    builder.v2("me/other:v1", other);
    builder.v1("bad/one:v1", bad);
  }
  void rewrite() const { builder.v1("bad/one:v1", bad); }
  [[nodiscard]] LayerSpec& weights() { return bad.layers[0]; }
  [[nodiscard]] fs::path blob() const { return path_of(bad.layers[0]); }
  [[nodiscard]] fs::path path_of(const LayerSpec& layer) const {
    return builder.blob_path(Digest::parse(layer.digest).value());
  }

  StoreBuilder builder;
  ManifestSpec good = builder.text_model(1, 70'000);
  ManifestSpec other = builder.text_model(2, 80'000);
  ManifestSpec bad = builder.text_model(3, 90'000);
};

constexpr const char* kGoodManifest = "manifests/registry.ollama.ai/library/good/v1";
constexpr const char* kOtherManifest = "manifests/registry.ollama.ai/me/other/v1";
const std::vector<std::string> kBadFolders = {"",
                                              "blobs",
                                              "manifests",
                                              "manifests/registry.ollama.ai",
                                              "manifests/registry.ollama.ai/bad",
                                              "manifests/registry.ollama.ai/bad/one"};

// The copy of models/good+v1 holds its manifest and its blobs.
void expect_good_copy(const Store& store, const fs::path& folder) {
  EXPECT_EQ(read_file(folder / kGoodManifest), store.good.json());
  EXPECT_EQ(std::distance(fs::directory_iterator{folder / "blobs"}, {}), 4);
  for (const LayerSpec& layer : store.good.layers) {
    const fs::path blob = store.path_of(layer);
    EXPECT_EQ(read_file(folder / "blobs" / blob.filename()), read_file(blob));
  }
}

// What is shown, in the mount and by `list`, of a store in which bad/one:v1 is broken.
void expect_broken(Mount& mount, const std::string& state, const std::string& named) {
  const fs::path model = mount / "models/bad/one+v1";
  const fs::path manifest = model / "manifests/registry.ollama.ai/bad/one/v1";
  const fs::path archive = mount / "archives/bad/one+v1.tar";
  for (const std::string& below : kBadFolders) {
    EXPECT_EQ(listing_error(model / below), EIO) << below;
    EXPECT_TRUE(fs::is_directory(model / below)) << below;
  }
  for (const fs::path& file : {manifest, archive}) {
    EXPECT_EQ(opening_error(file), EIO) << file;
    EXPECT_TRUE(fs::is_regular_file(file)) << file;
  }
  for (const fs::path& path : {model, manifest, archive}) {
    EXPECT_THAT(attribute(path, "state"), StartsWith("broken: "));
    EXPECT_THAT(attribute(path, "state"), HasSubstr(state));
    EXPECT_THAT(attribute(path, "state"), HasSubstr(named));
  }
}

// ---- broken in the store ----

using Make = std::function<void(Store& store)>;
using Name = std::function<std::string(const Store& store)>;

// A way to break bad/one:v1, what is said about it, and what is named: each of them once.
struct Fault {
  const char* name;
  const char* state;
  Make make;
  Name named;
};

void PrintTo(const Fault& fault, std::ostream* out) {
  *out << fault.name;
}

// A line of sh that is run in blobs/; $1 is the blob.
Make by(const std::string& line) {
  return [=](Store& store) {
    must({"sh", "-ec", line, "sh", store.blob().filename().string()},
         {.directory = store.blob().parent_path()});
  };
}

// Another layer in the place of the weights.
Make layer(const std::string& digest, std::int64_t size = 1) {
  return [=](Store& store) {
    store.bad.layers[0] = {kModelType, digest, size};
    store.rewrite();
  };
}

void name_the_weights_again_with_another_size(Store& store) {
  LayerSpec again = store.bad.layers[0];
  ++again.size;
  store.bad.layers.push_back(again);
  store.rewrite();
}

// The model as a v2 tag; the line of sh gets the manifest's blob as $1.
Make v2_and(const std::string& line) {
  return [=](Store& store) {
    fs::remove(store.builder.root() / "manifests/registry.ollama.ai/bad/one/v1");
    const Digest manifest = store.builder.v2("bad/one:v1", store.bad);
    must({"sh", "-ec", line, "sh", store.builder.blob_path(manifest).string()});
  };
}

std::vector<Fault> faults() {
  const Name blob = [](const Store& store) { return store.blob().filename().string(); };
  const Name manifest = [](const Store& store) { return Digest::of(store.bad.json()).blob_name(); };
  const auto words = [](const std::string& text) { return [=](const Store&) { return text; }; };
  const std::string first = std::string{"layer 1 ("} + kModelType + ")";
  const std::string climbing = "sha256:../../../../../etc/passwd";
  const std::string zeros(64, '0');
  return {
      {"Missing", "is missing", by("rm $1"), blob},
      {"Short", "bytes, its manifest says", by("truncate -s -1 $1"), blob},
      {"Long", "bytes, its manifest says", by("truncate -s +1 $1"), blob},
      {"Empty", "has 0 bytes", by("truncate -s 0 $1"), blob},
      {"ADirectory", "is not a regular file", by("rm $1 && mkdir $1"), blob},
      {"AFifo", "is not a regular file", by("rm $1 && mkfifo $1"), blob},
      {"AWayOut", "leads out of the store", by("mv $1 ../../x && ln -s ../../x $1"), blob},
      {"AnAbsoluteWayOut", "leads out of the store",
       by("mv $1 ../../x && ln -s $(realpath ../../x) $1"), blob},
      {"AWayToNothing", "is missing", by("rm $1 && ln -s gone $1"), blob},
      {"AWayInCircles", "is a symlink that leads nowhere", by("rm $1 && ln -s $1 $1"), blob},
      {"NamedByAPath", "is not a SHA-256 digest", layer(climbing), words('"' + climbing + '"')},
      {"NamedByTooShortADigest", "is not a SHA-256 digest", layer("sha256:01234567"),
       words("\"sha256:01234567\"")},
      {"NamedByAnotherDigest", "is not a SHA-256 digest", layer("sha512:" + zeros),
       words("\"sha512:" + zeros + '"')},
      {"NotNamed", "is not a SHA-256 digest", layer(""), words(first)},
      {"OfLessThanNothing", "has a negative size, -1", layer("sha256:" + zeros, -1), words(first)},
      {"OfTwoSizes", "two sizes", name_the_weights_again_with_another_size, blob},
      {"ADamagedManifest", "is damaged", v2_and("echo >> $1"), manifest},
      {"AMissingManifest", "is missing", v2_and("rm $1"), manifest},
  };
}

class ABlobThatIs : public ::testing::TestWithParam<Fault> {
 protected:
  ABlobThatIs() { GetParam().make(store); }
  [[nodiscard]] std::string named() const { return GetParam().named(store); }

  TempDir dir;
  Store store{dir / "store"};
};

TEST_P(ABlobThatIs, BreaksItsModelAndNoOther) {
  Mount mount{store.builder.root()};
  expect_broken(mount, GetParam().state, named());
  ASSERT_EQ(copy(kCp, mount / "models/good+v1", dir / "copy").status, 0);
  expect_good_copy(store, dir / "copy/good+v1");
  EXPECT_EQ(attribute(mount / "models/me/other+v1", "state"), "whole");
}

TEST_P(ABlobThatIs, IsNamedOnceWithItsModelInTheLog) {
  Mount mount{store.builder.root()};
  EXPECT_EQ(count(mount.log(), "warning: bad/one:v1 is broken: "), 1U) << mount.log();
  EXPECT_EQ(count(mount.log(), "warning"), 1U) << mount.log();
  EXPECT_EQ(count(mount.log(), named()), 1U) << mount.log();
  EXPECT_EQ(count(mount.log(), GetParam().state), 1U) << mount.log();
}

TEST_P(ABlobThatIs, IsNamedOnceWithItsModelInTheList) {
  const std::string root = store.builder.root().string();
  const std::string text = must({binary(), "list", "--store", root});
  EXPECT_EQ(count(text, "\n  bad/one:v1: "), 1U) << text;
  EXPECT_EQ(count(text, named()), 1U) << text;
  const auto listed = nlohmann::json::parse(must({binary(), "list", "--json", "--store", root}));
  EXPECT_THAT(listed["problems"], IsEmpty());
  ASSERT_THAT(listed["models"], SizeIs(3));
  for (const auto& model : listed["models"]) {
    const bool bad = model["name"] == "bad/one:v1";
    EXPECT_EQ(model["state"], bad ? "broken" : "whole") << model;
    ASSERT_THAT(model["faults"], SizeIs(bad ? 1 : 0));
    EXPECT_THAT(model["faults"].dump(), HasSubstr(bad ? GetParam().state : ""));
  }
}

TEST_P(ABlobThatIs, KeepsEveryToolFromCopyingTheManifest) {
  Mount mount{store.builder.root()};
  const SshServer server;
  for (const Tool& tool : kTools) {
    SCOPED_TRACE(tool.name);
    const Result alone =
        copy(tool, mount / "models/bad/one+v1", dir / tool.name / "alone", server.config());
    EXPECT_NE(alone.status, 0);
    EXPECT_THAT(manifests_in(dir / tool.name / "alone"), IsEmpty());

    const Result all = copy(tool, mount / "models", dir / tool.name / "all", server.config());
    EXPECT_NE(all.status, 0);
    EXPECT_THAT(manifests_in(dir / tool.name / "all/models"),
                UnorderedElementsAre(std::string{"good+v1/"} + kGoodManifest,
                                     std::string{"me/other+v1/"} + kOtherManifest));
    expect_good_copy(store, dir / tool.name / "all/models/good+v1");
  }
}

INSTANTIATE_TEST_SUITE_P(, ABlobThatIs, ::testing::ValuesIn(faults()),
                         [](const auto& test) { return test.param.name; });

// A user's own mount, of a blob that this user may not read.
TEST(ABlobOfMode0000, BreaksItsModelForAnOrdinaryUser) {
  const TempDir dir;
  Store store{dir / "store"};
  fs::permissions(store.blob(), fs::perms::none);
  const User nobody = User::named("nobody");
  const RunOptions as_nobody{.as = nobody, .directory = "/"};
  Mount mount{store.builder.root(), {.run = as_nobody}};
  EXPECT_EQ(count(mount.log(), store.blob().filename().string()), 1U) << mount.log();
  const Result state = run({"getfattr", "--only-values", "-n", "user.ollamafs.state",
                            (mount / "models/bad/one+v1").string()},
                           as_nobody);
  EXPECT_THAT(state.out, AllOf(StartsWith("broken: "), HasSubstr("Permission denied")));
  for (const Tool& tool : kLocalTools) {
    SCOPED_TRACE(tool.name);
    const fs::path into = dir / tool.name;
    fs::create_directory(into);
    ASSERT_EQ(::chown(into.c_str(), nobody.uid, nobody.gid), 0);
    EXPECT_NE(copy(tool, mount / "models", into, {}, as_nobody).status, 0);
    EXPECT_THAT(manifests_in(into / "models"), SizeIs(2));
    expect_good_copy(store, into / "models/good+v1");
  }
}

// ---- what looks wrong and is not ----

class WholeAllTheSame : public ::testing::Test {
 protected:
  // models/bad/one+v1 can be copied, has these bytes as weights, and nothing is said against it.
  void expect_whole(const Mount::Options& options = {}) {
    Mount mount{store.builder.root(), options};
    EXPECT_THAT(mount.log(), Not(HasSubstr("warning")));
    ASSERT_EQ(copy(kRsync, mount / "models/bad/one+v1", dir / "copy").status, 0);
    const fs::path folder = dir / "copy/one+v1";
    EXPECT_EQ(read_file(folder / "manifests/registry.ollama.ai/bad/one/v1"), store.bad.json());
    EXPECT_EQ(std::distance(fs::directory_iterator{folder / "blobs"}, {}), 4);
    EXPECT_TRUE(fs::is_regular_file(fs::symlink_status(folder / "blobs" / blob_name)));
    EXPECT_EQ(read_file(folder / "blobs" / blob_name), weights);
  }

  TempDir dir;
  Store store{dir / "store"};
  std::string blob_name = store.blob().filename().string();
  std::string weights = read_file(store.blob());
};

TEST_F(WholeAllTheSame, ADigestInUpperCase) {
  std::string digest = store.weights().digest;
  std::transform(digest.begin() + 7, digest.end(), digest.begin() + 7, ::toupper);
  store.weights().digest = digest;
  store.rewrite();
  expect_whole();
}

TEST_F(WholeAllTheSame, ABlobThatIsNamedTwice) {
  store.bad.layers.push_back(store.weights());
  store.rewrite();
  expect_whole();
}

TEST_F(WholeAllTheSame, ASymlinkByAnAbsolutePathIntoTheStore) {
  fs::create_directory(store.builder.root() / "disk");
  fs::rename(store.blob(), store.builder.root() / "disk/weights");
  fs::create_symlink(store.builder.root() / "disk/weights", store.blob());
  expect_whole();
}

TEST_F(WholeAllTheSame, ASymlinkIntoADirectoryThatMayBeFollowed) {
  fs::create_directory(dir / "disk");
  fs::rename(store.blob(), dir / "disk/weights");
  fs::create_symlink(dir / "disk/weights", store.blob());
  expect_whole({.arguments = {"-o", "follow=" + (dir / "disk").string()}});
}

TEST_F(WholeAllTheSame, AllBlobsBehindASymlinkThatMayBeFollowed) {
  fs::rename(store.builder.root() / "blobs", dir / "disk");
  fs::create_directory_symlink(dir / "disk", store.builder.root() / "blobs");
  expect_whole({.arguments = {"-o", "follow=" + (dir / "disk").string()}});
}

TEST(ASymlinkOutOfTheStore, IsNotFollowedForADirectoryWithALikeName) {
  const TempDir dir;
  Store store{dir / "store"};
  write_file(dir / "disk/other", "");
  fs::create_directory(dir / "disk2");
  fs::rename(store.blob(), dir / "disk2/weights");
  fs::create_symlink(dir / "disk2/weights", store.blob());
  Mount mount{store.builder.root(), {.arguments = {"-o", "follow=" + (dir / "disk").string()}}};
  expect_broken(mount, "leads out of the store", store.blob().filename().string());
}

TEST(ASymlinkOutOfTheStore, IsFollowedForAnOrdinaryUserWithOneWarning) {
  const TempDir dir;
  Store store{dir / "store"};
  int number = 0;
  for (const LayerSpec& layer : store.bad.layers) {
    const fs::path target = dir / "disk" / std::to_string(++number);
    fs::create_directories(target.parent_path());
    fs::rename(store.path_of(layer), target);
    fs::create_symlink(target, store.path_of(layer));
  }
  const RunOptions as_nobody{.as = User::named("nobody"), .directory = "/"};
  Mount mount{store.builder.root(), {.run = as_nobody}};
  EXPECT_EQ(count(mount.log(), "warning"), 1U) << mount.log();
  EXPECT_EQ(count(mount.log(), "out of the store"), 1U) << mount.log();
  fs::create_directory(dir / "copy");
  fs::permissions(dir / "copy", fs::perms::all);
  ASSERT_EQ(copy(kCp, mount / "models", dir / "copy", {}, as_nobody).status, 0);
  expect_good_copy(store, dir / "copy/models/good+v1");
}

// ---- broken while it is mounted ----

class ABlobThatFails : public ::testing::Test {
 protected:
  // After the failure the model is as if it had been broken from the start, and it is said once.
  void expect_broken_from_now_on(Mount& mount) {
    expect_broken(mount, "could not be read", store.blob().filename().string());
    EXPECT_EQ(count(mount.log(), store.blob().filename().string()), 1U) << mount.log();
    EXPECT_EQ(count(mount.log(), "error: "), 1U) << mount.log();
    EXPECT_EQ(attribute(mount / "models/good+v1", "state"), "whole");
  }

  TempDir dir;
  Store store{dir / "store"};
};

class ABlobThatFailsIn : public ABlobThatFails, public ::testing::WithParamInterface<Tool> {};

TEST_P(ABlobThatFailsIn, AToolKeepsTheManifestFromIt) {
  const SshServer server;
  Mount mount{store.builder.root()};
  ASSERT_EQ(attribute(mount / "models/bad/one+v1", "state"), "whole");
  fs::resize_file(store.blob(), fs::file_size(store.blob()) - 1);
  const Result result = copy(GetParam(), mount / "models", dir / "copy", server.config());
  EXPECT_NE(result.status, 0);
  EXPECT_THAT(manifests_in(dir / "copy/models"), SizeIs(2));
  expect_good_copy(store, dir / "copy/models/good+v1");
  expect_broken_from_now_on(mount);
}

INSTANTIATE_TEST_SUITE_P(, ABlobThatFailsIn, ::testing::ValuesIn(kTools),
                         [](const auto& test) { return test.param.name; });

TEST_F(ABlobThatFails, IsOneThatWasRemoved) {
  Mount mount{store.builder.root()};
  fs::remove(store.blob());
  EXPECT_EQ(opening_error(mount / "models/bad/one+v1/blobs" / store.blob().filename()), EIO);
  expect_broken_from_now_on(mount);
}

TEST_F(ABlobThatFails, IsOneThatIsAnotherFileNow) {
  Mount mount{store.builder.root()};
  write_file(dir / "new", read_file(store.blob()));
  fs::rename(dir / "new", store.blob());
  EXPECT_EQ(opening_error(mount / "models/bad/one+v1/blobs" / store.blob().filename()), EIO);
  expect_broken_from_now_on(mount);
}

TEST_F(ABlobThatFails, BreaksAllWhoNameIt) {
  const fs::path shared = store.path_of(store.bad.layers[1]);
  Mount mount{store.builder.root()};
  fs::resize_file(shared, 1);
  EXPECT_EQ(opening_error(mount / "archives/good+v1.tar"), EIO);
  expect_broken(mount, "could not be read", shared.filename().string());
  EXPECT_EQ(listing_error(mount / "models/good+v1"), EIO);
  EXPECT_EQ(listing_error(mount / "models/me/other+v1"), EIO);
  EXPECT_EQ(count(mount.log(), shared.filename().string()), 1U) << mount.log();
}

// The blob loses its last byte when the tool has it open and has read a part of it: what the tool
// writes goes by way of a reader that takes 3 MB, cuts the blob, and takes the rest.
class ABlobThatFailsWhileItIsRead : public ABlobThatFails {
 protected:
  ABlobThatFailsWhileItIsRead() {
    store.weights() = store.builder.sparse_layer(kModelType, 64 << 20, 5);
    store.rewrite();
  }

  // $1: the model's directory; $2: where the copy goes; $3: the blob
  void expect_failure_of(const std::string& line) {
    Mount mount{store.builder.root()};
    const Result result =
        run({"bash", "-o", "pipefail", "-c", line, "copy", (mount / "models/bad/one+v1").string(),
             (dir / "copy").string(), store.blob().string()});
    EXPECT_NE(result.status, 0);
    EXPECT_THAT(result.err, HasSubstr("Input/output error"));
    EXPECT_EQ(fs::file_size(store.blob()), (64U << 20) - 1);
    EXPECT_THAT(manifests_in(dir / "copy"), IsEmpty());
    expect_broken_from_now_on(mount);
  }
};

TEST_F(ABlobThatFailsWhileItIsRead, ByTar) {
  expect_failure_of(R"sh(
    mkdir "$2"
    tar -c -C "$1" . | { dd bs=64K count=3000000 iflag=count_bytes status=none; truncate -s -1 "$3"; cat; } | tar -x -C "$2")sh");
}

// cp writes into what is there: a FIFO in the place of the blob.
TEST_F(ABlobThatFailsWhileItIsRead, ByCp) {
  expect_failure_of(R"sh(
    mkdir -p "$2/blobs"
    fifo="$2/blobs/$(basename "$3")"
    mkfifo "$fifo"
    { dd bs=64K count=3000000 iflag=count_bytes status=none; truncate -s -1 "$3"; cat; } < "$fifo" > /dev/null &
    cp -r "$1/." "$2"
    status=$?
    wait
    exit $status)sh");
}

// rsync's way to the other machine leads through the reader.
TEST_F(ABlobThatFailsWhileItIsRead, ByRsync) {
  expect_failure_of(R"sh(
    export blob="$3"
    cut='dd bs=64K count=3000000 iflag=count_bytes status=none; truncate -s -1 "$blob"; cat'
    rsync -a -e "bash -c 'shift; exec \"\$@\" < <($cut)' way" "$1/" "target:$2/")sh");
}

}  // namespace
}  // namespace ollamafs::test
