// What the command says on a terminal: help, versions, complaints about the command line, the list.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <regex>
#include <sstream>
#include <string>
#include <vector>

#include "tests/mounted/mount.h"
#include "tests/support/process.h"
#include "tests/support/sample_store.h"
#include "tests/support/store_builder.h"
#include "tests/support/temp_dir.h"

namespace ollamafs::test {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;
using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;
using ::testing::StartsWith;

using Words = std::vector<std::string>;

Result ollamafs(Words arguments, const RunOptions& options = {}) {
  arguments.insert(arguments.begin(), binary());
  return run(arguments, options);
}

Words lines_of(const std::string& text) {
  Words lines;
  std::istringstream in{text};
  for (std::string line; std::getline(in, line);) lines.push_back(line);
  return lines;
}

// ---- help and versions ----

struct HelpCase {
  Words command;
  Words told;  // what the help must speak of
  friend void PrintTo(const HelpCase& help, std::ostream* out) {
    for (const std::string& word : help.command) *out << word;
  }
};

class Help : public ::testing::TestWithParam<HelpCase> {};

INSTANTIATE_TEST_SUITE_P(
    Commands, Help,
    ::testing::Values(HelpCase{{}, {"mount", "umount", "list", "--help", "--version"}},
                      HelpCase{{"mount"},
                               {"MOUNTPOINT", "--store", "-f", "--foreground", "-d", "--debug",
                                "-o", "allow_other", "allow_root", "--log-file",
                                "uid=", "gid=", "follow=DIR", "nonempty"}},
                      HelpCase{{"umount"}, {"MOUNTPOINT", "-l", "--lazy"}},
                      HelpCase{{"status"}, {"--json"}},
                      HelpCase{{"list"}, {"--store", "--follow", "--json"}}),
    [](const auto& param) {
      return param.param.command.empty() ? "ollamafs" : param.param.command.front();
    });

TEST_P(Help, ComesOnStdoutWithin80Columns) {
  for (const std::string flag : {"--help", "-h"}) {
    Words command = GetParam().command;
    command.push_back(flag);
    const Result result = ollamafs(command);
    EXPECT_EQ(result.status, 0);
    EXPECT_EQ(result.err, "");
    for (const std::string& word : GetParam().told) EXPECT_THAT(result.out, HasSubstr(word));
    for (const std::string& line : lines_of(result.out)) EXPECT_LE(line.size(), 80u) << line;
  }
}

TEST_P(Help, ComesByTheCommandHelpToo) {
  Words command = GetParam().command;
  command.push_back("--help");
  const std::string help = ollamafs(command).out;
  command.pop_back();
  command.insert(command.begin(), "help");
  const Result result = ollamafs(command);
  EXPECT_EQ(result.status, 0);
  EXPECT_EQ(result.err, "");
  EXPECT_EQ(result.out, help);
}

TEST(Version, HasAShortOption) {
  EXPECT_EQ(ollamafs({"-V"}).out, ollamafs({"--version"}).out);
}

TEST(Version, NamesTheProgramAndEachLibraryItRunsWith) {
  const Result result = ollamafs({"--version"});
  EXPECT_EQ(result.status, 0);
  EXPECT_EQ(result.err, "");
  // By Semantic Versioning: "ollamafs 1.0.0-rc1", and of a later commit
  // "ollamafs 1.0.0-rc1+7.g0123456".
  const std::regex version{R"((\S+) [0-9]+\.[0-9]+(\.[0-9]+)?(-[.0-9a-z]+)?(\+[.0-9a-z]+)?)"};
  Words names;
  for (const std::string& line : lines_of(result.out)) {
    std::smatch match;
    ASSERT_TRUE(std::regex_match(line, match, version)) << line;
    names.push_back(match[1]);
  }
  EXPECT_THAT(names, ElementsAre("ollamafs", "libfuse", "libcrypto", "spdlog", "fmt",
                                 "nlohmann/json", "CLI11"));
  // Debian builds fusermount3 and the library from one source: "fusermount3 version: 3.14.0".
  std::string fuse = must({"fusermount3", "--version"});
  fuse = fuse.substr(fuse.rfind(' ') + 1);
  EXPECT_THAT(result.out, HasSubstr("libfuse " + fuse));
}

// ---- what is not understood ----

struct UsageCase {
  std::string name;
  Words command;
  std::string told;  // the word at fault, or what is missing
  friend void PrintTo(const UsageCase& usage, std::ostream* out) { *out << usage.name; }
};

class UsageError : public ::testing::TestWithParam<UsageCase> {};

INSTANTIATE_TEST_SUITE_P(
    CommandLines, UsageError,
    ::testing::Values(
        UsageCase{"NoSubcommand", {}, "subcommand"},
        UsageCase{"UnknownSubcommand", {"mont", "PLACE"}, "mont"},
        UsageCase{"UnknownOption", {"--frobnicate"}, "--frobnicate"},
        UsageCase{"EmptyMountpoint", {"mount", ""}, "MOUNTPOINT"},
        UsageCase{"HelpOfNoCommand", {"help", "mont"}, "mont"},
        UsageCase{"TwoMountpoints", {"mount", "PLACE", "another"}, "another"},
        UsageCase{"UnknownOptionOfMount", {"mount", "--frobnicate", "PLACE"}, "--frobnicate"},
        UsageCase{"UnknownOptionOfUmount", {"umount", "--frobnicate", "PLACE"}, "--frobnicate"},
        UsageCase{"UnknownOptionOfList", {"list", "--frobnicate"}, "--frobnicate"},
        UsageCase{"ArgumentOfList", {"list", "llama3.2"}, "llama3.2"},
        UsageCase{"OptionWithoutItsWord", {"mount", "PLACE", "-o"}, "-o"},
        UsageCase{"UnknownMountOption", {"mount", "PLACE", "-o", "alow_other"}, "alow_other"},
        UsageCase{
            "UnknownAmongKnown", {"mount", "PLACE", "-o", "nonempty,ro,frob=1,uid=0"}, "frob=1"},
        UsageCase{
            "UnknownInASecondList", {"mount", "-o", "nonempty", "-o", "frob", "PLACE"}, "frob"},
        UsageCase{"MountOptionWithoutValue", {"mount", "PLACE", "-o", "uid="}, "uid="},
        UsageCase{
            "MountOptionWithValue", {"mount", "PLACE", "-o", "allow_other=yes"}, "allow_other"},
        UsageCase{"UnknownUser", {"mount", "PLACE", "-o", "uid=no such user"}, "no such user"},
        UsageCase{"WritableMount", {"mount", "PLACE", "-o", "rw"}, "rw"}),
    [](const auto& param) { return param.param.name; });

// Said first of all: with no store, and a mount point that would have to be made.
TEST_P(UsageError, IsNamedBeforeAnythingElseIsTried) {
  const TempDir dir;
  const fs::path place = dir / "place";
  Words command = GetParam().command;
  std::ranges::replace(command, "PLACE", place.string());
  RunOptions options;
  options.environment["OLLAMA_MODELS"] = (dir / "no store").string();
  const Result result = ollamafs(command, options);
  EXPECT_EQ(result.status, 2);
  EXPECT_EQ(result.out, "");
  EXPECT_THAT(result.err, AllOf(StartsWith("ollamafs: error: "), HasSubstr(GetParam().told)));
  EXPECT_THAT(result.err, Not(HasSubstr("no store")));
  EXPECT_FALSE(fs::exists(place));
}

// ---- the list ----

// A sample store, in which the models' times are an hour apart.
class List : public ::testing::Test {
 protected:
  List() { write_sample_models(store_); }

  // Makes the manifest so many hours old; a symlink itself.
  void age(const std::string& manifest, int hours) const {
    must({"touch", "-h", "-d", std::to_string(hours) + " hours ago",
          (store_.root() / manifest).string()});
  }

  void age_all() const {
    int hours = 3;
    for (const std::string& manifest : manifests_) age(manifest, hours++);
  }

  // What `ollama list` shows as the ID: the beginning of sha256sum's word on the manifest.
  [[nodiscard]] std::string id_of(const std::string& manifest) const {
    return must({"sha256sum", (store_.root() / manifest).string()}).substr(0, 12);
  }

  // Of a list's manifest it is the selected child's. This store's list has one child that is there:
  // the one whose copy lies under a shadow tag.
  [[nodiscard]] std::string id_of_child() const {
    const fs::path shadows = store_.root() / "manifests/registry.ollama.ai/library/llamacpp";
    return must({"sha256sum", fs::directory_iterator{shadows} -> path().string()}).substr(0, 12);
  }

  [[nodiscard]] Result list(const Words& options = {}) const {
    Words command = {"list", "--store", store_.root().string()};
    command.insert(command.end(), options.begin(), options.end());
    return ollamafs(command);
  }

  // The columns of a table's lines: more than one blank is between two.
  static std::vector<Words> columns(const std::string& table) {
    std::vector<Words> rows;
    for (const std::string& line : lines_of(table)) {
      if (line.empty()) break;
      const std::regex gap{" {2,}"};
      rows.emplace_back(std::sregex_token_iterator{line.begin(), line.end(), gap, -1},
                        std::sregex_token_iterator{});
    }
    return rows;
  }

  TempDir dir_;
  StoreBuilder store_{dir_ / "models"};
  // Of all models, the newest first.
  const Words manifests_ = {
      "manifests-v2/ollama.com/mannix/pirate/q4",
      "manifests/registry.ollama.ai/library/gpt-oss/120b-cloud",
      "manifests/hf.co/bartowski/Llama-3.2-3B-Instruct-GGUF/Q4_K_M",
      "manifests-v2/ollama.com/library/gemma3/4b",
      "manifests/registry.ollama.ai/me/qwen3-moe/nvfp4",
      "manifests/registry.ollama.ai/library/llama3.2/3b",
      "manifests/registry.ollama.ai/me/describer/latest",
      "manifests-v2/localhost%3A5000/team/tuned/v1.0",
      "manifests/registry.ollama.ai/library/llama3.2/latest",
  };
};

// The sizes are written out: 40 tensors of 20,000 bytes and a few hundred, say, are 816 KB.
TEST_F(List, ShowsEveryModelAsOllamaListDoesTheNewestFirst) {
  age_all();
  const Result result = list();
  EXPECT_EQ(result.status, 0);
  EXPECT_EQ(result.err, "");
  const auto row = [&](const char* name, std::size_t at, const char* size, const char* age) {
    return Words{name, at == 3 ? id_of_child() : id_of(manifests_[at]), size, age};
  };
  EXPECT_THAT(columns(result.out),
              ElementsAre(Words({"NAME", "ID", "SIZE", "MODIFIED"}),
                          row("mannix/pirate:q4", 0, "3.0 MB", "3 hours ago"),
                          row("gpt-oss:120b-cloud", 1, "-", "4 hours ago"),
                          row("hf.co/bartowski/Llama-3.2-3B-Instruct-GGUF:Q4_K_M", 2, "1.0 MB",
                              "5 hours ago"),
                          row("gemma3:4b", 3, "1.5 MB", "6 hours ago"),
                          row("me/qwen3-moe:nvfp4", 4, "816 KB", "7 hours ago"),
                          row("llama3.2:3b", 5, "3.0 MB", "8 hours ago"),
                          row("me/describer:latest", 6, "2.7 MB", "9 hours ago"),
                          row("localhost:5000/team/tuned:v1.0", 7, "3.2 MB", "10 hours ago"),
                          row("llama3.2:latest", 8, "3.0 MB", "11 hours ago")));
}

TEST_F(List, StandsInColumns) {
  const Words lines = lines_of(list().out);
  ASSERT_GT(lines.size(), 1u);
  for (const char* const heading : {"ID", "SIZE", "MODIFIED"}) {
    const std::size_t column = lines[0].find(std::string{"  "} + heading) + 2;
    for (const std::string& line : lines) {
      EXPECT_EQ(line.substr(column - 2, 2), "  ") << heading << ": " << line;
      EXPECT_NE(line.at(column), ' ') << heading << ": " << line;
    }
  }
}

TEST_F(List, SaysTheSameToMachines) {
  age_all();
  must({"touch", "-d", "2025-02-03T04:05:06Z", (store_.root() / manifests_[8]).string()});
  const Result result = list({"--json"});
  EXPECT_EQ(result.status, 0);
  json document = json::parse(result.out);
  EXPECT_EQ(document["store"], store_.root().string());
  EXPECT_THAT(document["problems"], IsEmpty());
  ASSERT_EQ(document["models"].size(), manifests_.size());

  json& pirate = document["models"][0];
  EXPECT_EQ(pirate["name"], "mannix/pirate:q4");
  EXPECT_EQ(pirate["view_name"], "mannix/pirate+q4");
  EXPECT_EQ(pirate["id"], id_of(manifests_[0]));
  EXPECT_THAT(pirate["digest"].get<std::string>(), StartsWith("sha256:" + id_of(manifests_[0])));
  EXPECT_EQ(pirate["state"], "whole");
  EXPECT_THAT(pirate["faults"], IsEmpty());
  EXPECT_FALSE(pirate.contains("remote_model"));

  // The sum of the sizes in the manifest itself.
  json manifest = json::parse(read_file(store_.root() / manifests_[0]));
  auto size = manifest["config"]["size"].get<std::int64_t>();
  for (json& layer : manifest["layers"]) size += layer["size"].get<std::int64_t>();
  EXPECT_EQ(pirate["size"], size);

  EXPECT_EQ(document["models"][1]["remote_model"], "gpt-oss:120b");
  EXPECT_EQ(document["models"][7]["view_name"], "localhost%3A5000/team/tuned+v1.0");
  EXPECT_EQ(document["models"][8]["modified"], "2025-02-03T04:05:06Z");
}

TEST_F(List, TellsBrokenModelsAndProblemsWithTheirReasons) {
  write_broken_models(store_);
  const Result result = list();
  EXPECT_EQ(result.status, 0);  // the others are fine
  std::vector<std::string> broken;
  for (const Words& row : columns(result.out)) {
    if (row.size() > 4 && row[4] == "broken") broken.push_back(row[0]);
  }
  EXPECT_THAT(broken,
              ::testing::UnorderedElementsAre("broken/climbing:latest", "broken/missing:latest",
                                              "broken/short:latest"));
  EXPECT_THAT(result.out, HasSubstr("  broken/missing:latest: blob sha256-"));
  EXPECT_THAT(result.out, HasSubstr("has 1000 bytes, its manifest says 100004"));
  EXPECT_THAT(result.out, HasSubstr("sha256:../../../../etc/passwd"));
  for (const char* const stray :
       {"broken/empty/latest", "broken/cut/latest", "library/.DS_Store", "a.b/model/latest"}) {
    EXPECT_THAT(result.out, HasSubstr(std::string{"  manifests/registry.ollama.ai/"} + stray));
  }
}

TEST_F(List, TellsMachinesWhatIsBroken) {
  write_broken_models(store_);
  json document = json::parse(list({"--json"}).out);
  EXPECT_EQ(document["problems"].size(), 4u);
  for (json& problem : document["problems"]) {
    EXPECT_TRUE(fs::exists(store_.root() / problem["path"].get<std::string>())) << problem;
    EXPECT_NE(problem["reason"], "");
  }
  for (json& model : document["models"]) {
    const bool broken = model["name"].get<std::string>().starts_with("broken/");
    EXPECT_EQ(model["state"], broken ? "broken" : "whole") << model;
    EXPECT_EQ(model["faults"].empty(), !broken) << model;
  }
}

TEST_F(List, WithoutModelsIsOnlyItsHeading) {
  const StoreBuilder empty{dir_ / "empty"};
  const Result text = ollamafs({"list", "--store", empty.root().string()});
  EXPECT_EQ(text.status, 0);
  EXPECT_THAT(columns(text.out), ElementsAre(Words({"NAME", "ID", "SIZE", "MODIFIED"})));
  const Result machine = ollamafs({"list", "--json", "--store", empty.root().string()});
  EXPECT_EQ(machine.status, 0);
  EXPECT_THAT(json::parse(machine.out)["models"], IsEmpty());
}

// A full disk, no stdout at all, a pipe that nobody reads any more. (The last ends a program by
// SIGPIPE, as people expect of `list | head`; who has that signal ignored is told.)
TEST_F(List, ThatCannotBeWrittenIsAFailure) {
  const StoreBuilder many{dir_ / "many"};
  write_many_models(many, 200);  // more than is kept back until the end
  must({"mkfifo", (dir_ / "fifo").string()});
  const std::string unread = "trap '' PIPE; exec 3<>\"$FIFO\" 4>\"$FIFO\" 3<&-; ";
  for (const fs::path& store : {store_.root(), many.root()}) {
    for (const std::string form : {"", "--json"}) {
      const std::string list = "exec \"$OLLAMAFS\" list --store \"$STORE\" " + form;
      for (const std::string& line :
           {list + " >/dev/full", list + " >&-", unread + list + " >&4"}) {
        const Result result = shell(line, {.environment = {{"OLLAMAFS", binary()},
                                                           {"STORE", store.string()},
                                                           {"FIFO", (dir_ / "fifo").string()}}});
        EXPECT_EQ(result.status, 1) << line;
        EXPECT_THAT(result.err, StartsWith("ollamafs: error: ")) << line;
      }
    }
  }
}

}  // namespace
}  // namespace ollamafs::test
