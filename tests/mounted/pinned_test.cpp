// A model changes while a tool copies it: whatever changes between whichever two steps of the copy,
// the tool fails or has a version as it was, and it never has a manifest without its blobs.
#include <fcntl.h>
#include <gmock/gmock.h>
#include <unistd.h>

#include <filesystem>
#include <nlohmann/json.hpp>
#include <string>
#include <thread>
#include <tuple>
#include <utility>

#include "store/base/unique_fd.h"
#include "tests/mounted/broken_model.h"
#include "tests/mounted/mount.h"
#include "tests/mounted/shown.h"
#include "tests/mounted/ssh_server.h"
#include "tests/mounted/stepwise_copy.h"
#include "tests/mounted/walk.h"
#include "tests/support/process.h"
#include "tests/support/store_builder.h"
#include "tests/support/temp_dir.h"

namespace ollamafs::test {
namespace {

namespace fs = std::filesystem;
using ::testing::AnyOf;

// What may happen to a model. Both versions share their weights.
enum class Change { adds_a_blob, drops_a_blob, is_another, is_removed, is_replaced };

constexpr Change kChanges[] = {Change::adds_a_blob, Change::drops_a_blob, Change::is_another,
                               Change::is_removed, Change::is_replaced};

class Pinned : public ::testing::Test {
 protected:
  Pinned() { reset(); }

  // The first version, with nothing in use any more.
  void reset() {
    store.v1("some:model", first);
    store.v1("marker:a", small(0));
  }

  [[nodiscard]] ManifestSpec small(std::uint64_t seed) const {
    ManifestSpec manifest;
    manifest.layers.push_back(store.layer(kTemplateType, "marker " + std::to_string(seed)));
    return manifest;
  }

  [[nodiscard]] ManifestSpec version(std::size_t layers, const std::string& extra = {}) const {
    ManifestSpec manifest = store.text_model(1, 300'000);
    for (std::size_t i = 0; i < layers; ++i)
      manifest.layers.push_back(store.layer(kLicenseType, "license " + std::to_string(i)));
    if (!extra.empty()) manifest.layers.push_back(store.layer(kSystemType, extra));
    return manifest;
  }

  // Returns when it is shown, as far as anything of it will be.
  void make(Change change, const Mount& mount) {
    const fs::path tag = store.v1_path(*ModelName::parse("some:model"));
    switch (change) {
      case Change::adds_a_blob:
        store.v1("some:model", version(3));
        break;
      case Change::drops_a_blob:
        store.v1("some:model", version(1));
        break;
      case Change::is_another:
        store.v1("some:model", version(0, "You are another."));
        break;
      case Change::is_removed:
        fs::remove(tag);
        break;
      case Change::is_replaced:
        fs::remove(tag);
        show_marker(mount);
        store.v1("some:model", version(0, "You are another."));
        break;
    }
    show_marker(mount);
  }

  // A change that comes after another is shown with it or after it.
  void show_marker(const Mount& mount) {
    const std::string name = "marker:" + std::to_string(++markers);
    store.v1(name, small(markers));
    ASSERT_TRUE(eventually(
        [&] { return names_in(mount / "models").contains("marker+" + std::to_string(markers)); }));
  }

  // The blobs of a version, by name.
  [[nodiscard]] StepwiseCopy::Blobs blobs_of(const ManifestSpec& version) const {
    StepwiseCopy::Blobs blobs;
    for (const LayerSpec& layer : version.layers)
      blobs[digest_of(layer).blob_name()] = read_file(store.blob_path(digest_of(layer)));
    const Digest config = digest_of(*version.config);
    blobs[config.blob_name()] = read_file(store.blob_path(config));
    return blobs;
  }

  TempDir dir;
  StoreBuilder store{dir / "store"};
  ManifestSpec first = version(2);
  unsigned markers = 0;
};

// ---- step by step ----

// How a tool copies: by paths or by descriptors, into an empty folder or into one that has the
// first version.
struct Copier {
  const char* name;
  bool by_descriptor;
  bool updates;
};

constexpr Copier kCopiers[] = {{"ByPath", false, false},
                               {"ByDescriptor", true, false},
                               {"ByPathUpdating", false, true},
                               {"ByDescriptorUpdating", true, true}};

class PinnedSteps : public Pinned,
                    public ::testing::WithParamInterface<std::tuple<Change, Copier>> {};

std::string name_of(Change change) {
  constexpr const char* kNames[] = {"AddsABlob", "DropsABlob", "IsAnother", "IsRemoved",
                                    "IsReplaced"};
  return kNames[static_cast<int>(change)];
}

INSTANTIATE_TEST_SUITE_P(, PinnedSteps,
                         ::testing::Combine(::testing::ValuesIn(kChanges),
                                            ::testing::ValuesIn(kCopiers)),
                         [](const auto& test) {
                           return name_of(std::get<0>(test.param)) + std::get<1>(test.param).name;
                         });

TEST_P(PinnedSteps, GiveNoMixtureWhereverTheModelChanges) {
  const auto& [change, copier] = GetParam();
  StepwiseCopy::Options options{.by_descriptor = copier.by_descriptor};
  if (copier.updates) options.has = blobs_of(first);
  const auto undisturbed = [](unsigned) {};
  const unsigned steps =
      StepwiseCopy{Mount{store.root()} / "models/some+model", undisturbed, options}.steps();
  EXPECT_GT(steps, copier.updates ? 10U : 15U);
  unsigned whole = 0;
  for (unsigned when = 0; when < steps; ++when) {
    SCOPED_TRACE(when);
    reset();
    Mount mount{store.root()};
    const StepwiseCopy copy{mount / "models/some+model",
                            [&, change = change](unsigned step) {
                              if (step == when) make(change, mount);
                            },
                            options};
    EXPECT_EQ(copy.fault(), "");
    if (!copy.failed()) ++whole;
    for (unsigned i = 1; i <= markers; ++i)
      fs::remove(store.v1_path(*ModelName::parse("marker:" + std::to_string(i))));
    markers = 0;
  }
  // A tool that opens blobs goes on with the version that it began with; one that opens none is
  // told.
  if (!copier.updates) {
    EXPECT_GT(whole, steps / 2);
  }
}

// So many steps after it goes the model is there again, as it was.
class PinnedReturn : public Pinned, public ::testing::WithParamInterface<unsigned> {};

INSTANTIATE_TEST_SUITE_P(After, PinnedReturn, ::testing::Values(1, 3, 6, 10, 14),
                         [](const auto& test) { return std::to_string(test.param) + "Steps"; });

TEST_P(PinnedReturn, GivesNoManifestWithoutItsBlobs) {
  const unsigned steps = StepwiseCopy{Mount{store.root()} / "models/some+model"}.steps();
  unsigned failed = 0;
  for (unsigned when = 0; when + GetParam() < steps; ++when) {
    SCOPED_TRACE(when);
    Mount mount{store.root()};
    const StepwiseCopy copy{mount / "models/some+model", [&](unsigned step) {
                              if (step == when) make(Change::is_removed, mount);
                              if (step != when + GetParam()) return;
                              store.v1("some:model", first);
                              show_marker(mount);
                            }};
    EXPECT_EQ(copy.fault(), "");
    if (copy.failed()) ++failed;
    reset();
    show_marker(mount);
    EXPECT_FALSE(StepwiseCopy{mount / "models/some+model"}.failed()) << "nor later";
  }
  EXPECT_GT(failed, 0u);
}

// ---- by real tools, at any moment ----

class PinnedUnder : public Pinned, public ::testing::WithParamInterface<Tool> {};

INSTANTIATE_TEST_SUITE_P(, PinnedUnder, ::testing::ValuesIn(kTools),
                         [](const auto& test) { return test.param.name; });

TEST_P(PinnedUnder, GetsOneVersionOrFails) {
  const SshServer server;
  // A tool with a process for each file has its version between two of them for as long as it is
  // held.
  const bool of_many_processes = std::string_view{GetParam().name} == "Gio";
  Mount mount{store.root(), {.arguments = {"-o", of_many_processes ? "hold=20" : "hold=1"}}};
  unsigned sound = 0;
  // Once: Ollama does not write blobs again that are there.
  const ManifestSpec another = version(0, "You are another.");
  for (unsigned round = 0; round < 8; ++round) {
    SCOPED_TRACE(round);
    const bool all = round % 2 == 1;  // of models/, not of the model alone
    const fs::path into = dir / ("copy" + std::to_string(round));
    std::thread ollama{[&] {
      ::usleep(round * 15'000);
      store.v1("some:model", round % 4 < 2 ? another : first);
    }};
    const Result result =
        copy(GetParam(), mount / (all ? "models" : "models/some+model"), into, server.config());
    ollama.join();
    for (const std::string& path : manifests_in(into)) {
      if (path.find("some") == path.npos) continue;
      const std::string json = read_file(into / path);
      EXPECT_THAT(json, AnyOf(first.json(), another.json()));
      const fs::path model = into / path.substr(0, path.find("manifests"));
      const auto manifest = nlohmann::json::parse(json);
      for (const auto& layer : manifest.at("layers")) {
        const Digest digest = Digest::parse(layer.at("digest").get<std::string>()).value();
        const fs::path blob = model / "blobs" / digest.blob_name();
        ASSERT_TRUE(fs::exists(blob)) << blob;
        EXPECT_EQ(Digest::of(read_file(blob)), digest);
      }
      if (result.status == 0) ++sound;
    }
    if (result.status == 0) {
      EXPECT_FALSE(manifests_in(into).empty());
    }
  }
  EXPECT_GT(sound, 0U);
}

// Waits behind every listing, so that a model can change before the tool comes to the next.
constexpr const char* kSlowly =
    "strace -f -qq -o /dev/null -e trace=getdents64 -e inject=getdents64:delay_exit=60000";

// Tools that pass over what the target has already: they open the new blobs only.
constexpr Tool kUpdaters[] = {
    {"CpUpdate", R"($3 cp -ru "$1" "$2/")"},
    {"RsyncUpdate", R"($3 rsync -rtu "$1" "$2/")"},
    {"RsyncSizeOnly", R"($3 rsync -r --size-only "$1" "$2/")"},
    {"Unison", R"sh(export UNISON="$2.unison" && mkdir -p "$UNISON" &&
        $3 unison -batch -silent -force "$1" -fastcheck true -perms 0 "$1" "$2/$(basename "$1")")sh"},
    // Goes by names alone.
    {"Skipping", R"sh($3 python3 -c 'import os, shutil, sys
source, target = sys.argv[1], os.path.join(sys.argv[2], os.path.basename(sys.argv[1]))
def copy(folder):
  os.makedirs(os.path.join(target, folder), exist_ok=True)
  names = sorted(os.listdir(os.path.join(source, folder)))
  for name in names:
    path = os.path.join(folder, name)
    here, there = os.path.join(source, path), os.path.join(target, path)
    if os.path.isdir(here): copy(path)
    elif folder != "blobs" or not os.path.exists(there): shutil.copyfile(here, there)
copy("")' "$1" "$2")sh"},
};

class PinnedUpdate : public Pinned, public ::testing::WithParamInterface<Tool> {
 protected:
  // What is wrong with the manifest at the target, if one is there; empty: all is as it should be.
  [[nodiscard]] std::string fault_of(const fs::path& model) const {
    const fs::path manifest = model / "manifests/registry.ollama.ai/library/some/model";
    if (!fs::exists(manifest)) return "no manifest";
    const auto json = nlohmann::json::parse(read_file(manifest));
    for (const auto& layer : json.at("layers")) {
      const Digest digest = Digest::parse(layer.at("digest").get<std::string>()).value();
      const fs::path blob = model / "blobs" / digest.blob_name();
      if (!fs::exists(blob)) return "without " + digest.blob_name();
      if (Digest::of(read_file(blob)) != digest) return "damaged " + digest.blob_name();
    }
    return "";
  }
};

INSTANTIATE_TEST_SUITE_P(, PinnedUpdate, ::testing::ValuesIn(kUpdaters),
                         [](const auto& test) { return test.param.name; });

// Without a hold, as if the first copy had been long ago.
TEST_P(PinnedUpdate, LeavesAWholeModelAtTheTargetWhateverChangesMeanwhile) {
  unsigned refused = 0;
  for (unsigned round = 0; round < 8; ++round) {
    SCOPED_TRACE(round);
    reset();
    Mount mount{store.root(), {.arguments = {"-o", "hold=0"}}};
    const fs::path into = dir / ("copy" + std::to_string(round));
    ASSERT_EQ(copy(GetParam(), mount / "models/some+model", into).status, 0);
    ASSERT_EQ(fault_of(into / "some+model"), "");
    std::thread ollama{[&] {
      ::usleep(round * 60'000);
      store.v1("some:model", version(3, "round " + std::to_string(round)));
      set_mtime(store.v1_path(*ModelName::parse("some:model")), ::time(nullptr) + 10);
    }};
    const Result result = copy(GetParam(), mount / "models/some+model", into, kSlowly);
    ollama.join();
    EXPECT_EQ(fault_of(into / "some+model"), "") << result.status << result.err;
    if (result.status != 0) ++refused;
    show_marker(mount);
    EXPECT_EQ(copy(GetParam(), mount / "models/some+model", into).status, 0) << "once more";
    EXPECT_EQ(fault_of(into / "some+model"), "");
  }
  RecordProperty("copies that failed", std::to_string(refused));
}

// ---- how long ----

TEST_F(Pinned, ModelsStayAsTheyAreUntilTheirFilesWereClosedForAWhile) {
  Mount mount{store.root(), {.arguments = {"-o", "hold=2"}}};
  const fs::path model = mount / "models/some+model";
  const fs::path blob = model / "blobs" / digest_of(first.layers[0]).blob_name();
  const fs::path manifest = model / "manifests/registry.ollama.ai/library/some/model";
  UniqueFd file{::open(blob.c_str(), O_RDONLY | O_CLOEXEC)};
  fs::remove(store.v1_path(*ModelName::parse("some:model")));
  for (const LayerSpec& layer : first.layers) fs::remove(store.blob_path(digest_of(layer)));
  show_marker(mount);
  EXPECT_EQ(read_file(manifest), first.json());
  for (const LayerSpec& layer : first.layers) {
    EXPECT_EQ(Digest::of(read_file(model / "blobs" / digest_of(layer).blob_name())),
              digest_of(layer));
  }
  file = {};
  EXPECT_EQ(read_file(manifest), first.json());
  EXPECT_TRUE(eventually([&] { return !names_in(mount / "models").contains("some+model"); }));
}

// A program that lives long, as a file manager, tries again.
TEST_F(Pinned, AToolThatIsRefusedGetsTheNewVersionWhenItBeginsAnew) {
  Mount mount{store.root()};
  const fs::path model = mount / "models/some+model";
  const fs::path manifest = model / "manifests/registry.ollama.ai/library/some/model";
  const auto listed = names_in(model / "blobs");
  make(Change::is_another, mount);
  for (const std::string& name : listed) (void)opening_fails_with(model / "blobs" / name);
  for (int i = 0; i < 3; ++i) EXPECT_EQ(opening_fails_with(manifest), EIO);
  const StepwiseCopy copy{model};
  EXPECT_FALSE(copy.failed());
  EXPECT_EQ(copy.fault(), "");
}

// However long the process was idle: rsync lists many models at first, and may come to one long
// after it changed.
TEST_F(Pinned, ModelsThatChangedAreGuardedForAsLongAsAProcessLives) {
  Mount mount{store.root(), {.arguments = {"-o", "hold=1"}}};
  const fs::path blobs = mount / "models/some+model/blobs";
  const fs::path manifest =
      mount / "models/some+model/manifests/registry.ollama.ai/library/some/model";
  const auto listed = names_in(blobs);
  ASSERT_THAT(listed, ::testing::SizeIs(first.layers.size() + 1));
  make(Change::adds_a_blob, mount);
  ::sleep(2);
  for (const std::string& name : listed) (void)opening_fails_with(blobs / name);
  EXPECT_EQ(opening_fails_with(manifest), EIO);
  EXPECT_EQ(run({"cat", manifest.string()}).status, 0) << "which began after the change";
  ::sleep(3);
  EXPECT_EQ(opening_fails_with(manifest), EIO);
  (void)names_in(blobs);
  EXPECT_EQ(opening_fails_with(manifest), 0);
}

// ---- what can be pinned ----

// Ollama removes the old weights with the old manifest: nobody can have the old version any more.
TEST_F(Pinned, AVersionWhoseBlobsAreGoneIsNotHeldAgainstTheNewOne) {
  for (const bool opens_weights : {false, true}) {
    ManifestSpec one = store.text_model(7, 300'000), two = store.text_model(8, 300'000);
    two.config = store.layer(kConfigType, "{\"architecture\":\"amd64\"}");
    store.v1("some:model", one);
    Mount mount{store.root()};
    const fs::path model = mount / "models/some+model";
    (void)names_in(model / "blobs");
    const fs::path weights = digest_of(one.layers[0]).blob_name();
    store.v1("some:model", two);
    fs::remove(store.blob_path(digest_of(one.layers[0])));
    (void)run({"cat", (model / "blobs" / digest_of(*one.config).blob_name()).string()});
    if (opens_weights) (void)run({"cat", (model / "blobs" / weights).string()});
    EXPECT_TRUE(eventually([&] {
      const fs::path into = dir / ("copy" + std::to_string(opens_weights));
      fs::remove_all(into);
      const Result result = copy(kTools[2], model, into);
      const fs::path manifest = into / "some+model/manifests/registry.ollama.ai/library/some/model";
      return result.status == 0 && read_file(manifest) == two.json();
    }));
    fs::remove_all(store.root() / "manifests");
    reset();
  }
}

// A copy is made, the tag is created anew, and a copy is made again: that is the new one.
TEST_F(Pinned, ASecondCopyIsOfTheVersionThatTheStoreHas) {
  for (const Tool& tool : {kTools[0], kTools[1], kTools[2], kTools[4]}) {
    SCOPED_TRACE(tool.name);
    reset();
    Mount mount{store.root()};
    const fs::path from = mount / "models/some+model";
    const auto copied = [&](const std::string& into) {
      const Result result = copy(tool, from, dir / tool.name / into);
      EXPECT_EQ(result.status, 0) << result.err;
      const fs::path manifest =
          dir / tool.name / into / "some+model/manifests/registry.ollama.ai/library/some/model";
      return fs::exists(manifest) ? read_file(manifest) : "";
    };
    EXPECT_EQ(copied("first"), first.json());
    make(Change::is_another, mount);
    EXPECT_EQ(copied("second"), version(0, "You are another.").json());
    fs::remove(store.v1_path(*ModelName::parse("some:model")));
    show_marker(mount);
    EXPECT_NE(copy(tool, from, dir / tool.name / "third").status, 0) << "it is removed";
    EXPECT_FALSE(fs::exists(dir / tool.name / "third/some+model/manifests"));
  }
}

// A script that copies file by file, a process each, keeps the version whose names it has.
TEST_F(Pinned, AScriptThatListsNothingInBetweenKeepsItsVersion) {
  Mount mount{store.root()};
  const fs::path model = mount / "models/some+model";
  const auto blobs = names_in(model / "blobs");
  bool changed = false;
  for (const std::string& name : blobs) {
    EXPECT_EQ(
        run({"cmp", (model / "blobs" / name).string(), (store.root() / "blobs" / name).string()})
            .status,
        0);
    if (!std::exchange(changed, true)) make(Change::is_another, mount);
  }
  const Result manifest =
      run({"cat", (model / "manifests/registry.ollama.ai/library/some/model").string()});
  EXPECT_EQ(manifest.status, 0);
  EXPECT_EQ(manifest.out, first.json());
}

// Not even while a copy of the directory keeps that.
TEST_F(Pinned, AnArchiveIsNotPinned) {
  Mount mount{store.root()};
  const fs::path archive = mount / "archives/some+model.tar";
  const fs::path blobs = mount / "models/some+model/blobs";
  EXPECT_EQ(run({"cat", archive.string()}).status, 0);
  const UniqueFd copying{
      ::open((blobs / digest_of(first.layers[0]).blob_name()).c_str(), O_RDONLY | O_CLOEXEC)};
  make(Change::is_another, mount);
  EXPECT_EQ(attribute(mount / "models/some+model", "digest"), Digest::of(first.json()).to_string());
  const fs::path copied = dir / "copied.tar";
  EXPECT_EQ(run({"cp", archive.string(), copied.string()}).status, 0);
  EXPECT_NE(
      run({"tar", "-xOf", copied.string(), "manifests/registry.ollama.ai/library/some/model"}).out,
      first.json());
  EXPECT_EQ(
      run({"tar", "-xOf", copied.string(), "manifests/registry.ollama.ai/library/some/model"}).out,
      version(0, "You are another.").json());
  EXPECT_EQ(attribute(archive, "digest"),
            Digest::of(version(0, "You are another.").json()).to_string());
}

TEST_F(Pinned, AnArchiveThatIsOpenIsReadToItsEnd) {
  Mount mount{store.root()};
  const std::string whole = read_file(mount / "archives/some+model.tar");
  UniqueFd file{::open((mount / "archives/some+model.tar").c_str(), O_RDONLY | O_CLOEXEC)};
  make(Change::is_removed, mount);
  for (const LayerSpec& layer : first.layers) fs::remove(store.blob_path(digest_of(layer)));
  EXPECT_FALSE(names_in(mount / "archives").contains("some+model.tar"));
  std::string bytes(whole.size(), '\0');
  EXPECT_EQ(::pread(file.get(), bytes.data(), bytes.size(), 0), static_cast<ssize_t>(whole.size()));
  EXPECT_TRUE(bytes == whole);
}

}  // namespace
}  // namespace ollamafs::test
