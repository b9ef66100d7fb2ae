// Which store is shown when none is named, and what is said about the choice.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <map>
#include <string>

#include "tests/mounted/environment.h"
#include "tests/mounted/life.h"
#include "tests/mounted/mount.h"
#include "tests/support/process.h"
#include "tests/support/store_builder.h"

namespace ollamafs::test {
namespace {

namespace fs = std::filesystem;
using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;

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

// It sees other mounts than we do. Another store is taken, and this one can be named as it is said.
TEST_F(FoundStore, OfAServerInAContainerIsMentionedWithTheWayToIt) {
  (void)write_store(home_ / ".ollama/models", "mine");
  (void)write_store(dir_ / "volume", "boxed");
  write_file(dir_ / "serve", "sleep 1000\n");
  fs::create_symlink("/bin/sh", dir_ / "ollama");
  fs::create_directory(dir_ / "box");
  const std::string at = dir_.path().string();
  const std::string setup =
      "unshare -m sh -c 'mount -t tmpfs none " + at + "/box; cp -r " + at + "/volume " + at +
      "/box/models; cd " + at + "; OLLAMA_MODELS=" + at +
      "/box/models exec ./ollama serve >/dev/null 2>&1' &\n"
      "until tr '\\0' ' ' </proc/$!/cmdline | grep -q '^./ollama serve'; do sleep 0.01; done";
  const Result result = run_there(setup, {"sh", "-ec",
                                          "\"$0\" list 2>\"$1\"; cat \"$1\" >&2; \"$0\" list "
                                          "--store $(sed -n 's/.* --store //p' \"$1\")",
                                          binary(), (dir_ / "said").string()});
  EXPECT_THAT(result.out, AllOf(HasSubstr("mine:latest"), HasSubstr("boxed:latest"))) << result.err;
  EXPECT_THAT(result.err, HasSubstr("a server runs in a container (pid "));
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
  EXPECT_TRUE(eventually([&] { return processes_with(place.path().filename()).empty(); }));
}

}  // namespace
}  // namespace ollamafs::test
