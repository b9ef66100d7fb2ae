// How a mount begins: in the background from the prompt that comes back, in the foreground, and at
// a mount point that is made for it and goes with it.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <chrono>
#include <filesystem>
#include <string>
#include <thread>

#include "tests/mounted/access.h"
#include "tests/mounted/life.h"
#include "tests/mounted/mount.h"
#include "tests/mounted/slow_fusermount.h"
#include "tests/support/process.h"
#include "tests/support/store_builder.h"

namespace ollamafs::test {
namespace {

namespace fs = std::filesystem;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;

using BackgroundMount = Life;
using ForegroundMount = Life;
using MadeMountPoint = Life;

// ---- into the background ----

TEST_F(BackgroundMount, AnswersWhenThePromptIsBack) {
  for (int i = 0; i < 10; ++i) {
    const Place place;
    ASSERT_EQ(mount(place).status, 0);
    EXPECT_EQ(must({"ls", (place.path() / "models").string()}), "llama3.2+3b\n");
  }
}

// The pause gives one that comes back too early the time to be seen.
TEST_F(BackgroundMount, GivesThePromptBackOnlyWhenTheMountIsMade) {
  const Place place{false, as_games_.as};
  const SlowFusermount fusermount;
  Background mounting{mount_command(place.path()), as_games_};
  fusermount.wait_until_called();
  std::this_thread::sleep_for(std::chrono::milliseconds{300});
  EXPECT_FALSE(mounting.ended());
  fusermount.go_on();
  EXPECT_EQ(mounting.wait(std::chrono::seconds{30}), 0);
  EXPECT_EQ(must({"ls", (place.path() / "models").string()}, as_games_), "llama3.2+3b\n");
}

TEST_F(BackgroundMount, SaysWhatIsShownAndNothingAlarming) {
  const Place place;
  const Result result = mount(place);
  EXPECT_EQ(result.out, "");
  EXPECT_THAT(result.err, HasSubstr("ollamafs: " + place.path().string() + " shows the models of " +
                                    store_.root().string() + "\n"));
  for (const char* const alarm : {"rror", "arning", "fail", "cannot", "invalid"}) {
    EXPECT_THAT(result.err, Not(HasSubstr(alarm)));
  }
}

TEST_F(BackgroundMount, HasLeftTheTerminal) {
  const Place place;
  ASSERT_EQ(mount(place).status, 0);
  const pid_t daemon = place.daemon();
  EXPECT_EQ(::getsid(daemon), daemon);
  const fs::path proc = "/proc/" + std::to_string(daemon);
  EXPECT_EQ(fs::read_symlink(proc / "cwd"), "/");
  for (const char* const standard : {"0", "1", "2"}) {
    EXPECT_EQ(fs::read_symlink(proc / "fd" / standard), "/dev/null");
  }
}

// `script` gives it a terminal and hangs that up.
TEST_F(BackgroundMount, OutlivesItsTerminal) {
  const Place place;
  const std::string line =
      binary() + " mount --store " + store_.root().string() + " " + place.path().string();
  must({"script", "-qec", line, "/dev/null"});
  EXPECT_EQ(must({"ls", (place.path() / "models").string()}), "llama3.2+3b\n");
}

// It would wait for as long as the daemon held the other end of the pipe.
TEST_F(BackgroundMount, LetsACommandSubstitutionEnd) {
  const Place place;
  Words command = {"timeout", "-k1", "30", "sh", "-c", "said=$(\"$@\" 2>&1) && echo \"$said\"",
                   "sh"};
  const Words mount = mount_command(place.path());
  command.insert(command.end(), mount.begin(), mount.end());
  EXPECT_THAT(must(command), HasSubstr("shows the models"));
}

// A script's lock, a supervisor's pipe.
TEST_F(BackgroundMount, DoesNotKeepFilesThatItWasGiven) {
  const Place place;
  const std::string lock = (dir_ / "lock").string();
  Words command = {"sh", "-c", "exec 9>\"$0\"; flock 9; \"$@\"", lock};
  const Words mount = mount_command(place.path());
  command.insert(command.end(), mount.begin(), mount.end());
  must(command);
  EXPECT_EQ(run({"flock", "-n", lock, "true"}).status, 0);
}

// As some supervisors start programs. What is opened then gets the numbers of the missing three.
TEST_F(BackgroundMount, WorksWithoutStandardFiles) {
  const Place place;
  Words command = {"timeout", "-k1", "30", "sh", "-c", "exec \"$@\" <&- >&- 2>&-", "sh"};
  const Words mount = mount_command(place.path());
  command.insert(command.end(), mount.begin(), mount.end());
  EXPECT_EQ(run(command).status, 0);
  EXPECT_EQ(read_file(weights_in(place.path())), read_file(store_.blob_path(weights())));
}

// ---- in the foreground ----

TEST_F(ForegroundMount, StaysWhereItWasStarted) {
  Mount mount{store_.root()};
  const pid_t pid = mount.daemon().pid();
  EXPECT_THAT(processes_with(mount.path().string()), ElementsAre(pid));
  EXPECT_EQ(::getsid(pid), ::getsid(0));
  EXPECT_EQ(fs::read_symlink("/proc/" + std::to_string(pid) + "/cwd"), fs::current_path());
  mount.unmount();
  EXPECT_EQ(mount.daemon().wait(std::chrono::seconds{30}), 0);
}

// While it still says what it shows.
TEST_F(ForegroundMount, LeavesWellWhenItIsUnmountedAtOnce) {
  for (int i = 0; i < 30; ++i) const Mount mount{store_.root()};
}

TEST_F(ForegroundMount, LogsEveryRequestWithDebug) {
  const Mount mount{store_.root(), {.arguments = {"-d"}}};
  must({"cat", (mount / "README.txt").string()});
  EXPECT_THAT(mount.log(), HasSubstr("opcode: OPEN ("));
}

TEST_F(ForegroundMount, IsWhatDebugMeans) {
  const Place place;
  Background debug{mount_command(place.path(), {"-d"})};
  ASSERT_TRUE(
      eventually([&] { return debug.err().find("shows the models") != std::string::npos; }));
  EXPECT_THAT(place.daemons(), ElementsAre(debug.pid()));
  EXPECT_EQ(::getsid(debug.pid()), ::getsid(0));
}

// ---- a mount point that is made, and removed again ----

TEST_F(MadeMountPoint, GoesWithTheMount) {
  for (const std::string end : {"\"$OLLAMAFS\" umount \"$PLACE\"", "fusermount3 -u \"$PLACE\"",
                                "kill \"$DAEMON\"", "kill -INT \"$DAEMON\""}) {
    for (const RunOptions& user : {RunOptions{}, as_games_}) {
      const Place place{true, user.as};
      ASSERT_EQ(mount(place, user).status, 0);
      EXPECT_TRUE(is_mounted(place.path())) << end;
      RunOptions options = user;
      options.environment = {{"OLLAMAFS", binary()},
                             {"PLACE", place.path().string()},
                             {"DAEMON", std::to_string(place.daemon())}};
      must({"sh", "-c", end}, options);
      EXPECT_TRUE(eventually([&] { return is_gone(place.path()); })) << end;
    }
  }
}

TEST_F(MadeMountPoint, ThatWasThereStays) {
  const Place place;
  ASSERT_EQ(mount(place).status, 0);
  ASSERT_EQ(umount({place.path().string()}).status, 0);
  ASSERT_TRUE(eventually([&] { return place.daemons().empty(); }));
  EXPECT_TRUE(fs::is_empty(place.path()));
}

// ---- a mount point that nobody names ----

class UsualMountPoint : public Life {
 protected:
  UsualMountPoint() { must({"chown", "games", home_.path().string()}); }

  [[nodiscard]] Result mount_at_home(RunOptions options) const {
    options.environment["HOME"] = home_.path().string();
    return run({binary(), "mount", "--store", store_.root().string()}, options);
  }

  const Place home_;
  const fs::path view_ = home_.path() / "ollama-view";
};

TEST_F(UsualMountPoint, IsInTheHomeOfWhoMounts) {
  for (const RunOptions& user : {RunOptions{}, as_games_}) {
    const Result result = mount_at_home(user);
    ASSERT_EQ(result.status, 0) << result.err;
    EXPECT_EQ(must({"ls", (view_ / "models").string()}, user), "llama3.2+3b\n");
    ASSERT_EQ(umount({view_.string()}, user).status, 0);
    EXPECT_TRUE(eventually([&] { return is_gone(view_); }));
  }
}

// Whose $HOME may be root's.
TEST_F(UsualMountPoint, IsInTheHomeOfWhoCalledSudo) {
  const User games = *as_games_.as;
  std::string users = read_file("/etc/passwd");
  const std::size_t line = users.find("\ngames:") + 1;
  users.replace(line, users.find('\n', line) - line,
                "games:x:" + std::to_string(games.uid) + ":" + std::to_string(games.gid) +
                    "::" + home_.path().string() + ":/bin/sh");
  const NewOver passwd{"/etc/passwd", users, "0644"};
  const Result result = run({binary(), "mount", "--store", store_.root().string()},
                            {.environment = {{"HOME", "/nowhere"},
                                             {"SUDO_UID", std::to_string(games.uid)},
                                             {"SUDO_GID", std::to_string(games.gid)},
                                             {"SUDO_USER", "games"}}});
  ASSERT_EQ(result.status, 0) << result.err;
  EXPECT_EQ(must({"ls", (view_ / "models").string()}, as_games_), "llama3.2+3b\n");
  ASSERT_EQ(umount({view_.string()}).status, 0);
  EXPECT_TRUE(eventually([&] { return is_gone(view_); }));
}

}  // namespace
}  // namespace ollamafs::test
