#include "fs/views/views.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <map>
#include <memory>
#include <sstream>
#include <string>
#include <system_error>
#include <utility>
#include <vector>

#include "store/describe/model_summaries.h"
#include "tests/support/faulty_calls.h"
#include "tests/support/process.h"
#include "tests/support/sample_store.h"
#include "tests/support/store_builder.h"
#include "tests/support/temp_dir.h"

namespace ollamafs::test {
namespace {

namespace fs = std::filesystem;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsSupersetOf;
using ::testing::Not;

std::shared_ptr<const Tree> tree_of(const fs::path& store, const fs::path& mountpoint = "/view",
                                    bool by_sudo = false) {
  TreeOptions options;
  options.store_uid = 501;
  options.store_gid = 502;
  return build_tree(Catalog::read(StoreDir{store, OutsideLinks::refuse}), options,
                    {mountpoint, store, by_sudo});
}

// Every node by its path, in the order in which a walk meets them.
using Walk = std::vector<std::pair<std::string, Node>>;

void walk(const Tree& tree, const Node& directory, const std::string& path, Walk& found) {
  for (const Dentry& entry : tree.entries(directory)) {
    const Node& node = tree.node(entry.node);
    found.emplace_back(path + std::string{entry.name}, node);
    if (node.is_directory()) walk(tree, node, found.back().first + "/", found);
  }
}

Walk walk(const Tree& tree) {
  Walk found{{"", tree.root()}};
  walk(tree, tree.root(), "", found);
  return found;
}

std::vector<std::string> paths(const Tree& tree) {
  std::vector<std::string> found;
  for (const auto& [path, node] : walk(tree)) found.push_back(path);
  return found;
}

std::map<std::string, Node> by_path(const Tree& tree) {
  const Walk all = walk(tree);
  return {all.begin(), all.end()};
}

std::map<std::string, InodeNumber> numbers(const Tree& tree) {
  std::map<std::string, InodeNumber> found;
  for (const auto& [path, node] : walk(tree)) found.emplace(path, node.ino);
  return found;
}

void set_mtime(const fs::path& file, std::int64_t seconds) {
  const timespec times[2] = {{seconds, 0}, {seconds, 999'999'999}};
  if (::utimensat(AT_FDCWD, file.c_str(), times, AT_SYMLINK_NOFOLLOW) != 0) {
    throw std::system_error{errno, std::generic_category(), file.string()};
  }
}

void give_to(const fs::path& file, uid_t uid, gid_t gid) {
  if (::lchown(file.c_str(), uid, gid) != 0) {
    throw std::system_error{errno, std::generic_category(), "chown (needs root)"};
  }
}

class Views : public ::testing::Test {
 protected:
  [[nodiscard]] std::shared_ptr<const Tree> tree() const { return tree_of(root_); }
  [[nodiscard]] Node node(const std::string& path) const { return by_path(*tree()).at(path); }

  TempDir dir_;
  fs::path root_ = dir_ / "models";
  StoreBuilder store_{root_};
};

std::string blob_of(const LayerSpec& layer) {
  return Digest::parse(layer.digest)->blob_name();
}

// ---- names ----

TEST_F(Views, ShowAnEmptyStoreAsEmptyFolders) {
  EXPECT_THAT(paths(*tree()), ElementsAre("", "README.txt", "archives", "contents", "index.html",
                                          "layouts", "layouts/huggingface", "layouts/lmstudio",
                                          "layouts/oci", "layouts/ollama", "models"));
}

// The numbers were computed by another program from the identities of docs/view.md §2. They must be
// the same in every release.
TEST_F(Views, ShowAModelAsTheSmallestCompleteModelsFolder) {
  store_.v1("golden:latest", store_.text_model(1, 1000));
  store_.layer(kLicenseType, "a blob that no model needs");
  auto found = numbers(*tree());
  found.erase("README.txt");  // names this test's folder
  found.erase("index.html");  // likewise
  const std::string model = "models/golden+latest";
  const std::string blob = model + "/blobs/sha256-";
  const std::string manifests = model + "/manifests";
  using Numbers = std::map<std::string, InodeNumber>;
  EXPECT_EQ(found,
            (Numbers{
                {"", 1},
                {"archives", 0x18a627bec56a4a3a},
                {"archives/golden+latest.tar", 0x179f2dfe98df40c9},
                {"contents", 0x1c7a7db2daa36f07},
                {"layouts", 0x2ab7b570f8f01538},
                {"layouts/huggingface", 0x22195ca9410beb2c},
                {"layouts/lmstudio", 0x2f203549aa0406bf},
                {"layouts/oci", 0x066fa8756a0f9356},
                {"layouts/ollama", 0x12132dea87572d33},
                {"models", 0x23f4676cdafd3c76},
                {model, 0x14d3e28c4561079d},
                {model + "/blobs", 0x1aeed073c7fb94c7},
                {blob + "1e4a2fd235d6d7839efb4f99a172b011adae093c3bbcdec9e526973bcb4e42af",
                 0x14ff5aa82d031c6f},
                {blob + "2d8f74f188b46ff5ca2c7ab58209e2d08b7b627a4d15c981257279ad19ac24b7",
                 0x0dcde74b6c00484b},
                {blob + "bf70c4e4591b7625edcc54f3bf0bc0f7ec1fc61c00498aa25a5668526c43f272",
                 0x10cbae39785951bd},
                {blob + "d2f3a42b80eaa2650cc07d26400c4403062614a34005a678be1b390617b29a9e",
                 0x3a5a491b3813c511},
                {manifests, 0x7592e8efc1e72788},
                {manifests + "/registry.ollama.ai", 0x23b08880c940d74b},
                {manifests + "/registry.ollama.ai/library", 0x2cc45c694978dbdd},
                {manifests + "/registry.ollama.ai/library/golden", 0x0017b8b5a9ede041},
                {manifests + "/registry.ollama.ai/library/golden/latest", 0x3f6b1fd535b3b31f},
            }));
}

TEST_F(Views, NameModelsAsOllamaListDoesWithAPlus) {
  write_sample_models(store_);
  const ManifestSpec manifest = store_.text_model(30, 100);
  store_.v1("mannix:latest", manifest);
  store_.v1("Library/llama3.2:3b", manifest);  // displays like another one
  std::vector<std::string> models, archives;
  for (const auto& [path, node] : walk(*tree())) {
    if (node.kind == NodeKind::archive) archives.push_back(path);
    if (node.kind == NodeKind::directory && path.ends_with("/blobs"))
      models.push_back(path.substr(0, path.size() - 6));
  }
  EXPECT_THAT(
      models,
      ElementsAre("models/gemma3+4b", "models/gpt-oss+120b-cloud",
                  "models/hf.co/bartowski/Llama-3.2-3B-Instruct-GGUF+Q4_K_M", "models/llama3.2+3b",
                  "models/llama3.2+latest", "models/localhost%3A5000/team/tuned+v1.0",
                  "models/mannix/pirate+q4", "models/mannix+latest", "models/me/describer+latest",
                  "models/me/qwen3-moe+nvfp4", "models/registry.ollama.ai/Library/llama3.2+3b"));
  for (std::string& model : models) model = "archives" + model.substr(6) + ".tar";
  EXPECT_EQ(archives, models);
}

// rsync and scp take a colon for a host, but Ollama needs it in the manifest's path.
TEST_F(Views, WriteAPortWithAColonOnlyBelowTheModelDirectory) {
  store_.v2("localhost:5000/team/tiny:q8", store_.text_model(1, 100));
  const std::string model = "models/localhost%3A5000/team/tiny+q8";
  EXPECT_THAT(paths(*tree()),
              IsSupersetOf({model, model + "/manifests/localhost:5000/team/tiny/q8",
                            std::string{"archives/localhost%3A5000/team/tiny+q8.tar"}}));
  for (const std::string& path : paths(*tree())) {
    if (path.starts_with(model + "/manifests/")) continue;
    EXPECT_EQ(path.find(':'), std::string::npos) << path;
  }
}

TEST_F(Views, HaveNothingButDirectoriesAndPlainFiles) {
  write_sample_models(store_);
  write_broken_models(store_);
  for (const auto& [path, node] : walk(*tree())) {
    EXPECT_EQ(node.permissions, node.is_directory() ? 0755u : 0644u) << path;
    EXPECT_EQ(node.is_directory(), node.kind == NodeKind::directory) << path;
  }
}

// Who lists the blobs of another view has not listed those that are copied with the manifest.
TEST_F(Views, HaveOneDirectoryOfAModelsBlobs) {
  store_.v1("a:b", store_.text_model(1, 100));
  TreeOptions options;
  options.awake = ViewSet::all();
  const auto shown = build_tree(Catalog::read(StoreDir{root_, OutsideLinks::refuse}), options,
                                {"/view", root_, false});
  std::vector<std::string> found;
  for (const auto& [path, node] : walk(*shown)) {
    if (shown->is_blobs_directory(*shown->find(node.ino))) found.push_back(path);
  }
  EXPECT_THAT(found, ElementsAre("models/a+b/blobs"));
  EXPECT_TRUE(by_path(*shown).contains("layouts/oci/a+b/blobs"));
}

// Some of their names are taken from the tree before: of a model that has come, is another now, or
// has gone and come back, too.
TEST_F(Views, NameWhatTheyMakeForAnOciLayoutByItsDigest) {
  TreeOptions options;
  options.awake = ViewSet::all();
  std::shared_ptr<const Tree> shown;
  const auto check = [&](std::size_t expected) {
    shown = build_tree(Catalog::read(StoreDir{root_, OutsideLinks::refuse}), options,
                       {"/view", root_, false}, shown.get());
    std::size_t found = 0;
    for (const auto& [path, node] : walk(*shown)) {
      if (!path.starts_with("layouts/oci/") || node.kind != NodeKind::late) continue;
      const fs::path file{path};
      if (file.parent_path().filename() != "sha256") continue;
      EXPECT_EQ(Digest::of(node.recipe(*shown, node).generated()).hex(), file.filename()) << path;
      ++found;
    }
    EXPECT_EQ(found, 3 * expected);
  };
  store_.v1("c:d", store_.text_model(1, 100));
  check(1);
  store_.v1("a:b", store_.text_model(2, 200));
  check(2);
  store_.v1("c:d", store_.text_model(3, 300));
  check(2);
  fs::remove(root_ / "manifests/registry.ollama.ai/library/a/b");
  check(1);
  store_.v1("a:b", store_.text_model(2, 200));
  check(2);
}

// ---- sizes, links, owners ----

TEST_F(Views, TellTheSizeOfEveryFile) {
  const ManifestSpec manifest = store_.text_model(1, 5000);
  store_.v2("a:b", manifest);
  const auto nodes = by_path(*tree());
  EXPECT_EQ(nodes.at("models/a+b/blobs/" + blob_of(manifest.layers[0])).size, 5004u);
  EXPECT_EQ(nodes.at("models/a+b/manifests/registry.ollama.ai/library/a/b").size,
            manifest.json().size());
  EXPECT_EQ(nodes.at("archives/a+b.tar").size, 20480u);
  EXPECT_EQ(nodes.at("models/a+b").size, 0u);
}

TEST_F(Views, ShowASharedBlobAsOneFileOfAllItsModels) {
  const ManifestSpec one = store_.text_model(1, 5000);
  ManifestSpec other = one;
  other.layers.push_back(store_.layer(kSystemType, "You are another."));
  store_.v1("one:a", one);
  store_.v2("other:a", other);
  store_.v2("copy:a", one);
  const auto nodes = by_path(*tree());
  const std::string weights = "/blobs/" + blob_of(one.layers[0]);
  for (const char* model : {"one", "other", "copy"}) {
    const Node& blob = nodes.at("models/" + std::string{model} + "+a" + weights);
    EXPECT_EQ(blob.ino, nodes.at("models/one+a" + weights).ino);
    EXPECT_EQ(blob.nlink, 3u);
  }
  EXPECT_EQ(nodes.at("models/other+a/blobs/" + blob_of(other.layers[3])).nlink, 1u);
  // Two tags of one manifest are two models all the same.
  EXPECT_NE(nodes.at("models/one+a").ino, nodes.at("models/copy+a").ino);
  EXPECT_NE(nodes.at("archives/one+a.tar").ino, nodes.at("archives/copy+a.tar").ino);
}

TEST_F(Views, GiveEveryFileToTheOwnerOfTheStoresFile) {
  const ManifestSpec manifest = store_.text_model(1, 100);
  store_.v1("a:b", manifest);
  give_to(store_.v1_path(*ModelName::parse("a:b")), 1001, 1002);
  give_to(root_ / "blobs" / blob_of(manifest.layers[0]), 1003, 1004);
  for (const auto& [path, node] : walk(*tree())) {
    const bool blob = path.ends_with(blob_of(manifest.layers[0]));
    const bool model = path.find("a+b") != std::string::npos && node.kind != NodeKind::blob;
    if (node.kind == NodeKind::blob && !blob) continue;
    EXPECT_EQ(node.uid, blob ? 1003u : model ? 1001u : 501u) << path;
    EXPECT_EQ(node.gid, blob ? 1004u : model ? 1002u : 502u) << path;
  }
}

// ---- order ----

// cp -r copies in the order of inode numbers, tar in that of readdir: blobs must come first.
TEST_F(Views, PutBlobsBeforeManifestsInBothOrders) {
  write_sample_models(store_);
  write_many_models(store_, 100);
  const auto shown = tree();
  const auto nodes = by_path(*shown);
  int models = 0;
  for (const auto& [path, node] : nodes) {
    if (!path.ends_with("/blobs")) continue;
    ++models;
    const std::string model = path.substr(0, path.size() - 6);
    EXPECT_LT(node.ino, nodes.at(model + "/manifests").ino) << model;
    const auto entries = shown->entries(nodes.at(model));
    ASSERT_EQ(entries.size(), 2u);
    EXPECT_EQ(entries[0].name, "blobs");
    EXPECT_EQ(entries[1].name, "manifests");
  }
  EXPECT_EQ(models, 109);
}

// ---- times and numbers are functions of content ----

TEST_F(Views, DateBlobsByTheirContentAndAllElseByItsManifest) {
  const ManifestSpec one = store_.text_model(1, 100), two = store_.text_model(2, 100);
  store_.v1("team/one:a", one);
  store_.v1("team/two:a", two);
  // By hand: 2023-07-01 and 2 s × the first 24 bits of the digest.
  const auto content_date = [](const Digest& digest) {
    return 1'688'169'600 + 2 * std::stoll(digest.hex().substr(0, 6), nullptr, 16);
  };
  const std::int64_t first = 1'700'000'002, second = 1'700'000'004;
  set_mtime(store_.v1_path(*ModelName::parse("team/one:a")), first + 1);
  set_mtime(store_.v1_path(*ModelName::parse("team/two:a")), second);
  const auto nodes = by_path(*tree());
  for (const std::string path :
       {"models/team/one+a", "models/team/one+a/blobs", "models/team/one+a/manifests",
        "models/team/one+a/manifests/registry.ollama.ai/team/one", "archives/team/one+a.tar"}) {
    EXPECT_EQ(nodes.at(path).mtime, first) << path;
  }
  EXPECT_EQ(nodes.at("models/team/one+a/blobs/" + blob_of(one.layers[0])).mtime,
            content_date(*Digest::parse(one.layers[0].digest)));
  for (const char* path : {"models/team", "models", "archives/team", "archives"}) {
    EXPECT_EQ(nodes.at(path).mtime, second) << path;
  }
  EXPECT_EQ(nodes.at("").mtime, std::max({second, nodes.at("README.txt").mtime}));
}

TEST_F(Views, ShowTheManifestsOwnDateInTheStepsOfFat) {
  const std::string path = "models/a+b/manifests/registry.ollama.ai/library/a/b";
  store_.v1("a:b", store_.text_model(1, 100));
  for (const std::int64_t date : {1'700'000'000, 1'700'000'001, 0, 1}) {
    set_mtime(store_.v1_path(*ModelName::parse("a:b")), date);
    EXPECT_EQ(node(path).mtime, date / 2 * 2) << date;
  }
  // Ollama >= 0.40 shows the date of the tag's symlink, not of the blob behind it.
  store_.v2("a:b", store_.text_model(1, 100));
  set_mtime(store_.v2_path(*ModelName::parse("a:b")), 1'600'000'003);
  EXPECT_EQ(node(path).mtime, 1'600'000'002);
}

TEST_F(Views, NumberACopyOfTheStoreInTheSameWay) {
  write_sample_models(store_);
  const fs::path copy = dir_ / "copy";
  fs::copy(root_, copy, fs::copy_options::recursive | fs::copy_options::copy_symlinks);
  for (const auto& entry : fs::recursive_directory_iterator{copy}) {
    set_mtime(entry, 1'500'000'000);
    give_to(entry, 1234, 1234);
  }
  auto one = numbers(*tree_of(root_, "/view")), other = numbers(*tree_of(copy, "/other/view"));
  EXPECT_GT(one.size(), 150u);
  // Its text names the store and the mount point: new content, new number.
  EXPECT_NE(one.at("README.txt"), other.at("README.txt"));
  EXPECT_NE(one.at("index.html"), other.at("index.html"));
  for (auto* const all : {&one, &other}) {
    all->erase("README.txt");
    all->erase("index.html");
  }
  EXPECT_EQ(one, other);
}

TEST_F(Views, DateACopyOfTheStoreInTheSameWay) {
  write_sample_models(store_);
  const fs::path copy = dir_ / "copy";
  fs::copy(root_, copy, fs::copy_options::recursive | fs::copy_options::copy_symlinks);
  for (const auto& entry : fs::recursive_directory_iterator{copy}) set_mtime(entry, 1'500'000'000);
  const auto one = by_path(*tree()), other = by_path(*tree_of(copy));
  for (const auto& [path, node] : one) {
    if (path.empty() || path == "README.txt") continue;
    // What is made from a manifest has the date of its file, groups that of the newest in them.
    EXPECT_EQ(other.at(path).mtime, node.kind == NodeKind::blob ? node.mtime : 1'500'000'000)
        << path;
  }
}

// Two archives that are shown under one name and have one size, in two stores.
TEST_F(Views, TellArchivesApartWhoseManifestsHaveOtherPaths) {
  const ManifestSpec model = store_.text_model(1, 100);
  store_.v1("x:a", model);
  const auto before = numbers(*tree());
  fs::create_directories(root_ / "manifests/ollama.com");
  fs::rename(root_ / "manifests/registry.ollama.ai/library",
             root_ / "manifests/ollama.com/library");
  EXPECT_NE(numbers(*tree()).at("archives/x+a.tar"), before.at("archives/x+a.tar"));
}

TEST_F(Views, GiveNewContentNewNumbers) {
  store_.v1("a:b", store_.text_model(1, 100));
  store_.v1("other:b", store_.text_model(2, 100));
  const auto before = numbers(*tree());
  store_.v1("a:b", store_.text_model(3, 100));
  const auto after = numbers(*tree());
  for (const auto& [path, ino] : after) {
    if (!before.contains(path)) continue;
    const bool changed = path == "index.html" || (path.find("a+b") != std::string::npos &&
                                                  path.find("/sha256-") == std::string::npos);
    EXPECT_EQ(before.at(path) != ino, changed) << path;
  }
}

// ---- broken models ----

// Nor does a blob that they share count a link for them.
TEST_F(Views, ShowABrokenModelWithoutBlobs) {
  const ManifestSpec whole = store_.text_model(1, 100), broken = store_.text_model(2, 100);
  store_.v1("whole:a", whole);
  store_.v1("broken:a", broken);
  fs::remove(root_ / "blobs" / blob_of(broken.layers[0]));
  const auto nodes = by_path(*tree());
  EXPECT_TRUE(nodes.contains("models/broken+a/manifests/registry.ollama.ai/library/broken/a"));
  EXPECT_TRUE(nodes.contains("archives/broken+a.tar"));
  EXPECT_EQ(nodes.at("models/broken+a/blobs").entries, 0u);
  EXPECT_EQ(whole.layers[1].digest, broken.layers[1].digest);
  EXPECT_EQ(nodes.at("models/whole+a/blobs/" + blob_of(whole.layers[1])).nlink, 1u);
}

TEST_F(Views, ListAModelWhoseManifestIsLost) {
  const Digest digest = store_.v2("lost:a", store_.text_model(1, 100));
  fs::remove(store_.blob_path(digest));
  const auto nodes = by_path(*tree());
  EXPECT_EQ(nodes.at("models/lost+a/manifests/registry.ollama.ai/library/lost/a").size, 0u);
  EXPECT_EQ(nodes.at("models/lost+a/blobs").entries, 0u);
}

// ---- index.html ----

std::string index_of(const Tree& tree) {
  return std::string{tree.late_content(*tree.lookup(tree.root(), "index.html"))->generated()};
}

TEST_F(Views, TellOfEveryModelOnOnePage) {
  write_sample_models(store_);
  const ManifestSpec broken = store_.text_model(77, 100);
  store_.v1("broken:a", broken);
  fs::remove(root_ / "blobs" / blob_of(broken.layers[0]));
  const auto shown = tree();
  const std::string page = index_of(*shown);
  for (const Model& model : shown->catalog().models()) {
    EXPECT_THAT(page, HasSubstr("<td>" + model.shown + "</td>"));
    EXPECT_THAT(page, HasSubstr("<td>" + model.manifest->digest.id() + "</td>"));
  }
  const std::string port = "localhost%253A5000/team/tuned%2Bv1.0";
  EXPECT_THAT(page, HasSubstr("href=\"archives/" + port + ".tar\""));
  EXPECT_THAT(page, HasSubstr("href=\"contents/" + port + "/\""));
  EXPECT_THAT(page, HasSubstr("<code>rsync -rtO --delay-updates /view/models/"));
  EXPECT_THAT(page, HasSubstr("broken: blob sha256-"));
  EXPECT_EQ(page.find("broken%2Ba"), page.npos);
}

TEST_F(Views, TellOfManyModelsInFewBytes) {
  write_many_models(store_, 2000);
  EXPECT_LT(index_of(*tree()).size(), 2000u * 800);
}

// Ten models, whose summaries are on the page, in a store that can fail.
class SummarizedViews : public Views {
 protected:
  [[nodiscard]] std::shared_ptr<const Tree> summarized() {
    write_many_models(store_, 10);
    return build_tree(Catalog::read(faulty_), {}, {"/view", root_, false, &summaries_});
  }

  FaultPlan plan_;
  const FaultyCalls calls_{plan_};
  const StoreDir faulty_{root_, OutsideLinks::refuse, {}, calls_};
  ModelSummaries summaries_{faulty_};
};

TEST_F(SummarizedViews, OpenTheFilesOfModelsForTheirPageAndNotForItsSize) {
  const auto shown = summarized();
  const Node& index = *shown->lookup(shown->root(), "index.html");
  plan_.fail(call::kAll, EIO, ~std::uint64_t{0});  // counts, and lets none fail
  const std::uint64_t size = shown->size_of(index);
  EXPECT_EQ(plan_.seen, 0u);
  const std::string page = index_of(*shown);
  EXPECT_GT(plan_.seen, 10u);
  EXPECT_EQ(page.size(), size);
  EXPECT_THAT(page, HasSubstr("<td>llama "));
  EXPECT_THAT(page, HasSubstr("<td class=\"n\">3.2B "));
  EXPECT_THAT(page, HasSubstr("<td>Q4_K_M "));
}

TEST_F(SummarizedViews, MakeThePageOfModelsThatCannotBeRead) {
  const auto shown = summarized();
  plan_.fail(call::kAll, EIO);
  EXPECT_THAT(index_of(*shown), Not(HasSubstr("<td>llama ")));
  plan_.fail(call::kOpens, EMFILE);  // says nothing about the models: the next call tries again
  EXPECT_THROW((void)index_of(*shown), std::system_error);
  plan_.clear();
  EXPECT_THAT(index_of(*shown), HasSubstr("<td>llama "));
}

// ---- README.txt ----

// What the commands of a README.txt would run: every word in <>, one command per line. Theirs is a
// stick with one archive, which a command that is given it says.
std::string commands_of(const std::string& readme, const fs::path& scratch) {
  for (const char* program : {"rsync", "cp", "tar", "sudo", "ollamafs"}) {
    const fs::path stub = scratch / "bin" / program;
    write_file(stub, "#!/bin/sh\nprintf '<%s>' \"${0##*/}\" \"$@\"\ncat\necho\n");
    fs::permissions(stub, fs::perms{0755});
  }
  std::string script;
  std::istringstream lines{readme.substr(readme.find("Copy a model"))};  // behind the store's path
  for (std::string line; std::getline(lines, line);) {
    if (line.starts_with("    ")) script += line + "\n";
  }
  write_file(scratch / "stick/tiny+q4.tar", "<<the archive>");
  const std::string from = "< /media/STICK";
  if (const std::size_t at = script.find(from); at != std::string::npos) {
    script.replace(at, from.size(), "< " + (scratch / "stick").string());
  }
  RunOptions options;
  options.environment["PATH"] = (scratch / "bin").string() + ":" + std::getenv("PATH");
  return must({"sh", "-euc", script}, options);
}

std::string readme_of(const Tree& tree) {
  return std::string{tree.late_content(*tree.lookup(tree.root(), "README.txt"))->generated()};
}

void expect_commands_for(const fs::path& store, const std::string& mountpoint,
                         const fs::path& scratch) {
  const auto shown = tree_of(store, mountpoint);
  const std::string said = commands_of(readme_of(*shown), scratch);
  const std::string rsync = "<rsync><-rtO><--delay-updates>";
  const std::string model = "<" + mountpoint + "/models/team/tiny+q4/>";
  const std::string archive = "<" + mountpoint + "/archives/team/tiny+q4.tar>";
  EXPECT_THAT(paths(*shown), IsSupersetOf({"models/team/tiny+q4", "archives/team/tiny+q4.tar"}));
  EXPECT_THAT(said, HasSubstr(rsync + model + "<HOST:.ollama/models/>\n"));
  EXPECT_THAT(said, HasSubstr(rsync + "<--rsync-path=sudo -u ollama rsync>" + model));
  EXPECT_THAT(said, HasSubstr("<cp>" + archive + "</media/STICK/>\n"));
  EXPECT_THAT(said, HasSubstr("<tar><-xmf></media/STICK/tiny+q4.tar><-C>"));
  EXPECT_THAT(said, HasSubstr("<sudo><-u><ollama><tar><-xm><-C></usr/share/ollama/.ollama/models>"
                              "<<the archive>\n"));
  EXPECT_THAT(said, HasSubstr("<ollamafs><umount><" + mountpoint + ">\n"));
}

TEST_F(Views, TeachCommandsThatNameRealFiles) {
  const ManifestSpec broken = store_.text_model(1, 100);
  store_.v1("a-broken:one", broken);  // the first, but it cannot be copied
  fs::remove(root_ / "blobs" / blob_of(broken.layers[0]));
  store_.v1("team/tiny:q4", store_.text_model(2, 100));
  expect_commands_for(root_, "/home/me/ollama-view", dir_.path());
}

TEST_F(Views, TeachCommandsThatAShellTakesAsTheyAre) {
  store_.v1("team/tiny:q4", store_.text_model(2, 100));
  expect_commands_for(root_, "/mnt/it's $HOME & `x`/my \"view\"", dir_.path());
}

TEST_F(Views, TeachCommandsThatWorkWithABackslashInThePath) {
  store_.v1("team/tiny:q4", store_.text_model(2, 100));
  expect_commands_for(root_, "/mnt/back\\slash", dir_.path());
}

// What root has mounted for who called sudo, only root can take away.
TEST_F(Views, TeachToUnmountAsItWasMounted) {
  const auto expect_end = [&](bool by_sudo, const std::string& command) {
    EXPECT_THAT(readme_of(*tree_of(root_, "/my view", by_sudo)),
                HasSubstr("\n    " + command + "\n"));
  };
  expect_end(false, "ollamafs umount '/my view'");
  expect_end(true, "sudo ollamafs umount '/my view'");
}

TEST_F(Views, NameTheStoreInTheReadme) {
  EXPECT_THAT(readme_of(*tree()), HasSubstr("\n    " + root_.string() + "\n"));
}

}  // namespace
}  // namespace ollamafs::test
