#include "store/store_location.h"

#include <grp.h>
#include <gtest/gtest.h>
#include <pwd.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <map>
#include <string>
#include <vector>

namespace ollamafs {
namespace {

namespace fs = std::filesystem;

constexpr uid_t kUs = 1000;
constexpr const char* kTag = "manifests/registry.ollama.ai/library/tiny/latest";

// A machine in a temporary directory.
class StoreLocation : public ::testing::Test {
 protected:
  void SetUp() override {
    std::string name = ::testing::TempDir() + "store_location.XXXXXX";
    ASSERT_NE(::mkdtemp(name.data()), nullptr);
    root_ = fs::canonical(name);
    close(root_, 0755);
    link("proc/self/ns/mnt", "mnt:[1]");
  }
  void TearDown() override {
    for (const fs::path& path : closed_) ::chmod(path.c_str(), 0755);
    fs::remove_all(root_);
  }

  // All paths are absolute ones of that machine, with or without the slash at the beginning.
  [[nodiscard]] fs::path on_disk(const fs::path& path) const {
    return root_ / path.relative_path();
  }
  void write(const fs::path& path, const std::string& text) const {
    fs::create_directories(on_disk(path).parent_path());
    std::ofstream{on_disk(path)} << text;
  }
  void link(const fs::path& path, const fs::path& target) const {
    fs::create_directories(on_disk(path).parent_path());
    fs::create_symlink(target, on_disk(path));
  }
  void make_empty_store(const fs::path& path) const {
    fs::create_directories(on_disk(path) / "blobs");
  }
  void make_store(const fs::path& path) const { write(path / kTag, "{}"); }

  // Nobody but root may enter a closed directory, not even its owner.
  void close(const fs::path& path, mode_t mode = 0) {
    ASSERT_EQ(::chmod(path.c_str(), mode), 0);
    closed_.push_back(path);
  }

  void add_process(int pid, uid_t uid, const std::vector<std::string>& arguments,
                   const std::vector<std::string>& environment,
                   const std::string& comm = "x") const {
    const auto joined = [](const std::vector<std::string>& strings) {
      std::string bytes;
      for (const std::string& text : strings) bytes += text + '\0';
      return bytes;
    };
    const std::string process = "proc/" + std::to_string(pid);
    const std::string id = std::to_string(uid);
    write(process + "/comm", comm + "\n");
    write(process + "/cmdline", joined(arguments));
    write(process + "/environ", joined(environment));
    write(process + "/status", "Name:\tx\nUid:\t0\t" + id + "\t0\t0\nGid:\t0\t0\t0\t0\n");
    link(process + "/cwd", "/cwd");
    link(process + "/ns/mnt", "mnt:[1]");
  }
  void add_server(int pid, const std::vector<std::string>& environment, uid_t uid = 0) const {
    add_process(pid, uid, {"/usr/bin/ollama", "serve"}, environment);
  }
  void add_unit(const std::string& lines) const {
    write("/etc/systemd/system/ollama.service", "[Service]\n" + lines);
  }

  [[nodiscard]] Host host() const {
    const auto look_up = [](const auto& map, const std::string& key) {
      const auto entry = map.find(key);
      return entry == map.end() ? std::nullopt : std::optional{entry->second};
    };
    Host host;
    host.root = root_;
    host.environment = [=, this](const std::string& name) { return look_up(environment_, name); };
    host.home_of = [=, this](const std::string& user) { return look_up(homes_, user); };
    host.sudo_user = sudo_user_;
    host.uid = kUs;
    return host;
  }
  [[nodiscard]] StoreChoice find(const fs::path& given = {}) const {
    return find_store(given, host());
  }
  [[nodiscard]] fs::path found(const fs::path& given = {}) const { return find(given).taken.path; }
  [[nodiscard]] std::string error(const fs::path& given = {}) const try {
    return "found " + found(given).string();
  } catch (const StoreNotFound& e) {
    return e.what();
  }

  // What an ordinary user is told: the reason, or the error.
  [[nodiscard]] std::string told_to_user(const fs::path& given = {}) const {
    const fs::path answer = root_ / "answer";
    const pid_t child = ::fork();
    if (child == 0) {
      std::ofstream out{answer};
      const bool changed = ::geteuid() != 0 || (::setgroups(0, nullptr) == 0 &&
                                                ::setgid(65534) == 0 && ::setuid(65534) == 0);
      try {
        out << (changed ? find(given).reason : "no other user") << std::flush;
      } catch (const std::exception& e) {
        out << e.what() << std::flush;
      }
      ::_exit(0);
    }
    ::waitpid(child, nullptr, 0);
    std::ifstream in{answer};
    return {std::istreambuf_iterator<char>{in}, {}};
  }

  fs::path root_;
  std::map<std::string, std::string> environment_;
  std::map<std::string, fs::path> homes_;
  std::string sudo_user_;
  std::vector<fs::path> closed_;
};

bool contains(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

using NamedStore = StoreLocation;

TEST_F(NamedStore, OptionIsBeforeEverythingElse) {
  make_empty_store("/given");
  make_store("/env");
  make_store("/server");
  environment_["OLLAMA_MODELS"] = "/env";
  add_server(5, {"OLLAMA_MODELS=/server"});
  const StoreChoice choice = find("/given");
  EXPECT_EQ(choice.taken.path, "/given");
  EXPECT_EQ(choice.taken.source, "--store");
  EXPECT_EQ(choice.reason, "/given: named by --store");
  EXPECT_TRUE(choice.others.empty());
}

TEST_F(NamedStore, VariableIsBeforeServers) {
  make_empty_store("/env");
  make_store("/server");
  environment_["OLLAMA_MODELS"] = "/env";
  add_server(5, {"OLLAMA_MODELS=/server"});
  EXPECT_EQ(find().taken.source, "OLLAMA_MODELS");
  EXPECT_EQ(find().reason, "/env: named by OLLAMA_MODELS (not taken: /server)");
}

TEST_F(NamedStore, BlanksAndQuotesAroundItDoNotCount) {
  make_store("/my models");
  EXPECT_EQ(found(" \t\"'/my models'\"\n"), "/my models");
  environment_["OLLAMA_MODELS"] = "  '/my models' ";
  EXPECT_EQ(found(), "/my models");
}

TEST_F(NamedStore, EmptyMeansNotNamed) {
  make_store("/usr/share/ollama/.ollama/models");
  environment_["OLLAMA_MODELS"] = " \"\" ";
  EXPECT_EQ(found("''"), "/usr/share/ollama/.ollama/models");
}

TEST_F(NamedStore, RelativePathsCountFromOurDirectory) {
  const fs::path store = fs::current_path() / "models";
  make_store(store);
  EXPECT_EQ(found("./models/"), store);
  environment_["OLLAMA_MODELS"] = "models";
  EXPECT_EQ(found(), store);
}

TEST_F(NamedStore, OneThatIsNoStoreIsAnError) {
  make_store("/usr/share/ollama/.ollama/models");
  write("/data/models.txt", "");
  write("/data/blobs", "");
  EXPECT_EQ(error("/none"), "--store: /none: nothing is there");
  const std::string no_folder =
      ": is no models folder, it holds neither manifests/, manifests-v2/ nor blobs/";
  EXPECT_EQ(error("/data"), "--store: /data" + no_folder);
  EXPECT_EQ(error("/data/models.txt"), "--store: /data/models.txt" + no_folder);
  environment_["OLLAMA_MODELS"] = "/none";
  EXPECT_EQ(error(), "OLLAMA_MODELS: /none: nothing is there");
}

TEST_F(NamedStore, FolderAboveTheStoreIsRecognised) {
  make_store("/home/u/.ollama/models");
  EXPECT_TRUE(contains(error("/home/u/.ollama"), "did you mean /home/u/.ollama/models?"));
  EXPECT_FALSE(contains(error("/home/u"), "did you mean"));
}

TEST_F(NamedStore, TildeIsNotExpanded) {
  environment_["HOME"] = "/home/u";
  make_store("/home/u/models");
  EXPECT_TRUE(contains(error("~/models"), "/~/models: nothing is there; a ~ is only expanded"));
}

TEST_F(NamedStore, UnreadableOneIsTaken) {
  make_store("/secret/models");
  close(on_disk("/secret"));
  EXPECT_EQ(told_to_user("/secret/models"), "/secret/models: named by --store");
}

using Servers = StoreLocation;

TEST_F(Servers, EnvironmentNamesTheStore) {
  make_store("/server");
  make_store("/unit");
  add_server(5, {"A=B", "OLLAMA_MODELS= \"/server\"", "OLLAMA_MODELS=/second", "HOME=/h"});
  add_unit("Environment=OLLAMA_MODELS=/unit\n");
  EXPECT_EQ(find().taken.source, "the running server (pid 5)");
  EXPECT_EQ(find().reason, "/server: the store of the running server (pid 5) (not taken: /unit)");
}

TEST_F(Servers, RelativePathCountsFromTheServersDirectory) {
  make_store("/cwd/models");
  add_server(5, {"OLLAMA_MODELS=models"});
  EXPECT_EQ(found(), "/cwd/models");
}

TEST_F(Servers, StoreIsInTheHomeByDefault) {
  make_store("/h/.ollama/models");
  add_server(5, {"OLLAMA_MODELS=", "HOME=/h"});
  EXPECT_EQ(found(), "/h/.ollama/models");
  EXPECT_EQ(find().taken.source, "the running server (pid 5)");
}

TEST_F(Servers, WithoutAHomeTheyTellNothing) {
  make_store("/cwd/.ollama/models");
  add_server(5, {"HOME="});
  EXPECT_TRUE(error().starts_with("no Ollama store was found"));
}

TEST_F(Servers, EnvironmentMayBeLong) {
  make_store("/server");
  add_server(5, {"A=" + std::string(10000, 'a'), "OLLAMA_MODELS=/server"});
  EXPECT_EQ(found(), "/server");
}

TEST_F(Servers, OnlyOllamaServeIsAServer) {
  make_store("/s");
  const std::vector<std::string> environment{"OLLAMA_MODELS=/s"};
  add_process(3, kUs, {"/usr/bin/ollama", "run", "serve"}, environment, "ollama");
  add_process(4, kUs, {"python", "serve"}, environment, "python");
  add_process(5, kUs, {"/usr/bin/ollama"}, environment, "ollama");
  add_process(6, kUs, {}, environment, "ollama");
  EXPECT_TRUE(error().starts_with("no Ollama store was found"));
  add_process(9, kUs, {"/nix/.ollama-wrapped", "serve"}, environment, "ollama");
  EXPECT_EQ(find().taken.source, "the running server (pid 9)");
  add_process(8, kUs, {"./ollama", "--verbose", "start"}, environment);
  EXPECT_EQ(find().taken.source, "the running server (pid 8)");
}

TEST_F(Servers, OwnOnesAreFirstThenByPid) {
  for (const char* const store : {"/2", "/9", "/10", "/30"}) make_store(store);
  add_server(2, {"OLLAMA_MODELS=/2"}, kUs + 1);
  add_server(30, {"OLLAMA_MODELS=/30"}, kUs);
  add_server(10, {"OLLAMA_MODELS=/10"}, kUs);
  add_server(9, {"OLLAMA_MODELS=/9"}, kUs);
  EXPECT_EQ(find().reason, "/9: the store of the running server (pid 9) (not taken: /10, /30, /2)");
}

TEST_F(Servers, InAContainerTheirPathsMeanNothing) {
  make_store("/root/.ollama/models");
  add_server(7, {"HOME=/x"});
  make_store("/x/.ollama/models");
  fs::remove(on_disk("proc/7/ns/mnt"));
  link("proc/7/ns/mnt", "mnt:[2]");
  EXPECT_EQ(found(), "/root/.ollama/models");
  fs::remove_all(on_disk("root"));
  EXPECT_TRUE(contains(error(),
                       "\na server runs in a container (pid 7): mount its volume's folder with "
                       "--store\n"));
}

TEST_F(Servers, MayVanishMeanwhile) {
  make_store("/usr/share/ollama/.ollama/models");
  make_store("/cwd/relative");
  for (const char* const file : {"cmdline", "status", "environ", "cwd"}) {
    add_server(5, {"OLLAMA_MODELS=relative"});
    fs::remove(on_disk("proc/5") / file);
    EXPECT_EQ(found(), "/usr/share/ollama/.ollama/models") << file;
    fs::remove_all(on_disk("proc/5"));
  }
}

TEST_F(Servers, WhatTheyHideTheUnitTells) {
  make_store("/server");
  make_store("/unit");
  add_server(5, {"OLLAMA_MODELS=/server"});
  close(on_disk("proc/5/environ"));
  add_unit("Environment=OLLAMA_MODELS=/unit\n");
  EXPECT_EQ(told_to_user(), "/unit: the store of ollama.service");
  fs::remove_all(on_disk("etc"));
  EXPECT_TRUE(contains(told_to_user(), "a server runs (pid 5), but its settings may not be read"));
}

TEST_F(Servers, MissingStoreIsPassedOver) {
  make_store("/unit");
  add_server(5, {"OLLAMA_MODELS=/gone"});
  add_unit("Environment=OLLAMA_MODELS=/unit\n");
  EXPECT_EQ(found(), "/unit");
}

TEST_F(Servers, UnreadableStoreDecides) {
  make_store("/secret/models");
  make_store("/unit");
  close(on_disk("/secret"));
  add_server(5, {"OLLAMA_MODELS=/secret/models"});
  add_unit("Environment=OLLAMA_MODELS=/unit\n");
  EXPECT_TRUE(contains(told_to_user(), "/secret/models: the store of the running server"));
}

TEST_F(Servers, FolderWithoutAStoreIsAnError) {
  make_store("/data/models");
  make_store("/unit");
  add_server(5, {"OLLAMA_MODELS=/data"});
  add_unit("Environment=OLLAMA_MODELS=/unit\n");
  EXPECT_TRUE(error().starts_with("the store of the running server (pid 5): /data: is no models"));
  EXPECT_TRUE(contains(error(), "did you mean /data/models?\nthere is also /unit\ngive --store"));
}

using Unit = StoreLocation;

TEST_F(Unit, NamesTheStore) {
  make_store("/data");
  add_unit("User=ollama\nEnvironment=OLLAMA_MODELS='\"/data\"' HOME=/h\n");
  EXPECT_EQ(find().taken.source, "ollama.service");
  EXPECT_EQ(find().reason, "/data: the store of ollama.service");
}

TEST_F(Unit, StoreIsInTheHomeOfItsUser) {
  homes_ = {{"svc", "/srv/svc"}, {"root", "/root"}};
  make_empty_store("/srv/svc/.ollama/models");
  make_empty_store("/root/.ollama/models");
  make_empty_store("/h/.ollama/models");
  make_store("/usr/share/ollama/.ollama/models");
  add_unit("User=svc\n");
  EXPECT_EQ(found(), "/srv/svc/.ollama/models");
  add_unit("Environment=OLLAMA_MODELS=\n");
  EXPECT_EQ(found(), "/root/.ollama/models");
  add_unit("User=svc\nEnvironment=HOME=/h\n");
  EXPECT_EQ(found(), "/h/.ollama/models");
}

TEST_F(Unit, WhatItDoesNotTellIsPassedOver) {
  homes_ = {{"root", "/root"}};
  make_empty_store("/root/.ollama/models");
  make_store("/usr/share/ollama/.ollama/models");
  make_store(fs::current_path() / "x");
  for (const char* const lines :
       {"Environment=OLLAMA_MODELS=%S/x\n", "Environment=OLLAMA_MODELS=x\n", "User=unknown\n",
        "Environment=HOME=%S/x\n", "User=%i\n", "Environment=OLLAMA_MODELS=/gone\n"}) {
    add_unit(lines);
    EXPECT_EQ(find().taken.source, "a usual place") << lines;
    EXPECT_EQ(found(), "/usr/share/ollama/.ollama/models") << lines;
  }
}

using UsualPlaces = StoreLocation;

TEST_F(UsualPlaces, AreLookedAtInThisOrder) {
  environment_["HOME"] = "/home/u";
  homes_ = {{"caller", "/home/caller"}, {"ollama", "/srv/ollama"}};
  sudo_user_ = "caller";
  const std::vector<std::string> places{"/home/u/.ollama/models",
                                        "/home/caller/.ollama/models",
                                        "/usr/share/ollama/.ollama/models",
                                        "/srv/ollama/.ollama/models",
                                        "/var/lib/ollama",
                                        "/var/lib/ollama/models",
                                        "/var/lib/ollama/.ollama/models",
                                        "/var/snap/ollama/common/models",
                                        "/root/.ollama/models"};
  const std::string text = error();
  for (std::size_t at = 0; const std::string& place : places) {
    const std::size_t next = text.find("\n  " + place + ": nothing is there (a usual place)\n");
    EXPECT_TRUE(next != std::string::npos && next >= at) << place << " in " << text;
    at = next;
  }
  EXPECT_TRUE(text.starts_with("no Ollama store was found; looked at:\n"));
  EXPECT_TRUE(text.ends_with("\ngive --store DIR or set OLLAMA_MODELS"));
  for (std::size_t i = places.size(); i-- > 0;) {
    make_store(places[i]);
    EXPECT_EQ(found(), places[i]);
  }
}

TEST_F(UsualPlaces, OneWithModelsIsBeforeAnEmptyOne) {
  environment_["HOME"] = "/home/u";
  make_empty_store("/home/u/.ollama/models");
  EXPECT_EQ(find().reason,
            "/home/u/.ollama/models: the first of the usual places, none holds a model");
  make_store("/var/lib/ollama");
  EXPECT_EQ(find().reason,
            "/var/lib/ollama: the first of the usual places that holds a model (not taken: "
            "/home/u/.ollama/models)");
}

TEST_F(UsualPlaces, UnreadableOneIsBeforeAnEmptyOne) {
  environment_["HOME"] = "/home/u";
  make_empty_store("/home/u/.ollama/models");
  make_store("/usr/share/ollama/.ollama/models");
  close(on_disk("/usr/share/ollama"));
  EXPECT_EQ(told_to_user(),
            "/usr/share/ollama/.ollama/models: a usual place that may not be looked at, no other "
            "holds a model (not taken: /home/u/.ollama/models)");
  make_store("/home/u/.ollama/models");
  EXPECT_EQ(told_to_user(),
            "/home/u/.ollama/models: the first of the usual places that holds a model (not taken: "
            "/usr/share/ollama/.ollama/models)");
}

TEST_F(UsualPlaces, ClosedHomeOfAPersonIsNoSign) {
  environment_["HOME"] = "/home/other";
  make_store("/home/other/.ollama/models");
  make_store("/root/.ollama/models");
  EXPECT_EQ(found(), "/home/other/.ollama/models");
  close(on_disk("/root"));
  close(on_disk("/home/other"));
  EXPECT_TRUE(told_to_user().starts_with("no Ollama store was found"));
}

TEST_F(UsualPlaces, OnlyEntriesAtTheDepthOfTagsAreModels) {
  environment_["HOME"] = "/home/u";
  const fs::path store = "/home/u/.ollama/models";
  const auto has_models = [&] {
    const bool has = find().taken.has_models;
    fs::remove_all(on_disk(store));
    return has;
  };
  make_store(store);
  EXPECT_TRUE(has_models());
  link(store / "manifests-v2/ollama.com/library/tiny/latest", "../../../../blobs/sha256-0");
  EXPECT_TRUE(has_models());
  make_empty_store(store);
  EXPECT_FALSE(has_models());
  write(store / "manifests/registry.ollama.ai/library/README", "");
  EXPECT_FALSE(has_models());
  write(store / "manifests/registry.ollama.ai/library/tiny/.latest.Xy12", "");
  EXPECT_FALSE(has_models());
  fs::create_directories(on_disk(store / kTag));
  EXPECT_FALSE(has_models());
}

using OtherStores = StoreLocation;

TEST_F(OtherStores, AreGivenOnceWhateverTheyAreCalled) {
  environment_["HOME"] = "/home/u";
  make_store("/data");
  make_store("/more");
  fs::create_directories(on_disk("/home/u/.ollama"));
  fs::create_directories(on_disk("/usr/share/ollama/.ollama"));
  fs::create_symlink(on_disk("/data"), on_disk("/home/u/.ollama/models"));
  fs::create_symlink(on_disk("/more"), on_disk("/usr/share/ollama/.ollama/models"));
  add_server(5, {"OLLAMA_MODELS=/data/"});
  add_server(6, {"OLLAMA_MODELS=/more"});
  add_unit("Environment=OLLAMA_MODELS=/more/.\n");
  const StoreChoice choice = find();
  EXPECT_EQ(choice.taken.path, "/data");
  ASSERT_EQ(choice.others.size(), 1u);
  EXPECT_EQ(choice.others.front().path, "/more");
}

TEST_F(OtherStores, BehindOneClosedDirectoryCountOnce) {
  make_store("/server");
  make_store("/var/lib/ollama/models");
  close(on_disk("/var/lib/ollama"));
  add_server(5, {"OLLAMA_MODELS=/server"});
  EXPECT_EQ(told_to_user(),
            "/server: the store of the running server (pid 5) (not taken: /var/lib/ollama)");
}

TEST_F(OtherStores, AreThereNone) {
  make_store("/server");
  fs::create_directories(on_disk("/var/lib/ollama"));  // no store
  add_server(5, {"OLLAMA_MODELS=/server"});
  EXPECT_TRUE(find().others.empty());
  EXPECT_EQ(find().reason, "/server: the store of the running server (pid 5)");
}

TEST_F(StoreLocation, NothingRawIsPrinted) {
  make_store("/a\x1b[2J");
  make_store("/b\nc");
  EXPECT_EQ(error("/x\x1b"), "--store: /x\\x1b: nothing is there");
  add_server(5, {"OLLAMA_MODELS=/a\x1b[2J"});
  add_server(6, {"OLLAMA_MODELS=/b\nc"});
  EXPECT_EQ(find().reason,
            "/a\\x1b[2J: the store of the running server (pid 5) (not taken: /b\\x0ac)");
}

TEST(CurrentHost, IsThisMachineAndProcess) {
  ::setenv("OLLAMAFS_TEST", "x", 1);
  ::setenv("SUDO_USER", "nobody", 1);
  const Host host = Host::current();
  ::unsetenv("SUDO_USER");
  EXPECT_EQ(host.root, "/");
  EXPECT_EQ(host.environment("OLLAMAFS_TEST"), "x");
  EXPECT_EQ(host.environment("OLLAMAFS_TEST_NONE"), std::nullopt);
  EXPECT_EQ(host.home_of("root"), ::getpwnam("root")->pw_dir);
  EXPECT_EQ(host.home_of("no-such-user"), std::nullopt);
  EXPECT_EQ(host.sudo_user, ::geteuid() == 0 ? "nobody" : "");
  EXPECT_EQ(host.uid == ::geteuid(), ::geteuid() != 0);
  EXPECT_EQ(Host::current().uid, ::geteuid());
  EXPECT_EQ(Host::current().sudo_user, "");
}

}  // namespace
}  // namespace ollamafs
