// That a message leads on: it names what is at fault, and what it tells to type works as it stands.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <map>
#include <ostream>
#include <string>
#include <vector>

#include "tests/mounted/environment.h"
#include "tests/mounted/life.h"
#include "tests/mounted/mount.h"
#include "tests/support/process.h"
#include "tests/support/store_builder.h"
#include "tests/support/temp_dir.h"

namespace ollamafs::test {
namespace {

namespace fs = std::filesystem;
using ::testing::AllOf;
using ::testing::EndsWith;
using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::StartsWith;

Result ollamafs(Words arguments, const RunOptions& options = {}) {
  arguments.insert(arguments.begin(), binary());
  return run(arguments, options);
}

// ---- slips on the command line ----

struct SlipCase {
  std::string name;
  Words command;
  std::string told;  // how the message goes on
  friend void PrintTo(const SlipCase& slip, std::ostream* out) { *out << slip.name; }
};

class Slip : public ::testing::TestWithParam<SlipCase> {};

INSTANTIATE_TEST_SUITE_P(
    CommandLines, Slip,
    ::testing::Values(
        SlipCase{"StoreAsAnArgumentOfMount",
                 {"mount", "models", "view"},
                 "one argument too many for mount: view; a store is given with --store DIR\n"},
        SlipCase{"StoreAsAnArgumentOfList",
                 {"list", "models"},
                 "one argument too many for list: models; a store is given with --store DIR\n"},
        SlipCase{"NameOfACommandAsAnArgument",
                 {"mount", "view", "list"},
                 "one argument too many for mount: list; a store is given with --store DIR\n"},
        SlipCase{
            "Unmount",
            {"unmount", "view"},
            "there is no command unmount; there are: mount, umount, status, list, show, export, "
            "import, verify, du, prune, help\n"},
        SlipCase{
            "Ls",
            {"ls"},
            "there is no command ls; there are: mount, umount, status, list, show, export, import, "
            "verify, du, prune, help\n"},
        SlipCase{
            "NoCommand",
            {},
            "a subcommand is required: mount, umount, status, list, show, export, import, verify, "
            "du, prune, help\n"},
        SlipCase{
            "UnknownOptionOfACommand", {"list", "--stor", "models"}, "unknown option: --stor\n"},
        SlipCase{"UnknownOption", {"--frob"}, "unknown option: --frob\n"},
        SlipCase{"TerminalSequence",
                 {"list", "\x1b[31m"},
                 "one argument too many for list: \\x1b[31m; a store is given with --store DIR\n"},
        SlipCase{"EmptyStoreOfList", {"list", "--store", ""}, "--store: may not be empty\n"},
        SlipCase{"BlankStoreOfList", {"list", "--store", " \t"}, "--store: may not be empty\n"},
        SlipCase{
            "EmptyStoreOfMount", {"mount", "--store", "", "view"}, "--store: may not be empty\n"},
        SlipCase{"EmptyMountPoint", {"mount", ""}, "MOUNTPOINT: may not be empty\n"},
        SlipCase{"EmptyMountPointOfUmount", {"umount", ""}, "MOUNTPOINT: may not be empty\n"},
        SlipCase{"EmptyFollow", {"list", "--follow", ""}, "--follow: may not be empty\n"},
        SlipCase{"MissingFollowOfList",
                 {"list", "--follow", "/nope"},
                 "--follow /nope: No such file or directory\n"},
        SlipCase{"MissingFollowOfMount",
                 {"mount", "-o", "follow=/nope", "view"},
                 "-o follow=/nope: No such file or directory\n"},
        SlipCase{"FollowThatIsAFile",
                 {"list", "--follow", "/etc/passwd"},
                 "--follow /etc/passwd: Not a directory\n"}),
    [](const auto& param) { return param.param.name; });

// Although a store would be found.
TEST_P(Slip, IsToldInOurOwnWords) {
  const TempDir dir;
  const StoreBuilder store{dir / "models"};
  const Result result = ollamafs(
      GetParam().command,
      {.directory = dir.path(), .environment = {{"OLLAMA_MODELS", store.root().string()}}});
  EXPECT_EQ(result.status, 2);
  EXPECT_EQ(result.out, "");
  EXPECT_THAT(result.err, StartsWith("ollamafs: error: " + GetParam().told));
  EXPECT_FALSE(fs::exists(dir / "view"));
}

// ---- output that is lost ----

// That of `list` is tested with the list.
TEST(Output, OfHelpAndVersionThatCannotBeWrittenIsAFailure) {
  for (const std::string command : {"--version", "--help", "mount --help"}) {
    for (const std::string to : {">/dev/full", ">&-"}) {
      const Result result = shell("exec \"$OLLAMAFS\" $COMMAND " + to,
                                  {.environment = {{"OLLAMAFS", binary()}, {"COMMAND", command}}});
      EXPECT_EQ(result.status, 1) << command << to;
      EXPECT_THAT(result.err, StartsWith("ollamafs: error: ")) << command << to;
    }
  }
}

// ---- a working directory that is gone ----

TEST(WorkingDirectory, ThatIsGoneIsNamedWhereAPathCountsFromIt) {
  const TempDir dir;
  const StoreBuilder store{dir / "models"};
  const std::string given = "--store '" + store.root().string() + "'";
  const std::map<std::string, std::string> told = {
      {"mount " + given + " view", "the mount point view: the current directory: No such file"},
      {"umount view", "the mount point view: the current directory: No such file"},
      {"list --store models", "--store: models: the current directory: No such file"},
      {"list --follow disk " + given, "--follow disk: No such file"},
      {"mount -o follow=disk " + given + " view", "-o follow=disk: No such file"},
  };
  for (const auto& [command, message] : told) {
    fs::create_directory(dir / "gone");
    const Result result =
        shell("rmdir \"$PWD\" && exec \"$OLLAMAFS\" " + command,
              {.directory = dir / "gone", .environment = {{"OLLAMAFS", binary()}}});
    EXPECT_NE(result.status, 0) << command;
    EXPECT_THAT(result.err, AllOf(HasSubstr("ollamafs: error: " + message + " or directory\n"),
                                  Not(HasSubstr("filesystem error"))))
        << command;
  }
  const Result list = shell("rmdir \"$PWD\" && exec \"$OLLAMAFS\" list " + given,
                            {.directory = (fs::create_directory(dir / "gone"), dir / "gone"),
                             .environment = {{"OLLAMAFS", binary()}}});
  EXPECT_EQ(list.status, 0) << list.err;  // it needs none
}

// ---- commands that messages teach ----

// A place and a store whose names a shell must have quoted. Commands are typed in a shell for which
// the program is installed, and sudo, which passes OLLAMA_MODELS on to nobody.
class Taught : public Environment {
 protected:
  Taught() {
    write_model(odd_store_);
    write_file(dir_ / "bin/sudo", "#!/bin/sh\nunset OLLAMA_MODELS\nexec \"$@\"\n");
    fs::permissions(dir_ / "bin/sudo", fs::perms{0755});
  }
  ~Taught() override {
    if (is_mounted(place_)) ollamafs({"umount", "--lazy", place_.string()});
    EXPECT_TRUE(eventually([&] { return processes_with(place_.string()).empty(); }));
    fs::remove(place_);
  }

  Result type(const std::string& command) const {
    return run({"bash", "-c", command},
               {.directory = place_.parent_path(),
                .environment = {{"PATH", (dir_ / "bin").string() + ":" +
                                             fs::path{binary()}.parent_path().string() + ":" +
                                             ::getenv("PATH")}}});
  }

  // What the message says from `begin` on, to the end of the line or of its `…`.
  static std::string command_in(const std::string& message, const std::string& begin) {
    const std::size_t at = message.find(begin);
    if (at == std::string::npos) return "false  # not taught: " + begin + " in " + message;
    return message.substr(at, message.find_first_of("`\n", at) - at);
  }

  // A sudo mount is one for whom it names.
  [[nodiscard]] static RunOptions by_sudo() {
    const User games = User::named("games");
    return {.environment = {{"SUDO_UID", std::to_string(games.uid)},
                            {"SUDO_GID", std::to_string(games.gid)},
                            {"SUDO_USER", "games"}}};
  }

  const StoreBuilder odd_store_{dir_ / "it's my store"};
  const MountDir parent_;
  const fs::path place_ = parent_.path() / "my view; false";
};

TEST_F(Taught, SudoShowsTheStoreThatTheUserMayNotRead) {
  must({"chmod", "0700", odd_store_.root().string()});
  RunOptions games = as_games_;
  games.environment = {{"OLLAMA_MODELS", odd_store_.root().string()}};
  games.directory = place_.parent_path();

  const Result list = ollamafs({"list", "--json", "--follow", "/usr"}, games);
  EXPECT_EQ(list.status, 4);
  const std::string quoted = "'" + (dir_ / "it'\\''s my store").string() + "'";
  const std::string list_as_root = command_in(list.err, "sudo ");
  EXPECT_EQ(list_as_root, "sudo ollamafs list --store " + quoted + " --follow /usr --json");
  EXPECT_THAT(type(list_as_root).out, HasSubstr("\"llama3.2:3b\""));

  const Result mount = ollamafs({"mount", "my view; false", "-o", "nonempty"}, games);
  EXPECT_EQ(mount.status, 4);
  const std::string mount_as_root = command_in(mount.err, "sudo ");
  EXPECT_EQ(mount_as_root,
            "sudo ollamafs mount --store " + quoted + " -o nonempty 'my view; false'");
  const Result mounted = type(mount_as_root);
  EXPECT_EQ(mounted.status, 0) << mounted.err;
  EXPECT_EQ(source_of(place_), odd_store_.root());
}

TEST_F(Taught, UmountEndsTheMountThatIsInTheWay) {
  const Words mount = {"mount", "--store", store_.root().string(), place_.string()};
  ASSERT_EQ(ollamafs(mount).status, 0);
  const Result again = ollamafs(mount, by_sudo());
  EXPECT_THAT(again.err, HasSubstr("`sudo ollamafs umount '" + place_.string() + "'`"));
  const std::string umount = command_in(ollamafs(mount).err, "ollamafs umount ");
  EXPECT_EQ(type(umount).status, 0) << umount;
  EXPECT_FALSE(is_mounted(place_));
}

TEST_F(Taught, LazyUmountEndsABusyMount) {
  ASSERT_EQ(ollamafs({"mount", "--store", store_.root().string(), place_.string()}).status, 0);
  const Background user{{"sleep", "1000"}, {.directory = place_}};
  ASSERT_TRUE(eventually(
      [&] { return fs::read_symlink("/proc/" + std::to_string(user.pid()) + "/cwd") == place_; }));
  const Words umount = {"umount", place_.string()};
  EXPECT_THAT(ollamafs(umount, by_sudo()).err, HasSubstr("`sudo ollamafs umount --lazy '"));
  const std::string lazy = command_in(ollamafs(umount).err, "ollamafs umount --lazy ");
  EXPECT_EQ(type(lazy).status, 0) << lazy;
  EXPECT_FALSE(is_mounted(place_));
  user.signal(SIGKILL);
}

TEST_F(Taught, UmountOfAnotherUsersMountIsQuoted) {
  ASSERT_EQ(ollamafs({"mount", "--store", store_.root().string(), place_.string()}).status, 0);
  const Result other = ollamafs({"umount", place_.string()}, as_games_);
  const std::string sudo = command_in(other.err, "sudo ollamafs umount ");
  EXPECT_EQ(type(sudo).status, 0) << sudo;
  EXPECT_FALSE(is_mounted(place_));
}

// ---- README.txt ----

TEST_F(Taught, ReadmeEndsTheMountAsItWasMade) {
  for (const bool sudo : {false, true}) {
    const RunOptions who = sudo ? by_sudo() : RunOptions{};
    const Result mounted =
        ollamafs({"mount", "--store", store_.root().string(), place_.string()}, who);
    ASSERT_EQ(mounted.status, 0) << mounted.err;
    const std::string readme = read_file(place_ / "README.txt");
    EXPECT_THAT(readme, EndsWith(std::string{"\n    "} + (sudo ? "sudo " : "") +
                                 "ollamafs umount '" + place_.string() + "'\n"));
    EXPECT_EQ(type(readme.substr(readme.rfind("    "))).status, 0);
    EXPECT_FALSE(is_mounted(place_));
    // The daemon removes the mount point when it leaves, which is after the unmount.
    EXPECT_TRUE(eventually([&] { return !fs::exists(place_); }));
  }
}

// ---- part of a store ----

TEST_F(Taught, StoreIsHintedAtByItsParts) {
  for (const char* const part : {"blobs", "manifests"}) {
    const Result result = ollamafs({"list", "--store", (store_.root() / part).string()});
    EXPECT_EQ(result.status, 3);
    EXPECT_THAT(result.err, EndsWith("; did you mean " + store_.root().string() + "?\n"));
  }
}

// ---- servers that are none ----

// Somebody's process with a server's name does not decide what root shows.
TEST_F(Taught, StoreOfAnybodysServerIsMentionedToRoot) {
  write_file(dir_ / "serve", "sleep 1000\n");
  fs::create_symlink("/bin/sh", dir_ / "ollama");
  RunOptions games = as_games_;
  games.directory = dir_.path();
  games.environment = {{"OLLAMA_MODELS", odd_store_.root().string()}};
  const Background server{{"./ollama", "serve"}, games};
  const auto started = [&] {
    return read_file("/proc/" + std::to_string(server.pid()) + "/cmdline").find("serve") !=
           std::string::npos;
  };
  ASSERT_TRUE(eventually(started));
  const std::string said = "(pid " + std::to_string(server.pid()) + ")";
  const auto list = [](RunOptions options) {
    options.environment.insert({{"OLLAMA_MODELS", ""}, {"HOME", "/nonexistent"}});
    return ollamafs({"list"}, options);
  };
  const Result root = list({.environment = {{"SUDO_USER", ""}}});
  EXPECT_THAT(root.out, Not(HasSubstr("llama3.2:3b")));
  EXPECT_THAT(root.err, HasSubstr("a server that games runs " + said));
  EXPECT_THAT(list(by_sudo()).out, HasSubstr("llama3.2:3b"));  // games asked sudo
  EXPECT_THAT(list(as_games_).out, HasSubstr("llama3.2:3b"));
}

}  // namespace
}  // namespace ollamafs::test
