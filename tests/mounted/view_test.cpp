// The names in a mount (docs/view.md §1), and that README.txt tells what works.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <optional>
#include <set>
#include <sstream>

#include "tests/mounted/mount.h"
#include "tests/mounted/walk.h"
#include "tests/support/sample_store.h"

namespace ollamafs::test {
namespace {

namespace fs = std::filesystem;
using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::StartsWith;
using ::testing::UnorderedElementsAre;

class View : public ::testing::Test, public TwoRelatives {};

TEST_F(View, ModelsHaveTheNamesOfOllamaListWithoutColons) {
  write_sample_models(store);
  const Mount mount{store.root()};
  EXPECT_THAT(listing(mount.path()), ElementsAre(".", "..", "README.txt", "archives", "contents",
                                                 "index.html", "layouts", "models"));
  const auto models = models_in(mount.path());
  EXPECT_THAT(models, UnorderedElementsAre("gemma3+4b", "gpt-oss+120b-cloud",
                                           "hf.co/bartowski/Llama-3.2-3B-Instruct-GGUF+Q4_K_M",
                                           "llama3.2+3b", "llama3.2+latest",
                                           "localhost%3A5000/team/tuned+v1.0", "mannix/pirate+q4",
                                           "me/describer+latest", "me/qwen3-moe+nvfp4"));
  std::set<std::string> archives, expected;
  for (const auto& [path, st] : walk(mount / "archives")) {
    if (S_ISREG(st.st_mode)) archives.insert(path);
  }
  for (const std::string& model : models) expected.insert(model + ".tar");
  EXPECT_EQ(archives, expected);
}

// cp -a and rsync -a would ship symlinks dangling.
TEST_F(View, ThereAreOnlyFilesAndDirectories) {
  write_sample_models(store);
  const Mount mount{store.root()};
  for (const auto& [path, st] : walk(mount.path())) {
    EXPECT_TRUE(S_ISREG(st.st_mode) || S_ISDIR(st.st_mode)) << path;
  }
}

// What README.txt tells to type: its indented lines that begin with a program, continued lines
// joined.
std::vector<std::string> commands_in(const std::string& readme) {
  std::istringstream text{readme};
  std::vector<std::string> commands;
  bool goes_on = false;
  for (std::string line; std::getline(text, line);) {
    if (!line.starts_with("    ") || line.starts_with("    /")) continue;
    if (goes_on) {
      commands.back() += "\n" + line;
    } else {
      commands.push_back(line.substr(4));
    }
    goes_on = line.ends_with("\\");
  }
  return commands;
}

// The other machine of the examples, as far as folders and programs go: HOST is reached by a shell
// in its home directory, and `sudo -u ollama` there is nobody.
class OtherMachine {
 public:
  OtherMachine() {
    script("rsh", "shift\ncd \"$HOME\"\nexec sh -c \"$*\"\n");
    script("sudo",
           "test \"$1 $2\" = '-u ollama' || exit 99\nshift 2\n"
           "exec setpriv --reuid=65534 --regid=65534 --clear-groups \"$@\"\n");
    fs::create_directories(dir_ / "stick");
  }

  [[nodiscard]] fs::path user_store() const { return dir_ / "home/.ollama/models"; }
  [[nodiscard]] fs::path system_store() const { return dir_ / "system/.ollama/models"; }
  [[nodiscard]] fs::path stick() const { return dir_ / "stick"; }

  // Runs a command of README.txt, with both stores empty.
  void type(std::string command) const {
    for (const fs::path& models : {user_store(), system_store()}) {
      fs::remove_all(models);
      fs::create_directories(models);
    }
    set_owner(system_store(), 65534, 65534);
    replace(command, "/usr/share/ollama", (dir_ / "system").string());
    replace(command, "/media/STICK", stick().string());
    const std::string path = (dir_ / "bin").string() + ":" +
                             fs::path{binary()}.parent_path().string() + ":" + ::getenv("PATH");
    const Result result =
        shell(command, {.environment = {{"HOME", (dir_ / "home").string()},
                                        {"RSYNC_RSH", (dir_ / "bin/rsh").string()},
                                        {"PATH", path}}});
    EXPECT_EQ(result.status, 0) << command << "\n" << result.err;
  }

 private:
  void script(const std::string& name, const std::string& text) const {
    write_file(dir_ / "bin" / name, "#!/bin/sh\n" + text);
    fs::permissions(dir_ / "bin" / name, fs::perms{0755});
  }

  static void replace(std::string& text, const std::string& what, const std::string& by) {
    const std::size_t at = text.find(what);
    if (at != std::string::npos) text.replace(at, what.size(), by);
  }

  TempDir dir_;
};

// As long as this lives, mounts are in a directory of this name, which a shell must have quoted.
class OddPlace {
 public:
  explicit OddPlace(const std::string& name) : path_{parent_.path() / name} {
    fs::create_directory(path_);
    if (const char* usual = ::getenv("TMPDIR")) usual_ = usual;
    ::setenv("TMPDIR", path_.c_str(), 1);
  }
  ~OddPlace() {
    usual_ ? ::setenv("TMPDIR", usual_->c_str(), 1) : ::unsetenv("TMPDIR");
    ::rmdir(path_.c_str());
  }
  OddPlace(const OddPlace&) = delete;
  OddPlace& operator=(const OddPlace&) = delete;

 private:
  MountDir parent_;
  fs::path path_;
  std::optional<std::string> usual_;
};

TEST_F(View, ReadmeNamesThisMountAndThisStore) {
  write_two_relatives();
  const Mount mount{store.root()};
  EXPECT_THAT(read_file(mount / "README.txt"),
              AllOf(HasSubstr("\n    " + store.root().string() + "\n"),
                    HasSubstr("\n    ollamafs umount " + mount.path().string() + "\n")));
}

TEST_F(View, ReadmeKeepsABackslashInAPathAsItIs) {
  write_two_relatives();
  const OddPlace odd{"back\\slash"};
  const Mount mount{store.root()};
  EXPECT_THAT(read_file(mount / "README.txt"),
              HasSubstr("\n    ollamafs umount '" + mount.path().string() + "'\n"));
}

TEST_F(View, TheCommandsOfReadmeWorkAsTheyStand) {
  write_two_relatives();
  const OtherMachine there;
  const OddPlace odd{"it's here, now"};
  const Mount mount{store.root()};
  const auto commands = commands_in(read_file(mount / "README.txt"));
  ASSERT_THAT(commands,
              ElementsAre(StartsWith("rsync "), StartsWith("rsync "), StartsWith("cp "),
                          StartsWith("tar "), StartsWith("sudo "), StartsWith("ollamafs ")));
  const auto expect_model_in = [&](const fs::path& target) {
    EXPECT_EQ(run({"diff", "-r", (mount / "models/first+latest").string(), target.string()}).status,
              0);
  };
  there.type(commands[0]);
  expect_model_in(there.user_store());
  there.type(commands[1]);
  expect_model_in(there.system_store());
  there.type(commands[2]);
  EXPECT_EQ(read_file(there.stick() / "first+latest.tar"),
            read_file(mount / "archives/first+latest.tar"));
  there.type(commands[3]);
  expect_model_in(there.user_store());
  there.type(commands[4]);
  expect_model_in(there.system_store());
  EXPECT_TRUE(is_mounted(mount.path()));
  there.type(commands[5]);
  EXPECT_FALSE(is_mounted(mount.path()));
}

}  // namespace
}  // namespace ollamafs::test
