// A mount's life: from the prompt that comes back to the daemon that leaves, and what it says
// meanwhile.
#include <dirent.h>
#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <fstream>
#include <iterator>
#include <stdexcept>
#include <string>
#include <system_error>
#include <thread>
#include <vector>

#include "store/dir_stream.h"
#include "store/unique_fd.h"
#include "tests/mounted/mount.h"
#include "tests/support/process.h"
#include "tests/support/sample_store.h"
#include "tests/support/store_builder.h"
#include "tests/support/temp_dir.h"

namespace ollamafs::test {
namespace {

namespace fs = std::filesystem;
using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;
using ::testing::SizeIs;

using Words = std::vector<std::string>;

// The processes of our program that have `argument` among their arguments.
std::vector<pid_t> processes_with(const std::string& argument) {
  std::vector<pid_t> found;
  for (const auto& entry : fs::directory_iterator{"/proc"}) {
    std::error_code ec;
    if (fs::read_symlink(entry.path() / "exe", ec) != fs::canonical(binary())) continue;
    std::ifstream file{entry.path() / "cmdline"};
    const std::string arguments{std::istreambuf_iterator<char>{file}, {}};
    if (arguments.find('\0' + argument + '\0') == std::string::npos) continue;
    found.push_back(std::stoi(entry.path().filename()));
  }
  return found;
}

// errno of listing a directory, 0 if it can be listed.
int listing_fails_with(const fs::path& path) {
  const DirStream dir{::opendir(path.c_str())};
  return dir ? 0 : errno;
}

bool is_gone(const fs::path& path) {
  struct stat st {};
  return ::lstat(path.c_str(), &st) != 0 && errno == ENOENT;
}

// Where a test mounts. At its end nothing is mounted there and no daemon serves it any more.
class Place {
 public:
  explicit Place(bool missing = false, const std::optional<User>& owner = {})
      : dir_{missing, owner} {}
  ~Place() {
    while (is_mounted(path()) && ::umount2(path().c_str(), UMOUNT_NOFOLLOW | MNT_DETACH) == 0) {
    }
    EXPECT_TRUE(eventually([&] { return daemons().empty(); })) << "a daemon stays behind";
    for (const pid_t pid : daemons()) ::kill(pid, SIGKILL);
  }
  Place(const Place&) = delete;
  Place& operator=(const Place&) = delete;

  [[nodiscard]] const fs::path& path() const noexcept { return dir_.path(); }
  [[nodiscard]] std::vector<pid_t> daemons() const { return processes_with(path().string()); }
  // The one that serves it.
  [[nodiscard]] pid_t daemon() const {
    const auto found = daemons();
    if (found.size() != 1) throw std::runtime_error{"not one daemon"};  // never signal process 0
    return found.front();
  }

 private:
  MountDir dir_;
};

// A file that stands in another's place.
class Over {
 public:
  Over(const fs::path& file, const fs::path& place) : place_{place} {
    if (::mount(file.c_str(), place.c_str(), nullptr, MS_BIND, nullptr) != 0) {
      throw std::system_error{errno, std::generic_category(), place.string()};
    }
  }
  ~Over() { ::umount2(place_.c_str(), MNT_DETACH); }
  Over(const Over&) = delete;
  Over& operator=(const Over&) = delete;

 private:
  fs::path place_;
};

// A fusermount3 that does nothing until it is told to go on. It makes the mounts of ordinary users,
// and the daemon waits for it.
class SlowFusermount {
 public:
  void wait_until_called() const {
    if (!eventually([&] { return fs::exists(dir_ / "called"); })) {
      throw std::runtime_error{"fusermount3 was not called"};
    }
  }
  void go_on() const { write_file(dir_ / "go", ""); }

 private:
  [[nodiscard]] fs::path script() const {
    must({"chmod", "0777", dir_.path().string()});
    const std::string dir = dir_.path().string();
    write_file(dir_ / "script",
               "#!/bin/sh\n"
               ": >" +
                   dir +
                   "/called\n"
                   "while [ ! -e " +
                   dir +
                   "/go ]; do sleep 0.01; done\n"
                   "exec " +
                   dir + "/real \"$@\"\n");
    must({"chmod", "0755", dir + "/script"});
    return dir_ / "script";
  }
  [[nodiscard]] fs::path place_for_real() const {
    write_file(dir_ / "real", "");
    return dir_ / "real";
  }

  const fs::path usual_ = must({"sh", "-c", "printf %s \"$(command -v fusermount3)\""});
  const TempDir dir_;
  const Over kept_{usual_, place_for_real()};
  const Over replaced_{script(), usual_};
};

// A store and the commands about it.
class Life : public ::testing::Test {
 protected:
  Life() { store_.v1("llama3.2:3b", model_); }

  [[nodiscard]] Words mount_command(const fs::path& place, const Words& options = {}) const {
    Words command = {binary(), "mount", "--store", store_.root().string(), place.string()};
    command.insert(command.end(), options.begin(), options.end());
    return command;
  }
  [[nodiscard]] Result mount(const Place& place, const RunOptions& options = {}) const {
    return run(mount_command(place.path()), options);
  }
  static Result umount(const Words& arguments, const RunOptions& options = {}) {
    Words command = {binary(), "umount"};
    command.insert(command.end(), arguments.begin(), arguments.end());
    return run(command, options);
  }
  // Kills the daemon of a mount, and waits until that is dead.
  static void kill_daemon(const Place& place, const RunOptions& user) {
    ::kill(place.daemon(), SIGKILL);
    ASSERT_TRUE(eventually([&] {
      return run({"ls", place.path().string()}, user).err.find(std::strerror(ENOTCONN)) !=
             std::string::npos;
    }));
  }
  void leave_dead_mount(const Place& place, const RunOptions& user = {}) const {
    ASSERT_EQ(mount(place, user).status, 0);
    kill_daemon(place, user);
  }

  [[nodiscard]] Digest weights() const { return *Digest::parse(model_.layers[0].digest); }
  // The weights as the view shows them.
  [[nodiscard]] fs::path weights_in(const fs::path& view) const {
    return view / "models/llama3.2+3b/blobs" / weights().blob_name();
  }

  TempDir dir_;
  StoreBuilder store_{dir_ / "models"};
  ManifestSpec model_ = store_.text_model(1, 3'000'000);
  const RunOptions as_games_{.as = User::named("games")};
};

using ForegroundMount = Life;
using BackgroundMount = Life;
using MadeMountPoint = Life;
using DeadMount = Life;
using Umount = Life;
using Signal = Life;
using Logging = Life;

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

// As some supervisors start programs. What is opened then gets the numbers of the missing three.
TEST_F(BackgroundMount, WorksWithoutStandardFiles) {
  const Place place;
  Words command = {"timeout", "-k1", "30", "sh", "-c", "exec \"$@\" <&- >&- 2>&-", "sh"};
  const Words mount = mount_command(place.path());
  command.insert(command.end(), mount.begin(), mount.end());
  EXPECT_EQ(run(command).status, 0);
  EXPECT_EQ(read_file(weights_in(place.path())), read_file(store_.blob_path(weights())));
}

TEST_F(ForegroundMount, StaysWhereItWasStarted) {
  Mount mount{store_.root()};
  const pid_t pid = mount.daemon().pid();
  EXPECT_THAT(processes_with(mount.path().string()), ElementsAre(pid));
  EXPECT_EQ(::getsid(pid), ::getsid(0));
  EXPECT_EQ(fs::read_symlink("/proc/" + std::to_string(pid) + "/cwd"), fs::current_path());
  mount.unmount();
  EXPECT_EQ(mount.daemon().wait(std::chrono::seconds{30}), 0);
}

TEST_F(ForegroundMount, LogsEveryRequestWithDebug) {
  const Mount mount{store_.root(), {.arguments = {"-d"}}};
  must({"cat", (mount / "README.txt").string()});
  EXPECT_THAT(mount.log(), HasSubstr("opcode: OPEN ("));
}

TEST_F(ForegroundMount, IsWhatDebugMeans) {
  const Place place;
  Background debug{mount_command(place.path(), {"-d"})};
  ASSERT_TRUE(eventually([&] { return is_mounted(place.path()) || debug.ended(); }));
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

// ---- mounts whose daemon has died ----

TEST_F(DeadMount, IsClearedByTheNextWithAMessage) {
  const Place place;
  leave_dead_mount(place);
  const Result result = mount(place);
  EXPECT_EQ(result.status, 0) << result.err;
  EXPECT_THAT(result.err, HasSubstr("cleared a dead mount at " + place.path().string()));
  EXPECT_EQ(must({"ls", (place.path() / "models").string()}), "llama3.2+3b\n");
  // Nothing of the dead one is left beneath.
  ASSERT_EQ(umount({place.path().string()}).status, 0);
  EXPECT_FALSE(is_mounted(place.path()));
}

TEST_F(DeadMount, IsClearedForAnOrdinaryUser) {
  const Place place{false, as_games_.as};
  leave_dead_mount(place, as_games_);
  const Result result = mount(place, as_games_);
  EXPECT_EQ(result.status, 0) << result.err;
  EXPECT_THAT(result.err, HasSubstr("cleared a dead mount at " + place.path().string()));
  EXPECT_EQ(must({"ls", (place.path() / "models").string()}, as_games_), "llama3.2+3b\n");
}

// Root may not look into a user's mount, dead or alive, and so may not know that it can go: then it
// must be told what helps.
TEST_F(DeadMount, OfAUserDoesNotLeaveRootHelpless) {
  const Place place{false, as_games_.as};
  leave_dead_mount(place, as_games_);
  if (const Result result = mount(place); result.status != 0) {
    EXPECT_THAT(result.err, AllOf(HasSubstr(place.path().string()), HasSubstr("ollamafs umount")));
    EXPECT_EQ(umount({place.path().string()}).status, 0);
    EXPECT_EQ(mount(place).status, 0);
  }
  EXPECT_EQ(must({"ls", (place.path() / "models").string()}), "llama3.2+3b\n");
}

// As two daemons leave them that were started at once.
TEST_F(DeadMount, OnAnotherIsClearedWithIt) {
  for (const RunOptions& user : {RunOptions{}, as_games_}) {
    const Place place{false, user.as}, second{false, user.as};
    leave_dead_mount(place, user);
    ASSERT_EQ(mount(second, user).status, 0);
    ASSERT_EQ(::mount(second.path().c_str(), place.path().c_str(), nullptr, MS_BIND, nullptr), 0);
    kill_daemon(second, user);
    const Result result = mount(place, user);
    EXPECT_EQ(result.status, 0) << result.err;
    ASSERT_EQ(umount({place.path().string()}, user).status, 0);
    EXPECT_FALSE(is_mounted(place.path()));
  }
}

TEST_F(DeadMount, OfAnotherFileSystemIsNotTouched) {
  const Place place;
  UniqueFd fuse{::open("/dev/fuse", O_RDWR | O_CLOEXEC)};
  const std::string options =
      "fd=" + std::to_string(fuse.get()) + ",rootmode=40000,user_id=0,group_id=0";
  ASSERT_EQ(
      ::mount("theirs", place.path().c_str(), "fuse.theirs", MS_NOSUID | MS_NODEV, options.c_str()),
      0);
  fuse = UniqueFd{};
  ASSERT_EQ(listing_fails_with(place.path()), ENOTCONN);

  const Result result = mount(place);
  EXPECT_EQ(result.status, 1);
  EXPECT_THAT(result.err, AllOf(HasSubstr(place.path().string()), HasSubstr("fuse.theirs"),
                                HasSubstr("fusermount3 -u")));
  EXPECT_TRUE(is_mounted(place.path()));
}

// ---- ollamafs umount ----

TEST_F(Umount, EndsTheMountThroughAnyNameOfIt) {
  const Place place;
  fs::create_directory_symlink(place.path(), dir_ / "link");
  for (const std::string& name : {place.path().string(), place.path().string() + "/",
                                  (dir_ / "link").string(), place.path().filename().string()}) {
    ASSERT_EQ(mount(place).status, 0);
    const Result result = umount({name}, {.directory = place.path().parent_path()});
    EXPECT_EQ(result.status, 0) << result.err;
    EXPECT_EQ(result.out + result.err, "");
    EXPECT_FALSE(is_mounted(place.path())) << name;
    ASSERT_TRUE(eventually([&] { return place.daemons().empty(); }));
  }
}

TEST_F(Umount, OfABusyMountSaysSoAndWhatToDo) {
  for (const RunOptions& user : {RunOptions{}, as_games_}) {
    const Place place{false, user.as};
    ASSERT_EQ(mount(place, user).status, 0);
    const fs::path models = place.path() / "models";
    Background visitor{{"sh", "-c", "cd \"$0\" && exec sleep 1000", models.string()}, user};
    const std::string cwd = "/proc/" + std::to_string(visitor.pid()) + "/cwd";
    std::error_code ec;
    ASSERT_TRUE(eventually([&] { return fs::read_symlink(cwd, ec) == models; }));
    const Result result = umount({place.path().string()}, user);
    EXPECT_EQ(result.status, 1);
    EXPECT_THAT(result.err, AllOf(HasSubstr(place.path().string()), HasSubstr("busy"),
                                  HasSubstr("ollamafs umount --lazy")));
    EXPECT_EQ(run({"ls", models.string()}, user).status, 0);
    EXPECT_NE(run({"fusermount3", "-u", place.path().string()}, user).status, 0);
    EXPECT_EQ(run({"ls", models.string()}, user).status, 0);
  }
}

TEST_F(Umount, LazilyHidesABusyMountAndLetsWhatIsOpenBeRead) {
  for (const char* const flag : {"--lazy", "-l"}) {
    const Place place;
    ASSERT_EQ(mount(place).status, 0);
    std::ifstream open{weights_in(place.path()), std::ios::binary};
    std::string bytes(1000, '\0');
    open.read(bytes.data(), 1000);
    const Result result = umount({flag, place.path().string()});
    EXPECT_EQ(result.status, 0) << result.err;
    EXPECT_TRUE(fs::is_empty(place.path()));
    bytes.append(std::istreambuf_iterator<char>{open}, {});
    EXPECT_TRUE(bytes == read_file(store_.blob_path(weights())));
    EXPECT_THAT(place.daemons(), SizeIs(1));
    open.close();
    EXPECT_TRUE(eventually([&] { return place.daemons().empty(); }));
  }
}

TEST_F(Umount, RefusesWhatIsNotItsMount) {
  const Place place;
  const std::string path = place.path().string();
  Result result = umount({path});
  EXPECT_EQ(result.status, 1);
  EXPECT_THAT(result.err, HasSubstr(path + " is not a mount of ollamafs"));

  ASSERT_EQ(::mount("tmpfs", path.c_str(), "tmpfs", 0, nullptr), 0);
  result = umount({path});
  EXPECT_EQ(result.status, 1);
  EXPECT_THAT(result.err, AllOf(HasSubstr(path), HasSubstr("tmpfs")));
  EXPECT_TRUE(is_mounted(path));
}

TEST_F(Umount, OfAPathThatIsNotThereSaysSo) {
  const std::string path = (dir_ / "nowhere/view").string();
  const Result result = umount({path});
  EXPECT_EQ(result.status, 1);
  EXPECT_THAT(result.err, AllOf(HasSubstr(path), HasSubstr("No such file or directory")));
  EXPECT_THAT(result.err, Not(HasSubstr("made")));  // nobody wants to make it
}

TEST_F(Umount, OfAnotherUsersMountAdvisesSudo) {
  const Place place;
  ASSERT_EQ(mount(place).status, 0);
  const Result result = umount({place.path().string()}, as_games_);
  EXPECT_EQ(result.status, 1);
  EXPECT_THAT(result.err,
              AllOf(HasSubstr(place.path().string()), HasSubstr("sudo ollamafs umount")));
  EXPECT_TRUE(is_mounted(place.path()));
}

// ---- signals ----

class EndingSignal : public Life, public ::testing::WithParamInterface<int> {};

INSTANTIATE_TEST_SUITE_P(Signals, EndingSignal, ::testing::Values(SIGTERM, SIGINT, SIGHUP),
                         [](const auto& param) {
                           return std::string{::sigabbrev_np(param.param)};
                         });

TEST_P(EndingSignal, HidesTheMountAndLetsWhatIsOpenBeReadToItsEnd) {
  Mount mount{store_.root()};
  Background& daemon = mount.daemon();
  std::ifstream open{weights_in(mount.path()), std::ios::binary};
  std::string bytes(1000, '\0');
  open.read(bytes.data(), 1000);
  daemon.signal(GetParam());
  ASSERT_TRUE(eventually([&] { return !is_mounted(mount.path()); }));
  EXPECT_TRUE(fs::is_empty(mount.path()));
  bytes.append(std::istreambuf_iterator<char>{open}, {});
  EXPECT_TRUE(bytes == read_file(store_.blob_path(weights())));
  EXPECT_FALSE(daemon.ended());
  open.close();
  EXPECT_EQ(daemon.wait(std::chrono::seconds{30}), 0);
}

TEST_P(EndingSignal, GivenAgainEndsWhatIsOpenToo) {
  Mount mount{store_.root()};
  const UniqueFd open{::open(weights_in(mount.path()).c_str(), O_RDONLY | O_CLOEXEC)};
  ASSERT_TRUE(open);
  mount.daemon().signal(GetParam());
  ASSERT_TRUE(eventually([&] { return !is_mounted(mount.path()); }));
  EXPECT_FALSE(mount.daemon().ended());
  mount.daemon().signal(GetParam());
  EXPECT_EQ(mount.daemon().wait(std::chrono::seconds{30}), 0);
  char byte = 0;
  EXPECT_LT(::pread(open.get(), &byte, 1, 2'999'000), 0);
}

TEST_P(EndingSignal, EndsABackgroundMountOfAnOrdinaryUser) {
  const Place place{false, as_games_.as};
  ASSERT_EQ(mount(place, as_games_).status, 0);
  ::kill(place.daemon(), GetParam());
  EXPECT_TRUE(eventually([&] { return place.daemons().empty(); }));
  EXPECT_FALSE(is_mounted(place.path()));
}

// Ctrl-C reaches every process in the foreground. It comes at ten moments of the first two thirds
// of the start. Should that be over sooner this time, Ctrl-C comes too late, and the mount must
// answer.
TEST_F(Signal, CtrlCDuringTheStartLeavesNothingBehind) {
  write_many_models(store_, 300);
  const auto begin = std::chrono::steady_clock::now();
  EXPECT_EQ(mount(Place{}).status, 0);
  const auto start = std::chrono::steady_clock::now() - begin;
  for (int moment = 0; moment < 10; ++moment) {
    const Place place{true};
    Background mounting{mount_command(place.path())};
    ASSERT_TRUE(eventually([&] { return !mounting.err().empty(); }));
    std::this_thread::sleep_for(start * moment / 15);
    ::kill(-mounting.pid(), SIGINT);
    const auto status = mounting.wait(std::chrono::seconds{30});
    if (status == 0) {
      EXPECT_EQ(listing_fails_with(place.path()), 0);
      continue;
    }
    EXPECT_EQ(status, 128 + SIGINT);
    EXPECT_TRUE(eventually([&] { return place.daemons().empty(); }));
    EXPECT_FALSE(is_mounted(place.path()));
    EXPECT_TRUE(is_gone(place.path()));
  }
}

TEST_F(Signal, WhileTheMountIsMadeIsNotLost) {
  const Place place{false, as_games_.as};
  const SlowFusermount fusermount;
  Background mounting{mount_command(place.path(), {"-f"}), as_games_};
  fusermount.wait_until_called();
  mounting.signal(SIGTERM);
  const std::string status = "/proc/" + std::to_string(mounting.pid()) + "/status";
  ASSERT_TRUE(eventually([&] {  // until it has taken the signal
    return read_file(status).find("ShdPnd:\t0000000000000000") != std::string::npos;
  }));
  fusermount.go_on();
  EXPECT_TRUE(mounting.wait(std::chrono::seconds{20})) << "the signal was lost: " << mounting.err();
  EXPECT_FALSE(is_mounted(place.path()));
}

// ---- what is said while it runs ----

// A /dev/log of the test's own, the rest of /dev as it is.
class SystemLog {
 public:
  SystemLog() {
    check(::mount("/dev", rest_.path().c_str(), nullptr, MS_BIND | MS_REC, nullptr), "bind /dev");
    check(::mount("tmpfs", "/dev", "tmpfs", 0, "mode=0755"), "a new /dev");
    for (const auto& entry : fs::directory_iterator{rest_.path()}) {
      const fs::path name = entry.path().filename();
      if (name != "log") fs::create_symlink(entry.path(), "/dev" / name);
    }
    socket_ = UniqueFd{::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0)};
    sockaddr_un address{AF_UNIX, "/dev/log"};
    check(::bind(socket_.get(), reinterpret_cast<sockaddr*>(&address), sizeof address), "/dev/log");
    check(::chmod("/dev/log", 0666), "/dev/log");
  }
  ~SystemLog() {
    ::umount2("/dev", MNT_DETACH);
    ::umount2(rest_.path().c_str(), MNT_DETACH);
  }
  SystemLog(const SystemLog&) = delete;
  SystemLog& operator=(const SystemLog&) = delete;

  // What has arrived since the last call.
  Words lines() {
    Words lines;
    char buffer[4096];
    for (ssize_t n; (n = ::recv(socket_.get(), buffer, sizeof buffer, 0)) >= 0;) {
      lines.emplace_back(buffer, static_cast<std::size_t>(n));
    }
    return lines;
  }

 private:
  static void check(int result, const char* what) {
    if (result != 0) throw std::system_error{errno, std::generic_category(), what};
  }

  MountDir rest_;
  UniqueFd socket_;
};

// Reads all files of the view, more than a thousand. Returns how many.
std::size_t read_all(const fs::path& view) {
  return std::stoul(must(
      {"sh", "-c", "find \"$0\" -type f -exec cat {} + >/dev/null && find \"$0\" -type f | wc -l",
       view.string()}));
}

TEST_F(Logging, GoesToTheSystemsLogAndSaysNothingAboutRequests) {
  SystemLog log;
  write_many_models(store_, 200);
  const Place place;
  ASSERT_EQ(mount(place).status, 0);
  const std::string pid = std::to_string(place.daemon());
  EXPECT_GT(read_all(place.path()), 1000u);
  EXPECT_THAT(log.lines(), IsEmpty());

  fs::resize_file(store_.blob_path(weights()), 1000);
  for (int i = 0; i < 3; ++i) {
    EXPECT_NE(run({"cat", weights_in(place.path()).string()}).status, 0);
  }
  const Words lines = log.lines();
  ASSERT_THAT(lines, SizeIs(1));  // said once
  EXPECT_THAT(lines[0],
              AllOf(HasSubstr("ollamafs[" + pid + "]: error: "), HasSubstr(weights().blob_name())));

  ::kill(place.daemon(), SIGTERM);
  EXPECT_TRUE(eventually([&] { return place.daemons().empty(); }));
  EXPECT_THAT(log.lines(), ElementsAre(HasSubstr("unmounting")));
}

TEST_F(Logging, InTheForegroundGoesToStderrAndSaysNothingAboutRequests) {
  write_many_models(store_, 200);
  const Mount mount{store_.root()};
  const std::string start = mount.log();
  EXPECT_GT(read_all(mount.path()), 1000u);
  EXPECT_EQ(mount.log(), start);

  fs::resize_file(store_.blob_path(weights()), 1000);
  for (int i = 0; i < 3; ++i) EXPECT_NE(run({"cat", weights_in(mount.path()).string()}).status, 0);
  const std::string said = mount.log().substr(start.size());
  EXPECT_EQ(std::ranges::count(said, '\n'), 1) << said;
  EXPECT_THAT(said, AllOf(HasSubstr("ollamafs: error: "), HasSubstr(weights().blob_name())));
}

}  // namespace
}  // namespace ollamafs::test
