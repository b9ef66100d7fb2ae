// Stores that hold things which are no models. Nothing crashes or hangs, what is a model can be
// used, and what is wrong is said once, by name.
#include <gmock/gmock.h>

#include <filesystem>
#include <functional>
#include <ostream>
#include <string>
#include <vector>

#include "store/model/digest.h"
#include "tests/mounted/mount.h"
#include "tests/mounted/shown.h"
#include "tests/support/process.h"
#include "tests/support/store_builder.h"
#include "tests/support/temp_dir.h"

namespace ollamafs::test {
namespace {

namespace fs = std::filesystem;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::SizeIs;

// ---- things that are no models ----

using Make = std::function<void(const StoreBuilder& store)>;

// Something in a store: what is said about it, where it is, and how to make it.
struct Stray {
  const char* name;
  std::string reason;
  std::string path;
  Make make;
};

void PrintTo(const Stray& stray, std::ostream* out) {
  *out << stray.name;
}

Make file(const std::string& path, const std::string& bytes) {
  return [=](const StoreBuilder& store) { write_file(store.root() / path, bytes); };
}

Make manifest(const std::string& path) {
  return [=](const StoreBuilder& store) {
    write_file(store.root() / path, store.text_model(1).json());
  };
}

Make link(const std::string& path, const std::string& target) {
  return [=](const StoreBuilder& store) {
    fs::create_directories((store.root() / path).parent_path());
    fs::create_symlink(target, store.root() / path);
  };
}

// A line of sh that is run in the store.
Make by(const std::string& line) {
  return [=](const StoreBuilder& store) { must({"sh", "-ec", line}, {.directory = store.root()}); };
}

std::string deep(const std::string& open, const std::string& close) {
  std::string json = R"({"layers":[],"x":)";
  for (int i = 0; i < 100'000; ++i) json += open;
  for (int i = 0; i < 100'000; ++i) json += close;
  return json + "}";
}

std::vector<Stray> strays() {
  const std::string library = "manifests/registry.ollama.ai/library/";
  const std::string v1 = library + "bad/v1", v2 = "manifests-v2/ollama.com/library/bad/v1";
  const std::string good_v2 = "manifests-v2/ollama.com/library/good/v1";
  const std::string no_manifest = "is not a manifest: it ";
  const std::string no_name = "is not a model: its name is outside Ollama's grammar";
  const std::string outside = "is a symlink that leads out of the store: name its target with";
  const auto bytes = [&](const std::string& text) { return file(v1, text); };
  return {
      {"AnEmptyManifest", no_manifest + "is empty", v1, bytes("")},
      {"AManifestCutShort", no_manifest + "is cut short", v1, bytes(R"({"config":{"digest":"sha)")},
      {"AManifestOfGarbage", no_manifest + "is not JSON", v1, bytes(random_bytes(1, 5000))},
      {"AManifestWithMoreBehindIt", no_manifest + "has more behind its JSON", v1,
       bytes(R"({"layers":[]} {})")},
      {"AManifestOfZeros", no_manifest + "is not JSON", v1, bytes(std::string(4096, '\0'))},
      {"AManifestThatIsAnArray", no_manifest + "is not a JSON object", v1, bytes("[{}]")},
      {"AManifestThatNamesNothing", no_manifest + "names neither", v1, bytes(R"({"a":1})")},
      {"AManifestOfTheWrongShape", no_manifest + R"(has a field "layers" that is not a list)", v1,
       bytes(R"({"layers":"none"})")},
      {"AManifestOf64MiB", "is larger than 16777216 bytes", v1,
       by("mkdir -p " + library + "bad && truncate -s 64M " + v1)},
      {"AManifestOfNestedArrays", no_manifest + "is nested deeper than 10000 levels", v1,
       bytes(deep("[", "]"))},
      {"AManifestOfNestedObjects", no_manifest + "is nested deeper than 10000 levels", v1,
       bytes(deep(R"({"x":)", "}"))},
      {"AFifoForAManifest", "is not a regular file", v1,
       by("mkdir -p " + library + "bad && mkfifo " + v1)},
      {"AFifoForAV2Manifest", "is not a regular file", v2,
       by("mkdir -p $(dirname " + v2 + ") && mkfifo " + v2)},
      {"ADirectoryForAManifest", "is a directory where a manifest belongs", v1,
       by("mkdir -p " + v1)},
      {"AManifestOutsideOfTheStore", outside, v1, link(v1, "/etc/hostname")},
      {"AV2TagOfNoBlob", "is a symlink to something that is not a manifest blob", v2,
       link(v2, "../good/v1")},
      {"ATagThatDangles", "is a symlink that leads nowhere", v1, link(v1, "gone")},
      {"AV2TagThatDanglesBesideAV1Tag", "is passed over for " + library + "good/v1", good_v2,
       link(good_v2, "../../../../blobs/" + Digest::of("gone").blob_name())},
      {"ATreeOutsideOfTheStore", outside, "manifests/example.com",
       link("manifests/example.com", "/etc")},
      {"AFinderFileOnTop", "is a stray file", "manifests/.DS_Store",
       file("manifests/.DS_Store", "x")},
      {"AFinderFileAmongTheModels", "is a stray file", library + ".DS_Store",
       file(library + ".DS_Store", "x")},
      {"AFinderFileAmongTheTags", no_name, library + "good/.DS_Store",
       file(library + "good/.DS_Store", "x")},
      {"ADotInANamespace", no_name, "manifests/registry.ollama.ai/a.b/model/v1",
       manifest("manifests/registry.ollama.ai/a.b/model/v1")},
      {"ABlankInATag", no_name, library + "bad/v 1", manifest(library + "bad/v 1")},
  };
}

class AStoreWith : public ::testing::TestWithParam<Stray> {
 protected:
  AStoreWith() {
    store.v1("good:v1", good);
    GetParam().make(store);
    // Not of this moment, in which somebody could still be writing.
    must({"find", store.root().string(), "-type", "f", "-exec", "touch", "-d", "2024-01-01", "{}",
          "+"});
  }

  TempDir dir;
  StoreBuilder store{dir / "store"};
  ManifestSpec good = store.text_model(5);
};

TEST_P(AStoreWith, SaysSoOnceInTheLogAndShowsTheOtherModels) {
  Mount mount{store.root(), {.run = {.timeout = kSoon}}};
  EXPECT_EQ(count(mount.log(), "warning: " + GetParam().path + " " + GetParam().reason), 1U)
      << mount.log();
  EXPECT_EQ(count(mount.log(), "warning"), 1U) << mount.log();
  EXPECT_THAT(names_in(mount / "models"), ElementsAre("good+v1"));
  EXPECT_THAT(names_in(mount / "archives"), ElementsAre("good+v1.tar"));
  must({"cp", "-r", (mount / "models").string(), (dir / "copy").string()});
  const fs::path copy = dir / "copy/good+v1";
  EXPECT_EQ(read_file(copy / "manifests/registry.ollama.ai/library/good/v1"), good.json());
  EXPECT_THAT(names_in(copy / "blobs"), SizeIs(4));
}

TEST_P(AStoreWith, SaysSoOnceInTheList) {
  const std::string text = list(store.root());
  EXPECT_EQ(count(text, "\n  " + GetParam().path + " " + GetParam().reason), 1U) << text;
  EXPECT_EQ(count(text, GetParam().reason), 1U) << text;
  const auto json = list_json(store.root());
  ASSERT_THAT(json["problems"], SizeIs(1)) << json;
  EXPECT_EQ(json["problems"][0]["path"], GetParam().path);
  ASSERT_THAT(json["models"], SizeIs(1)) << json;
  EXPECT_EQ(json["models"][0]["name"], "good:v1");
  EXPECT_EQ(json["models"][0]["state"], "whole");
}

INSTANTIATE_TEST_SUITE_P(, AStoreWith, ::testing::ValuesIn(strays()),
                         [](const auto& test) { return test.param.name; });

// ---- much that is wrong ----

TEST(TwoNamesThatDisplayAlike, AreBothShownAndSaidOnce) {
  const TempDir dir;
  const StoreBuilder store{dir / "store"};
  const ManifestSpec first = store.text_model(1);
  const ManifestSpec second = store.text_model(2);
  store.v1("registry.ollama.ai/Library/model:v1", second);
  store.v1("registry.ollama.ai/library/model:v1", first);
  const std::string odd = "registry.ollama.ai/Library/model:v1";
  Mount mount{store.root()};
  const auto manifest = [&](const std::string& model, const std::string& name_space) {
    return read_file(mount / "models" / model / "manifests/registry.ollama.ai" / name_space /
                     "model/v1");
  };
  EXPECT_EQ(manifest("model+v1", "library"), first.json());
  EXPECT_EQ(manifest("registry.ollama.ai/Library/model+v1", "Library"), second.json());
  EXPECT_EQ(count(mount.log(), "is shown as " + odd), 1U) << mount.log();
  EXPECT_EQ(count(mount.log(), "warning"), 1U) << mount.log();
  const std::string text = list(store.root());
  EXPECT_EQ(count(text, "\nmodel:v1 "), 1U) << text;
  EXPECT_EQ(count(text, "\n" + odd + " "), 1U) << text;
  EXPECT_EQ(count(text, "is shown as " + odd), 1U) << text;
}

TEST(ManyStrayFiles, AreNamedInTheListAndSummedUpInTheLog) {
  const TempDir dir;
  const StoreBuilder store{dir / "store"};
  for (int i = 0; i < 30; ++i) write_file(store.root() / "manifests" / std::to_string(i), "");
  Mount mount{store.root()};
  EXPECT_EQ(count(mount.log(), "is a stray file"), 20U) << mount.log();
  EXPECT_EQ(count(mount.log(), "and 10 more: see `ollamafs list`"), 1U) << mount.log();
  EXPECT_EQ(count(list(store.root()), "is a stray file"), 30U);
}

// ---- what a terminal would obey ----

class ControlCharacters : public ::testing::Test {
 protected:
  ControlCharacters() {
    ManifestSpec model = store.text_model(1);
    store.v1("good:v1", model);
    model.layers[0].digest = "sha256:\x1b[31m\r\n\xc2\x9b";
    model.layers[1].media_type = "type\x1b]0;title\a";
    model.layers[1].digest = "x";
    store.v1("bad:v1", model);
    store.v1_bytes("worse:v1", "{\"layers\":{\"\x1b[2J\":1}}");
    write_file(store.root() / "manifests" / ("stray" + evil), "");
    write_file(store.root() / "manifests/registry.ollama.ai/library/model" / evil, "{}");
  }

  // No C0 but the newline, no DEL, no C1.
  static void expect_harmless(const std::string& text) {
    ASSERT_FALSE(text.empty());
    for (std::size_t i = 0; i < text.size(); ++i) {
      const auto c = static_cast<unsigned char>(text[i]);
      const bool c1 = i > 0 && text[i - 1] == '\xc2' && c < 0xa0;
      ASSERT_TRUE(c == '\n' || (c >= ' ' && c != 0x7f && !c1)) << testing::PrintToString(text);
    }
  }

  // Escape sequences, as ASCII, as a lone byte, and in UTF-8.
  std::string evil = "\x1b[31m\r\n\x7f\x9b\a\xc2\x9b";
  TempDir dir;
  StoreBuilder store{dir / ("store" + evil)};
};

TEST_F(ControlCharacters, AreEscapedInTheLogAndInTheView) {
  Mount mount{store.root()};
  expect_harmless(mount.log());
  expect_harmless(read_file(mount / "README.txt"));
  expect_harmless(must({"getfattr", "--only-values", "-n", "user.ollamafs.state",
                        (mount / "models/bad+v1").string()}));
  EXPECT_THAT(mount.log(), HasSubstr(R"(manifests/stray\x1b[31m\x0d\x0a\x7f\x9b\x07\xc2\x9b is)"));
  EXPECT_THAT(names_in(mount / "models"), ElementsAre("bad+v1", "good+v1"));
}

TEST_F(ControlCharacters, AreEscapedInTheList) {
  expect_harmless(list(store.root()));
  expect_harmless(run({binary(), "list", "--store", (dir / evil).string()}).err);
}

TEST_F(ControlCharacters, AreEscapedInTheListForMachines) {
  expect_harmless(must({binary(), "list", "--json", "--store", store.root().string()}));
}

}  // namespace
}  // namespace ollamafs::test
