// The manual page says what the program says: neither knows an option or a status that the other
// does not.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <regex>
#include <set>
#include <sstream>
#include <string>

#include "src/say/exit_status.h"
#include "tests/mounted/mount.h"
#include "tests/support/process.h"
#include "tests/support/store_builder.h"

namespace ollamafs::test {
namespace {

using Names = std::set<std::string>;

std::string source(const std::string& path) {
  return read_file(std::filesystem::path{OLLAMAFS_SOURCE_DIR} / path);
}

Names all_matches(const std::string& text, const std::string& pattern) {
  Names names;
  const std::regex regex{pattern, std::regex::multiline};
  for (std::sregex_iterator it{text.begin(), text.end(), regex}, end; it != end; ++it) {
    names.insert((*it)[1]);
  }
  return names;
}

// The part of the page from a heading (".Ss mount") to the next one.
std::string part_of_page(const std::string& heading) {
  const std::string page = source("man/ollamafs.1");
  const std::size_t start = page.find("\n" + heading + "\n");
  if (start == std::string::npos) throw std::runtime_error{"the page has no " + heading};
  const std::size_t body = start + heading.size() + 2;
  const std::size_t end = std::min(page.find("\n.Ss ", body), page.find("\n.Sh ", body));
  return page.substr(body, end - body);
}

// "-f" and "--foreground", as `--help` has them at the beginning of a line.
Names options_in_help(const std::vector<std::string>& command) {
  std::vector<std::string> words = {binary()};
  words.insert(words.end(), command.begin(), command.end());
  words.push_back("--help");
  Names names;
  std::istringstream lines{must(words)};
  for (std::string line; std::getline(lines, line);) {
    if (line.rfind("  -", 0) != 0) continue;
    const std::string head = line.substr(2, line.find(' ', 2) - 2);
    names.merge(all_matches(head, "(--?[a-zA-Z][a-z-]*)"));
  }
  return names;
}

// ".It Fl f , -foreground" and ".It Fl -store Ar DIR" of a part of the page.
Names options_in_page(const std::string& heading) {
  Names names;
  std::istringstream lines{part_of_page(heading)};
  for (std::string line; std::getline(lines, line);) {
    if (line.rfind(".It Fl ", 0) != 0) continue;
    const std::string flags = line.substr(6, line.find(" Ar ") - 6);
    for (const std::string& name : all_matches(flags, "[ ](-?[a-zA-Z][a-z-]*)"))
      names.insert("-" + name);
  }
  return names;
}

class Commands : public testing::TestWithParam<std::string> {};

TEST_P(Commands, HaveTheSameOptionsInTheHelpAndInTheManualPage) {
  Names help = options_in_help({GetParam()});
  for (const char* everywhere : {"-h", "--help"}) EXPECT_EQ(help.erase(everywhere), 1u);
  EXPECT_EQ(options_in_page(".Ss " + GetParam()), help);
  EXPECT_FALSE(help.empty());
}

INSTANTIATE_TEST_SUITE_P(Each, Commands,
                         testing::Values("mount", "umount", "status", "list", "show", "export",
                                         "import", "verify", "du", "prune"),
                         [](const auto& command) { return command.param; });

TEST(ManualPage, HasEveryCommandOfTheHelp) {
  const std::string help = must({binary(), "--help"});
  const std::string commands = help.substr(help.find("Subcommands:"));
  EXPECT_EQ(all_matches(source("man/ollamafs.1"), "^\\.Ss ([a-z]+)$"),
            all_matches(commands, "^  ([a-z]+) "));
}

TEST(ManualPage, HasTheOptionsThatBelongToNoCommand) {
  EXPECT_EQ(options_in_page(".Ss Other options"), options_in_help({}));
}

TEST(ManualPage, HasEveryMountOptionThatTheHelpNames) {
  const std::string help = must({binary(), "mount", "--help"});
  const std::string last = help.substr(help.find("  -o "));  // it may go on in the next line
  const Names in_help = all_matches(last.substr(last.find("...") + 3), "([a-z_]{3,})");
  EXPECT_THAT(in_help, testing::SizeIs(testing::Ge(5u)));
  EXPECT_EQ(all_matches(part_of_page(".Ss mount"), "(?:^\\.It|,) Cm ([a-z_]+)"), in_help);
}

TEST(ManualPage, HasEveryExitStatus) {
  EXPECT_EQ(all_matches(part_of_page(".Sh EXIT STATUS"), "^\\.It ([0-9]+)$"),
            all_matches(source("src/say/exit_status.h"), "^  [a-z_]+ = ([0-9]+),"));
}

TEST(ManualPage, IsWellFormed) {
  const Result lint = run(
      {"mandoc", "-Tlint", "-W", "warning", std::string{OLLAMAFS_SOURCE_DIR} + "/man/ollamafs.1"});
  EXPECT_EQ(lint.status, 0) << lint.out << lint.err;
}

}  // namespace
}  // namespace ollamafs::test
