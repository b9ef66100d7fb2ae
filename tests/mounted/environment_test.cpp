// What stands around a mount: the mount point, the machine, the store that is to be found. A mount
// that cannot be made says why and leaves nothing behind.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <mntent.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/stat.h>

#include <cerrno>
#include <chrono>
#include <cstdio>
#include <cstring>
#include <fstream>
#include <iterator>
#include <map>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "tests/mounted/mount.h"
#include "tests/support/process.h"
#include "tests/support/store_builder.h"
#include "tests/support/temp_dir.h"

namespace ollamafs::test {
namespace {

namespace fs = std::filesystem;
using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;

using Words = std::vector<std::string>;

Words operator+(Words left, const Words& right) {
  left.insert(left.end(), right.begin(), right.end());
  return left;
}

// `command` in a namespace of its own, after the lines of `setup`.
Words within(const std::string& setup, const Words& command, const Words& namespaces = {"-m"}) {
  return Words{"unshare"} + namespaces + Words{"sh", "-ec", setup + "\nexec \"$@\"", "sh"} +
         command;
}

Words as_games(const Words& command) {
  const User games = User::named("games");
  return Words{"setpriv",
               "--reuid",
               std::to_string(games.uid),
               "--regid",
               std::to_string(games.gid),
               "--clear-groups",
               "--"} +
         command;
}

// How many of our processes have `argument` among their arguments.
int processes_with(const std::string& argument) {
  int count = 0;
  for (const auto& entry : fs::directory_iterator{"/proc"}) {
    std::error_code ec;
    if (fs::read_symlink(entry.path() / "exe", ec) != fs::canonical(binary())) continue;
    std::ifstream file{entry.path() / "cmdline"};
    const std::string arguments{std::istreambuf_iterator<char>{file}, {}};
    if (arguments.find('\0' + argument + '\0') != std::string::npos) ++count;
  }
  return count;
}

struct Mounted {
  std::string source;
  std::string place;
};

// The mounts that this process sees, decoded by the C library.
std::vector<Mounted> mounts() {
  const std::unique_ptr<FILE, int (*)(FILE*)> table{::setmntent("/proc/self/mounts", "r"),
                                                    ::endmntent};
  std::vector<Mounted> all;
  while (const mntent* entry = ::getmntent(table.get())) {
    all.push_back({entry->mnt_fsname, entry->mnt_dir});
  }
  return all;
}

// What is shown as the source of the mount at `path`.
std::string source_of(const fs::path& path) {
  std::string source;
  for (const Mounted& mount : mounts()) {
    if (path == mount.place) source = mount.source;
  }
  return source;
}

// Everything about a place that a failed mount must not change.
std::string state_of(const fs::path& place) {
  std::string state = source_of(place) + " ";
  struct stat st {};
  if (::lstat(place.c_str(), &st) != 0) return state + std::strerror(errno);
  state += std::to_string(st.st_ino) + " " + std::to_string(st.st_mode) + " " +
           std::to_string(st.st_uid);
  if (!S_ISDIR(st.st_mode)) return state;
  for (const auto& entry : fs::directory_iterator{place}) state += " " + entry.path().string();
  return state;
}

// A store with one model, to be mounted at various places.
class Environment : public ::testing::Test {
 protected:
  Environment() { write_model(store_); }
  // A mount that should not have been made must go before the directory that it is in.
  ~Environment() override {
    for (const Mounted& mount : mounts()) {
      if (mount.source.starts_with(dir_.path().string())) {
        ::umount2(mount.place.c_str(), UMOUNT_NOFOLLOW | MNT_DETACH);
      }
    }
  }
  static void write_model(const StoreBuilder& store) {
    store.v1("llama3.2:3b", store.text_model(1, 1000));
  }
  [[nodiscard]] Words mount_at(const fs::path& place) const {
    return {binary(), "mount", "--store", store_.root().string(), place.string()};
  }

  // The command fails with this status and says all these words, from the background as from the
  // foreground. Afterwards everything at `place` is as before, and no process is left.
  void expect_refused(const Words& command, const fs::path& place, const Words& told,
                      int status = 1, const RunOptions& options = {}) const {
    const std::string before = state_of(place);
    const int processes = processes_with(store_.root());
    for (const Words& flag : {Words{}, Words{"-f"}}) {
      const Result result = run(command + flag, options);
      EXPECT_EQ(result.status, status) << result.err;
      EXPECT_EQ(result.out, "");
      EXPECT_THAT(result.err, HasSubstr("ollamafs: error: "));
      for (const std::string& word : told) EXPECT_THAT(result.err, HasSubstr(word));
      EXPECT_EQ(state_of(place), before);
      EXPECT_EQ(processes_with(store_.root()), processes);
    }
  }

  TempDir dir_;
  StoreBuilder store_{dir_ / "models"};
  const RunOptions as_games_{.as = User::named("games")};
};

using MountPoint = Environment;
using Machine = Environment;

// ---- the mount point ----

TEST_F(MountPoint, ThatIsAFileIsRefused) {
  const MountDir dir{true};
  const fs::path file = dir_ / "file";
  write_file(file, "mine");
  expect_refused(mount_at(file), file, {file.string(), "not a directory"});
  EXPECT_EQ(read_file(file), "mine");
}

TEST_F(MountPoint, WithoutAParentIsRefused) {
  const fs::path place = dir_ / "no/view";
  expect_refused(mount_at(place), place.parent_path(),
                 {place.string(), "No such file or directory"});
}

TEST_F(MountPoint, BelowAFileIsRefused) {
  write_file(dir_ / "file", "mine");
  const fs::path place = dir_ / "file/view";
  expect_refused(mount_at(place), place, {place.string(), "Not a directory"});
}

TEST_F(MountPoint, WithFilesInItIsRefused) {
  const MountDir dir;
  write_file(dir.path() / "mine", "mine");
  expect_refused(mount_at(dir.path()), dir.path(),
                 {dir.path().string(), "not empty", "-o nonempty"});
  fs::remove(dir.path() / "mine");
}

TEST_F(MountPoint, WithFilesInItHidesThemIfToldTo) {
  const fs::path place = dir_ / "view";
  write_file(place / "mine", "mine");
  must(mount_at(place) + Words{"-o", "nonempty"});
  EXPECT_FALSE(fs::exists(place / "mine"));
  EXPECT_TRUE(fs::exists(place / "README.txt"));
  must({binary(), "umount", place.string()});
  EXPECT_EQ(read_file(place / "mine"), "mine");
}

TEST_F(MountPoint, WhereAStoreIsShownAlreadyIsNamed) {
  const Mount mount{store_.root()};
  expect_refused(mount_at(mount.path()), mount.path(),
                 {mount.path().string(), "in use", store_.root().string(), "ollamafs umount"});
}

// Which root may not look into.
TEST_F(MountPoint, WhereAnotherUserIsShownAStoreIsNamed) {
  const Mount mount{store_.root(), {.run = as_games_}};
  expect_refused(mount_at(mount.path()), mount.path(),
                 {mount.path().string(), "in use", "ollamafs umount"});
}

TEST_F(MountPoint, OfAnotherFileSystemIsNamed) {
  const MountDir dir;
  ASSERT_EQ(::mount("theirs", dir.path().c_str(), "tmpfs", 0, nullptr), 0);
  expect_refused(mount_at(dir.path()), dir.path(),
                 {dir.path().string(), "in use", "theirs", "tmpfs"});
  EXPECT_EQ(::umount2(dir.path().c_str(), 0), 0);
}

// However the one or the other is spelled.
TEST_F(MountPoint, InTheStoreIsRefused) {
  fs::create_directory_symlink(store_.root(), dir_ / "link");
  fs::create_directory_symlink(store_.root() / "blobs", dir_ / "blobs");
  fs::create_directory(store_.root() / "view");
  for (const fs::path& place : {store_.root(), store_.root() / "new", store_.root() / "view",
                                dir_ / "link", dir_ / "link/new", dir_ / "link/view/",
                                store_.root() / "../models/new", dir_ / "blobs/../new"}) {
    SCOPED_TRACE(place);
    expect_refused(mount_at(place), place, {"lies in", store_.root().string()});
  }
  expect_refused(
      {binary(), "mount", "--store", (dir_ / "link").string(), (store_.root() / "new").string()},
      store_.root() / "new", {"lies in", store_.root().string()});
}

TEST_F(MountPoint, AroundTheStoreIsRefused) {
  fs::create_directory_symlink(dir_.path(), dir_ / "link");
  for (const fs::path& place : {dir_.path(), dir_ / "link", dir_ / "models/.."}) {
    SCOPED_TRACE(place);
    expect_refused(mount_at(place) + Words{"-o", "nonempty"}, dir_.path(),
                   {"lies in", store_.root().string()});
  }
}

// ".." behind a symlink is above the place where that leads, as for every other program.
TEST_F(MountPoint, MeansWhatTheKernelMeans) {
  fs::create_directories(dir_ / "there/below");
  fs::create_directory_symlink(dir_ / "there/below", dir_ / "link");
  must(mount_at(dir_ / "link/../view"));
  EXPECT_TRUE(is_mounted(dir_ / "there/view"));
  EXPECT_FALSE(is_mounted(dir_ / "view"));
  must({binary(), "umount", (dir_ / "link/../view").string()});
}

// ---- the machine ----

TEST_F(Machine, WithoutFuseIsTold) {
  const std::string bare = "mount -t tmpfs none /dev; mknod -m 666 /dev/null c 1 3";
  const MountDir root_place{true}, user_place{true, as_games_.as};
  expect_refused(within(bare, mount_at(root_place.path())), root_place.path(),
                 {"there is no /dev/fuse", "modprobe fuse", "--device /dev/fuse"});
  expect_refused(within(bare, as_games(mount_at(user_place.path()))), user_place.path(),
                 {"there is no /dev/fuse", "modprobe fuse"});
  // As the message promises.
  EXPECT_THAT(must(within(bare, {binary(), "list", "--store", store_.root().string()})),
              HasSubstr("llama3.2:3b"));
}

TEST_F(Machine, WithAClosedFuseIsToldToOrdinaryUsers) {
  const std::string closed =
      "mount -t tmpfs none /mnt; mknod -m 600 /mnt/fuse c 10 229; mount --bind /mnt/fuse /dev/fuse";
  const MountDir place{true, as_games_.as};
  expect_refused(within(closed, as_games(mount_at(place.path()))), place.path(),
                 {"/dev/fuse", "Permission denied", "chmod 0666 /dev/fuse", "sudo ollamafs mount"});
}

// `command` as games where there is no fusermount3; `tools` is an empty directory.
Words without_fusermount(const fs::path& tools, const Words& command) {
  Words line = as_games(command);
  line[0] = (tools / line[0]).string();
  return within("mount --bind /usr/bin " + tools.string() + "; PATH=" + tools.string() +
                    "; mount -t tmpfs none /usr/bin; PATH=/nowhere",
                line);
}

TEST_F(Machine, WithoutFusermountIsToldToOrdinaryUsers) {
  const MountDir tools, place{true, as_games_.as};
  expect_refused(without_fusermount(tools.path(), mount_at(place.path())), place.path(),
                 {"fusermount3", "missing", "package fuse3", "sudo ollamafs mount"});

  const Mount mount{store_.root(), {.run = as_games_}};
  const Result result =
      run(without_fusermount(tools.path(), {binary(), "umount", mount.path().string()}));
  EXPECT_EQ(result.status, 1);
  EXPECT_THAT(result.err, AllOf(HasSubstr("ollamafs: error: "), HasSubstr(mount.path().string()),
                                HasSubstr("fusermount3")));
  EXPECT_TRUE(is_mounted(mount.path()));
}

// A service's PATH may lack it; libfuse knows where it is.
TEST_F(Machine, WithoutFusermountInThePathStillMountsAndUnmounts) {
  Mount mount{store_.root(), {.run = {.as = as_games_.as, .environment = {{"PATH", "/nowhere"}}}}};
  EXPECT_EQ(must({"ls", (mount / "models").string()}, as_games_), "llama3.2+3b\n");
  mount.daemon().signal(SIGTERM);
  EXPECT_EQ(mount.daemon().wait(std::chrono::seconds{30}), 0) << mount.log();
  EXPECT_FALSE(is_mounted(mount.path()));
}

TEST_F(Machine, WhereTheMountPointCannotBeMadeIsTold) {
  const MountDir of_root{true};
  expect_refused(mount_at(of_root.path()), of_root.path(),
                 {of_root.path().string(), "Permission denied"}, 1, as_games_);
  const MountDir on_read_only;
  const fs::path place = on_read_only.path() / "view";
  expect_refused(
      within("mount -t tmpfs -o ro none " + on_read_only.path().string(), mount_at(place)), place,
      {place.string(), "Read-only file system"});
}

// fusermount3 says why.
TEST_F(Machine, WhereTheMountPointIsAnotherUsersIsTold) {
  const MountDir of_root;
  expect_refused(mount_at(of_root.path()), of_root.path(),
                 {"fusermount3: ", "no write access", "cannot mount at " + of_root.path().string()},
                 1, as_games_);
}

// ---- the store that is found ----

// A machine without Ollama: no server runs, no unit, nothing in the usual places but HOME.
class FoundStore : public Environment {
 protected:
  // `command` there, after the lines of `setup`.
  [[nodiscard]] Result run_there(const std::string& setup, const Words& command,
                                 std::map<std::string, std::string> environment = {}) const {
    constexpr const char* empty =
        "for dir in /etc/systemd/system /run/systemd/system /usr/local/lib/systemd/system"
        " /usr/lib/systemd/system /usr/share/ollama /var/lib/ollama /var/snap/ollama"
        " /root/.ollama; do\n"
        "  if [ -d $dir ]; then mount -t tmpfs none $dir; fi\n"
        "done\n";
    environment.try_emplace("HOME", home_.string());
    environment.try_emplace("OLLAMA_MODELS", "");
    environment.try_emplace("SUDO_USER", "");
    return run(within(empty + setup, command, {"-m", "-p", "-f", "--mount-proc"}),
               {.environment = environment});
  }

  // Mounts what is found and lists it: the daemon would not outlive the namespace.
  [[nodiscard]] Result show(const std::string& setup = "",
                            const std::map<std::string, std::string>& environment = {}) const {
    return run_there(setup,
                     {"sh", "-ec", "\"$0\" mount \"$1\"; ls \"$1/models\"; \"$0\" umount \"$1\"",
                      binary(), place_.path().string()},
                     environment);
  }

  // Writes a store whose only model has this name.
  [[nodiscard]] static fs::path write_store(const fs::path& path, const std::string& model) {
    const StoreBuilder store{path};
    store.v1(model, store.text_model(1, 1000));
    return path;
  }

  const fs::path home_ = dir_ / "me";
  const MountDir place_{true};
};

TEST_F(FoundStore, IsTheOneBelowHome) {
  const fs::path store = write_store(home_ / ".ollama/models", "mine");
  const Result result = show();
  EXPECT_EQ(result.out, "mine+latest\n") << result.err;
  EXPECT_THAT(result.err, HasSubstr(store.string() + ": the first of the usual places that holds"));
}

TEST_F(FoundStore, IsTheOneThatTheEnvironmentNamesAndTheOtherIsMentioned) {
  const fs::path other = write_store(home_ / ".ollama/models", "mine");
  const fs::path store = write_store(dir_ / "disk", "big");
  const Result result = show("", {{"OLLAMA_MODELS", store.string()}});
  EXPECT_EQ(result.out, "big+latest\n") << result.err;
  EXPECT_THAT(
      result.err,
      HasSubstr(store.string() + ": named by OLLAMA_MODELS (not taken: " + other.string() + ")"));
}

// A process with the server's name and arguments: the shell, and a script.
TEST_F(FoundStore, IsTheRunningServers) {
  const fs::path other = write_store(home_ / ".ollama/models", "mine");
  const fs::path store = write_store(dir_ / "disk", "served");
  write_file(dir_ / "serve", "sleep 1000\n");
  fs::create_symlink("/bin/sh", dir_ / "ollama");
  const Result result =
      show("(cd " + dir_.path().string() + "; OLLAMA_MODELS=" + store.string() +
           " exec ./ollama serve >/dev/null 2>&1) &\n"
           "until tr '\\0' ' ' </proc/$!/cmdline | grep -q 'ollama serve'; do sleep 0.01; done");
  EXPECT_EQ(result.out, "served+latest\n") << result.err;
  EXPECT_THAT(result.err, HasSubstr(store.string() + ": the store of the running server (pid "));
  EXPECT_THAT(result.err, HasSubstr("(not taken: " + other.string() + ")"));
}

TEST_F(FoundStore, IsTheServicesThatIsNotRunning) {
  const fs::path store = write_store(dir_ / "disk", "service");
  const Result result = show("printf '[Service]\\nEnvironment=\"OLLAMA_MODELS=" + store.string() +
                             "\"\\n' >/etc/systemd/system/ollama.service");
  EXPECT_EQ(result.out, "service+latest\n") << result.err;
  EXPECT_THAT(result.err, HasSubstr(store.string() + ": the store of ollama.service"));
}

TEST_F(FoundStore, IsTheOneThatIsNamedWhateverElseThereIs) {
  const fs::path other = write_store(home_ / ".ollama/models", "mine");
  const Result result = run_there("", {binary(), "list", "--store", store_.root().string()},
                                  {{"OLLAMA_MODELS", other.string()}});
  EXPECT_THAT(result.out, AllOf(HasSubstr("llama3.2:3b"), Not(HasSubstr("mine"))));
}

TEST_F(FoundStore, ThatIsNowhereIsAskedFor) {
  const Result result = run_there("", {binary(), "mount", place_.path().string()});
  EXPECT_EQ(result.status, 3);
  EXPECT_THAT(result.err, AllOf(HasSubstr("no Ollama store was found"),
                                HasSubstr((home_ / ".ollama/models").string()),
                                HasSubstr("/usr/share/ollama/.ollama/models"),
                                HasSubstr("give --store DIR or set OLLAMA_MODELS")));
  EXPECT_FALSE(fs::exists(place_.path()));
}

TEST_F(FoundStore, IsStillThereWhenItAndTheMountPointWereGivenFromWhereOneStood) {
  const MountDir place;
  const fs::path here = place.path().parent_path();
  const fs::path store = fs::relative(store_.root(), here);
  must({binary(), "mount", "--store", store.string(), place.path().filename().string()},
       {.directory = here});
  EXPECT_EQ(source_of(place.path()), store_.root());
  const std::string readme = read_file(place.path() / "README.txt");
  EXPECT_THAT(readme, AllOf(HasSubstr(store_.root().string()),
                            HasSubstr("umount " + place.path().string() + "\n")));
  must({"tar", "tf", (place.path() / "archives/llama3.2+3b.tar").string()});
  must({binary(), "umount", place.path().filename().string()}, {.directory = here});
  EXPECT_TRUE(eventually([&] { return processes_with(place.path().filename()) == 0; }));
}

// ---- names that need care ----

struct OddName {
  std::string kind;
  std::string name;
  friend void PrintTo(const OddName& odd, std::ostream* out) { *out << odd.kind; }
};

class OddNames : public Environment, public ::testing::WithParamInterface<OddName> {};

INSTANTIATE_TEST_SUITE_P(
    Names, OddNames,
    ::testing::Values(OddName{"Blank", "my models"}, OddName{"Commas", "a,b,uid=0"},
                      OddName{"Backslashes", "back\\slash\\"}, OddName{"Newline", "new\nline"},
                      OddName{"Quote", "it's"}, OddName{"NotAscii", "Modèle-模型"},
                      OddName{"Shell", "\"$HOME\" `id`"}),
    [](const auto& tested) { return tested.param.kind; });

TEST_P(OddNames, OfAStoreAreShownAsTheyAre) {
  const StoreBuilder store{dir_ / GetParam().name};
  write_model(store);
  for (const RunOptions& user : {RunOptions{}, as_games_}) {
    const Mount mount{store.root(), {.run = user}};
    EXPECT_EQ(source_of(mount.path()), store.root());
    EXPECT_EQ(must({"ls", (mount / "models").string()}, user), "llama3.2+3b\n");
  }
  const std::string list = must({binary(), "list", "--json", "--store", store.root().string()});
  EXPECT_EQ(nlohmann::json::parse(list)["store"], store.root().string());
}

// The README's commands, as they stand, in a shell.
TEST_P(OddNames, OfAMountPointAreRightInTheReadmesCommands) {
  const fs::path place = dir_ / GetParam().name;
  must({binary(), "mount", "--store", store_.root().string(), place.string()});
  const std::string readme = read_file(place / "README.txt");
  fs::create_directory(dir_ / "stick");
  const auto command = [&](const std::string& begin) {
    const std::size_t at = readme.find("    " + begin);
    return readme.substr(at, readme.find('\n', at) - at);
  };
  std::string copy = command("cp ");
  copy.replace(copy.find("/media/STICK"), 12, (dir_ / "stick").string());
  must({"bash", "-c", copy});
  EXPECT_TRUE(fs::exists(dir_ / "stick/llama3.2+3b.tar")) << copy;
  const std::string umount = command("ollamafs umount ");
  must({"bash", "-c", "PATH=" + fs::path{binary()}.parent_path().string() + ":$PATH; " + umount});
  EXPECT_FALSE(is_mounted(place)) << umount;
}

}  // namespace
}  // namespace ollamafs::test
