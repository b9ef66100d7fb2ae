// Models that lack something in the store. Each is shown, says what it lacks, harms no other, and
// no tool can copy it as if it were whole: its manifest never leaves the mount. What only looks
// wrong is shown as it is.
#include "tests/mounted/broken_model.h"

#include <gmock/gmock.h>
#include <unistd.h>

#include <algorithm>
#include <cctype>
#include <cerrno>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <iterator>
#include <ostream>
#include <string>
#include <vector>

#include "store/model/digest.h"
#include "tests/mounted/life.h"
#include "tests/mounted/mount.h"
#include "tests/mounted/shown.h"
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

constexpr const Tool& kRsync = kTools[0];
constexpr const Tool& kCp = kTools[2];

// ---- broken in the store ----

using Make = std::function<void(ThreeModels& store)>;
using Name = std::function<std::string(const ThreeModels& store)>;

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
  return [=](ThreeModels& store) {
    must({"sh", "-ec", line, "sh", store.blob().filename().string()},
         {.directory = store.blob().parent_path()});
  };
}

// Another layer in the place of the weights.
Make layer(const std::string& digest, std::int64_t size = 1) {
  return [=](ThreeModels& store) {
    store.bad.layers[0] = {kModelType, digest, size};
    store.rewrite();
  };
}

void name_the_weights_again_with_another_size(ThreeModels& store) {
  LayerSpec again = store.bad.layers[0];
  ++again.size;
  store.bad.layers.push_back(again);
  store.rewrite();
}

// The model as a v2 tag; the line of sh gets the manifest's blob as $1.
Make v2_and(const std::string& line) {
  return [=](ThreeModels& store) {
    fs::remove(store.builder.root() / "manifests/registry.ollama.ai/bad/one/v1");
    const Digest manifest = store.builder.v2("bad/one:v1", store.bad);
    must({"sh", "-ec", line, "sh", store.builder.blob_path(manifest).string()});
  };
}

std::vector<Fault> faults() {
  const Name blob = [](const ThreeModels& store) { return store.blob().filename().string(); };
  const Name manifest = [](const ThreeModels& store) {
    return Digest::of(store.bad.json()).blob_name();
  };
  const auto words = [](const std::string& text) {
    return [=](const ThreeModels&) { return text; };
  };
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

class ABrokenModel : public ::testing::Test {
 protected:
  // The tool fails, and what it has copied has no manifest of the broken model, and all of the
  // others.
  void expect_no_copy(const Mount& mount, const Tool& tool, const std::string& ssh = {}) {
    SCOPED_TRACE(tool.name);
    const Result alone = copy(tool, mount / "models/bad/one+v1", dir / tool.name / "alone", ssh);
    EXPECT_NE(alone.status, 0);
    EXPECT_THAT(manifests_in(dir / tool.name / "alone"), IsEmpty());

    const Result all = copy(tool, mount / "models", dir / tool.name / "all", ssh);
    EXPECT_NE(all.status, 0);
    EXPECT_THAT(manifests_in(dir / tool.name / "all/models"),
                UnorderedElementsAre(std::string{"good+v1/"} + kGoodManifest,
                                     std::string{"me/other+v1/"} + kOtherManifest));
    expect_good_copy(store, dir / tool.name / "all/models/good+v1");
  }

  TempDir dir;
  ThreeModels store{dir / "store"};
};

class ABlobThatIs : public ABrokenModel, public ::testing::WithParamInterface<Fault> {
 protected:
  ABlobThatIs() { GetParam().make(store); }
  [[nodiscard]] std::string named() const { return GetParam().named(store); }
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
  const std::string text = list(store.builder.root());
  EXPECT_EQ(count(text, "\n  bad/one:v1: "), 1U) << text;
  EXPECT_EQ(count(text, named()), 1U) << text;
  const auto listed = list_json(store.builder.root());
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
  for (const Tool& tool : kLocalTools) expect_no_copy(mount, tool);
}

// However it is broken, it is shown in the same way: one is enough for the slow tools.
class ABrokenModelIn : public ABrokenModel, public ::testing::WithParamInterface<Tool> {};

TEST_P(ABrokenModelIn, AToolIsAnErrorAndHasNoManifest) {
  fs::remove(store.blob());
  Mount mount{store.builder.root()};
  const SshServer server;
  expect_no_copy(mount, GetParam(), server.config());
}

INSTANTIATE_TEST_SUITE_P(, ABrokenModelIn, ::testing::ValuesIn(kTools),
                         [](const auto& test) { return test.param.name; });

// What a job that deletes had before stays: the listing fails behind the one name.
TEST_F(ABrokenModel, IsNotDeletedFromAMirror) {
  Mount mount{store.builder.root(), {.arguments = {"-o", "hold=0"}}};
  const std::string mirror = (dir / "mirror").string();
  const std::vector<std::string> job{"rsync", "-aH", "--delete", (mount / "models/").string(),
                                     mirror};
  ASSERT_EQ(run(job).status, 0);
  fs::rename(store.blob(), dir / "weights");
  ASSERT_TRUE(eventually([&] { return listing_fails_with(mount / "models/bad/one+v1") == EIO; }));
  EXPECT_EQ(run(job).status, 23);
  EXPECT_THAT(manifests_in(dir / "mirror"), SizeIs(3));
  EXPECT_TRUE(fs::exists(dir / "mirror/bad/one+v1/blobs" / store.blob().filename()));
  fs::rename(dir / "weights", store.blob());
  ASSERT_TRUE(eventually([&] { return listing_fails_with(mount / "models/bad/one+v1") == 0; }));
  EXPECT_EQ(run(job).status, 0);
}

// It has a size, so that no tool makes it without opening it.
TEST_F(ABrokenModel, HasOneFileThatCannotBeOpened) {
  fs::remove(store.blob());
  Mount mount{store.builder.root()};
  const fs::path model = mount / "models/bad/one+v1";
  const Result ls = run({"ls", model.string()});
  EXPECT_EQ(ls.out, "BROKEN\n");
  EXPECT_NE(ls.status, 0);
  EXPECT_GT(fs::file_size(model / "BROKEN"), 0u);
  EXPECT_EQ(opening_fails_with(model / "BROKEN"), EIO);
  EXPECT_EQ(opening_fails_with(model / "OTHER"), EIO);
  EXPECT_EQ(opening_fails_with(mount / "models/good+v1/BROKEN"), ENOENT);
  EXPECT_THAT(attribute(model, "state"), StartsWith("broken: "));
}

INSTANTIATE_TEST_SUITE_P(, ABlobThatIs, ::testing::ValuesIn(faults()),
                         [](const auto& test) { return test.param.name; });

// A user's own mount, of a blob that this user may not read.
TEST(ABlobOfMode0000, BreaksItsModelForAnOrdinaryUser) {
  const TempDir dir;
  ThreeModels store{dir / "store"};
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
  ThreeModels store{dir / "store"};
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
  ThreeModels store{dir / "store"};
  write_file(dir / "disk/other", "");
  fs::create_directory(dir / "disk2");
  fs::rename(store.blob(), dir / "disk2/weights");
  fs::create_symlink(dir / "disk2/weights", store.blob());
  Mount mount{store.builder.root(), {.arguments = {"-o", "follow=" + (dir / "disk").string()}}};
  expect_broken(mount, "leads out of the store", store.blob().filename().string());
}

TEST(ASymlinkOutOfTheStore, IsFollowedForAnOrdinaryUserWithOneWarning) {
  const TempDir dir;
  ThreeModels store{dir / "store"};
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

}  // namespace
}  // namespace ollamafs::test
