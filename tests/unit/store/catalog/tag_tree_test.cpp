#include "store/catalog/tag_tree.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <functional>
#include <stdexcept>
#include <string>
#include <vector>

#include "store/base/text.h"
#include "tests/support/store_builder.h"
#include "tests/support/temp_dir.h"

namespace ollamafs::test {
namespace {

namespace fs = std::filesystem;

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::Field;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;
using ::testing::StartsWith;
using ::testing::UnorderedElementsAre;

constexpr const char* kSmall = R"({"layers":[]})";

// The problems as people read them: the path, then the reason that goes on from it.
std::vector<std::string> problems(const TagListing& listing) {
  std::vector<std::string> lines;
  for (const Problem& problem : listing.problems)
    lines.push_back(problem.path + " " + problem.text);
  return lines;
}

auto problem_at(const std::string& path, const std::string& reason) {
  return AllOf(StartsWith(path + " "), HasSubstr(reason));
}

class TagTree : public ::testing::Test {
 protected:
  [[nodiscard]] TagListing list(TreeKind kind, OutsideLinks outside = OutsideLinks::refuse,
                                const std::vector<fs::path>& follow = {}) const {
    return list_tags(StoreDir{store_.root(), outside, follow}, kind);
  }
  [[nodiscard]] static std::vector<std::string> names(const TagListing& listing) {
    std::vector<std::string> names;
    for (const Tag& tag : listing.tags) names.push_back(tag.name.display());
    return names;
  }
  void file(const std::string& path) const { write_file(store_.root() / path, kSmall); }

  TempDir dir_;
  StoreBuilder store_{dir_ / "models"};
};

TEST_F(TagTree, ListsTheTagsOfTheOlderTree) {
  file("manifests/registry.ollama.ai/library/llama3.2/3b");
  file("manifests/registry.ollama.ai/me/own/latest");
  file("manifests/hf.co/someone/Model-GGUF/Q4_K_M");
  file("manifests/localhost:5000/team/tiny/q4");
  const TagListing listing = list(TreeKind::v1);
  EXPECT_THAT(names(listing), UnorderedElementsAre("llama3.2:3b", "me/own:latest",
                                                   "hf.co/someone/Model-GGUF:Q4_K_M",
                                                   "localhost:5000/team/tiny:q4"));
  EXPECT_THAT(problems(listing), IsEmpty());
  EXPECT_TRUE(std::ranges::is_sorted(listing.tags, {}, &Tag::path));
  for (const Tag& tag : listing.tags) {
    EXPECT_EQ(tag.tree, TreeKind::v1);
    EXPECT_EQ(tag.path, "manifests/" + tag.name.v1_path());
  }
}

TEST_F(TagTree, ListsTheTagsOfTheNewerTree) {
  store_.v2("llama3.2:3b", store_.text_model(1, 100));
  store_.v2("me/own:latest", store_.text_model(2, 100), true);
  store_.v2("localhost:5000/team/tiny:q4", store_.text_model(3, 100));
  const TagListing listing = list(TreeKind::v2);
  EXPECT_THAT(listing.tags, UnorderedElementsAre(
                                Field(&Tag::path, "manifests-v2/ollama.com/library/llama3.2/3b"),
                                Field(&Tag::path, "manifests-v2/ollama.com/me/own/latest"),
                                Field(&Tag::path, "manifests-v2/localhost%3A5000/team/tiny/q4")));
  EXPECT_THAT(names(listing),
              UnorderedElementsAre("llama3.2:3b", "me/own:latest", "localhost:5000/team/tiny:q4"));
  EXPECT_THAT(problems(listing), IsEmpty());
}

TEST_F(TagTree, ReadsEitherCaseOfTheEscapedColon) {
  file("manifests-v2/localhost%3A5000/team/a/q4");
  file("manifests-v2/localhost%3a5000/team/b/q4");
  EXPECT_THAT(names(list(TreeKind::v2)),
              UnorderedElementsAre("localhost:5000/team/a:q4", "localhost:5000/team/b:q4"));
}

// In the older tree '%' is in no name: "%3A" there is not a port.
TEST_F(TagTree, DoesNotUnescapeInTheOlderTree) {
  file("manifests/localhost%3A5000/team/a/q4");
  const TagListing listing = list(TreeKind::v1);
  EXPECT_THAT(listing.tags, IsEmpty());
  EXPECT_THAT(problems(listing),
              ElementsAre(problem_at("manifests/localhost%3A5000/team/a/q4", "grammar")));
}

TEST_F(TagTree, MayBeMissing) {
  for (const TreeKind kind : {TreeKind::v1, TreeKind::v2}) {
    const TagListing listing = list(kind);
    EXPECT_THAT(listing.tags, IsEmpty());
    EXPECT_THAT(problems(listing), IsEmpty());
  }
}

TEST_F(TagTree, MayBeEmptyAtEveryLevel) {
  fs::create_directories(store_.root() / "manifests/a");
  fs::create_directories(store_.root() / "manifests/b/c");
  fs::create_directories(store_.root() / "manifests/d/e/f");
  const TagListing listing = list(TreeKind::v1);
  EXPECT_THAT(listing.tags, IsEmpty());
  EXPECT_THAT(problems(listing), IsEmpty());
}

TEST_F(TagTree, IsAProblemIfItIsAFile) {
  file("manifests");
  const TagListing listing = list(TreeKind::v1);
  EXPECT_THAT(listing.tags, IsEmpty());
  EXPECT_THAT(problems(listing), ElementsAre(problem_at("manifests", "cannot be listed")));
}

// macOS leaves these in every folder that somebody has looked at.
TEST_F(TagTree, FindsStrayFilesAtEveryLevel) {
  const std::vector<std::string> strays = {
      "manifests/.DS_Store",
      "manifests/registry.ollama.ai/.DS_Store",
      "manifests/registry.ollama.ai/library/.DS_Store",
      "manifests/registry.ollama.ai/library/llama3.2/.DS_Store",
  };
  for (const std::string& path : strays) file(path);
  file("manifests/registry.ollama.ai/library/llama3.2/3b");
  const TagListing listing = list(TreeKind::v1);
  EXPECT_THAT(names(listing), ElementsAre("llama3.2:3b"));
  EXPECT_THAT(
      problems(listing),
      UnorderedElementsAre(problem_at(strays[0], "stray file"), problem_at(strays[1], "stray file"),
                           problem_at(strays[2], "stray file"), problem_at(strays[3], "grammar")));
}

TEST_F(TagTree, IsExactlyFourLevelsDeep) {
  file("manifests/registry.ollama.ai/library/llama3.2/deep/er");
  file("manifests/registry.ollama.ai/library/llama3.2/3b");
  const TagListing listing = list(TreeKind::v1);
  EXPECT_THAT(names(listing), ElementsAre("llama3.2:3b"));
  EXPECT_THAT(problems(listing),
              ElementsAre(problem_at("manifests/registry.ollama.ai/library/llama3.2/deep",
                                     "directory where a manifest belongs")));
}

TEST_F(TagTree, RefusesNamesOutsideOfTheGrammar) {
  const std::vector<std::string> bad = {
      "manifests/registry.ollama.ai/a.b/model/latest",  // a dot in the namespace
      "manifests/registry.ollama.ai/library/model/.latest.Xy12",
      "manifests/registry.ollama.ai/library/model/-x",
      "manifests/registry.ollama.ai/library/mo del/latest",
      "manifests/registry.ollama.ai/library/model/a+b",
      "manifests/registry.ollama.ai/library/model/a:b",
      "manifests/registry.ollama.ai/library/" + std::string(81, 'm') + "/latest",
      "manifests/r\xC3\xA9gistry/library/model/latest",
  };
  for (const std::string& path : bad) file(path);
  const TagListing listing = list(TreeKind::v1);
  EXPECT_THAT(listing.tags, IsEmpty());
  std::vector<std::string> paths;
  for (const Problem& problem : listing.problems) {
    paths.push_back(problem.path);
    EXPECT_THAT(problem.text, HasSubstr("grammar"));
  }
  EXPECT_THAT(paths, ::testing::UnorderedElementsAreArray(bad));
}

TEST_F(TagTree, HasProblemsOfOnePrintableLine) {
  const std::string hostile = "\x1b[31m\n\xFF\xC2\x9B";
  file("manifests/" + hostile);
  file("manifests/h/" + hostile);
  file("manifests/h/n/" + hostile);
  file("manifests/h/n/m/" + hostile);
  file("manifests/" + hostile + "2/n/m/t");
  const TagListing listing = list(TreeKind::v1);
  EXPECT_THAT(listing.problems, SizeIs(5));
  for (const Problem& problem : listing.problems) {
    EXPECT_EQ(printable(problem.text), problem.text);
    EXPECT_THAT(problem.path, HasSubstr(hostile));  // as it is: whoever prints it escapes it
  }
}

// A running server writes them and renames them; they are gone the next moment
// (docs/store-format.md §3.2, §5).
TEST_F(TagTree, PassesOverTheTemporaryFilesOfAServer) {
  for (const TreeKind kind : {TreeKind::v1, TreeKind::v2}) {
    const std::string tree = tree_folder(kind);
    file(tree + "/ollama.com/library/llama3.2/.manifest-123456");
    file(tree + "/ollama.com/library/.manifest-123456");
    file(tree + "/ollama.com/library/llama3.2/3b");
    const TagListing listing = list(kind);
    EXPECT_THAT(names(listing), ElementsAre("llama3.2:3b")) << tree;
    EXPECT_THAT(problems(listing), IsEmpty()) << tree;
  }
}

TEST_F(TagTree, HidesTheShadowTagsOfConvertedModels) {
  const std::string hex = Digest::of("a child").hex();
  file("manifests/registry.ollama.ai/library/llamacpp/" + hex);
  file("manifests/registry.ollama.ai/library/llamacpp/" + hex.substr(1));
  file("manifests/registry.ollama.ai/library/llamacpp/latest");
  file("manifests/registry.ollama.ai/library/other/" + hex);
  file("manifests/registry.ollama.ai/me/llamacpp/" + hex);
  file("manifests/hf.co/library/llamacpp/" + hex);
  const TagListing listing = list(TreeKind::v1);
  EXPECT_THAT(names(listing),
              UnorderedElementsAre("llamacpp:" + hex.substr(1), "llamacpp:latest", "other:" + hex,
                                   "me/llamacpp:" + hex, "hf.co/library/llamacpp:" + hex));
  EXPECT_THAT(problems(listing), IsEmpty());
}

// ---- symlinked directories ----

TEST_F(TagTree, FollowsDirectoriesInsideOfTheStore) {
  file("elsewhere/library/llama3.2/3b");
  fs::create_directory(store_.root() / "manifests");
  fs::create_directory_symlink("../elsewhere", store_.root() / "manifests/hf.co");
  fs::create_directory_symlink(store_.root() / "elsewhere", store_.root() / "manifests/absolute");
  const TagListing listing = list(TreeKind::v1);
  EXPECT_THAT(names(listing),
              ElementsAre("absolute/library/llama3.2:3b", "hf.co/library/llama3.2:3b"));
  EXPECT_THAT(problems(listing), IsEmpty());
}

TEST_F(TagTree, MayBeALinkToAnotherDisk) {
  write_file(dir_ / "disk/manifests/registry.ollama.ai/library/llama3.2/3b", kSmall);
  fs::create_directory_symlink(dir_ / "disk/manifests", store_.root() / "manifests");

  const TagListing refused = list(TreeKind::v1);
  EXPECT_THAT(refused.tags, IsEmpty());
  EXPECT_THAT(problems(refused), ElementsAre(problem_at("manifests", "-o follow=")));

  EXPECT_THAT(names(list(TreeKind::v1, OutsideLinks::follow)), ElementsAre("llama3.2:3b"));
  const TagListing named = list(TreeKind::v1, OutsideLinks::refuse, {dir_ / "disk"});
  EXPECT_THAT(names(named), ElementsAre("llama3.2:3b"));
  EXPECT_THAT(problems(named), IsEmpty());
}

TEST_F(TagTree, SaysOnceThatAHostIsOnAnotherDisk) {
  for (const char* const tag : {"a", "b", "c"}) {
    write_file(dir_ / "disk/library/llama3.2" / tag, kSmall);
  }
  file("manifests/registry.ollama.ai/library/own/latest");
  fs::create_directory_symlink(dir_ / "disk", store_.root() / "manifests/hf.co");
  const TagListing listing = list(TreeKind::v1);
  EXPECT_THAT(names(listing), ElementsAre("own:latest"));
  EXPECT_THAT(problems(listing), ElementsAre(problem_at("manifests/hf.co", "leads out")));
}

TEST_F(TagTree, CallsADanglingDirectoryStray) {
  fs::create_directory(store_.root() / "manifests");
  fs::create_directory_symlink("nowhere", store_.root() / "manifests/hf.co");
  fs::create_directory_symlink("loop", store_.root() / "manifests/loop");
  EXPECT_THAT(problems(list(TreeKind::v1)), ElementsAre(problem_at("manifests/hf.co", "stray"),
                                                        problem_at("manifests/loop", "stray")));
}

TEST_F(TagTree, EndsWhereLinksGoInCircles) {
  fs::create_directories(store_.root() / "manifests");
  fs::create_directory_symlink(".", store_.root() / "manifests/a");
  const TagListing listing = list(TreeKind::v1);
  ASSERT_THAT(listing.tags, SizeIs(1));
  EXPECT_EQ(listing.tags[0].path, "manifests/a/a/a/a");  // no manifest, as its reader will find
  EXPECT_THAT(listing.problems, IsEmpty());
}

// ---- directories that may not be read ----

// What `check` returns in the process of an ordinary user.
bool as_nobody(const std::function<bool()>& check) {
  if (::geteuid() != 0) return check();
  const pid_t child = ::fork();
  if (child == 0) {
    const bool changed = ::setgid(65534) == 0 && ::setuid(65534) == 0;
    ::_exit(changed && check() ? 0 : 1);
  }
  int status = -1;
  return ::waitpid(child, &status, 0) == child && status == 0;
}

TEST_F(TagTree, NamesADirectoryThatMayNotBeRead) {
  file("manifests/registry.ollama.ai/library/own/latest");
  file("manifests/hf.co/someone/model/q4");
  const fs::path locked = store_.root() / "manifests/hf.co/someone";
  fs::permissions(locked, fs::perms::none);
  EXPECT_TRUE(as_nobody([&] {
    const TagListing listing = list(TreeKind::v1);
    return names(listing) == std::vector<std::string>{"own:latest"} &&
           listing.problems.size() == 1 && listing.problems[0].path == "manifests/hf.co/someone" &&
           listing.problems[0].text.find("Permission denied") != std::string::npos;
  }));
  fs::permissions(locked, fs::perms::owner_all);
}

// ---- limits ----

// Neither with models nor with anything else is memory filled, and no store is shown in part.
TEST_F(TagTree, WithMoreEntriesThanAStoreMayHaveIsRefusedAsAWhole) {
  file("manifests/registry.ollama.ai/library/one/a");
  file("manifests/registry.ollama.ai/library/one/b");
  file("manifests/stray");
  const StoreDir store{store_.root(), OutsideLinks::refuse};
  const auto list_with = [&](std::size_t entries) {
    return list_tags(store, TreeKind::v1, nullptr, {.entries = entries});
  };
  EXPECT_THAT(list_with(6).tags, SizeIs(2));
  try {
    (void)list_with(5);
    ADD_FAILURE() << "was listed";
  } catch (const std::length_error& error) {
    EXPECT_THAT(error.what(),
                AllOf(HasSubstr((store_.root() / "manifests").string()),
                      HasSubstr("more than 5 entries, the most that a store may have")));
  }
}

}  // namespace
}  // namespace ollamafs::test
