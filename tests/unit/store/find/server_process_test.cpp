#include "store/find/server_process.h"

#include <gtest/gtest.h>
#include <sys/stat.h>

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "tests/unit/store/find/other_machine.h"

namespace ollamafs::test {
namespace {

namespace fs = std::filesystem;

// As the search for a store meets them.
using Servers = OtherMachine;

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
  EXPECT_EQ(find().notes.size(), 1u);
  fs::remove_all(on_disk("root"));
  EXPECT_TRUE(
      contains(error(),
               "\na server runs in a container (pid 7): its store is, as root and while that "
               "runs, --store "
               "/proc/7/root/x/.ollama/models\n"));
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

// Servers that root meets, who was called by sudo or not.
class ServersForRoot : public OtherMachine {
 protected:
  ServersForRoot() { make_store("/unit"); }

  // `users`: its real, effective, saved and file system user.
  void add(int pid, const std::string& models, const std::string& users, mode_t mode = 0755) const {
    const std::string process = "proc/" + std::to_string(pid);
    make_store(models);
    add_server(pid, {"OLLAMA_MODELS=" + models});
    write(process + "/status", "Name:\tollama\nUid:\t" + users + "\nGid:\t0\t0\t0\t0\n");
    write(process + "/program", "");
    ASSERT_EQ(::chmod(on_disk(process + "/program").c_str(), mode), 0);
    link(process + "/exe", "program");
  }

  [[nodiscard]] std::string told_to_root() const try {
    return find_store({}, roots_host()).reason;
  } catch (const StoreNotFound& e) {
    return e.what();
  }

  [[nodiscard]] Host roots_host() const {
    Host host = this->host();
    host.as_root = true;
    host.uid = caller_;
    host.uid_of = [](const std::string& name) -> std::optional<uid_t> {
      if (name == "ollama") return 998;
      return name == "svc" ? std::optional<uid_t>{997} : std::nullopt;
    };
    return host;
  }

  uid_t caller_ = 0;
};

TEST_F(ServersForRoot, DecideIfWhoRunsThemMayDecide) {
  add_unit("User=svc\nEnvironment=OLLAMA_MODELS=/unit\n");
  caller_ = kUs;
  for (const char* const users :
       {"0\t0\t0\t0", "1000\t1000\t1000\t1000", "998\t998\t998\t998", "997\t997\t997\t997"}) {
    add(5, "/server", users);
    EXPECT_EQ(told_to_root(), "/server: the store of the running server (pid 5) (not taken: /unit)")
        << users;
    fs::remove_all(on_disk("proc/5"));
  }
  add_unit("User=54321\nEnvironment=OLLAMA_MODELS=/unit\n");
  add(5, "/server", "54321\t54321\t54321\t54321");
  EXPECT_TRUE(told_to_root().starts_with("/server: "));
}

// Anybody can run a program of that name.
TEST_F(ServersForRoot, OfOthersAreMentionedAndNotTaken) {
  add_unit("User=svc\nEnvironment=OLLAMA_MODELS=/unit\n");
  add(5, "/fake", "54321\t54321\t54321\t54321");
  EXPECT_EQ(told_to_root(),
            "/unit: the store of ollama.service (not taken: /fake of a server that 54321 runs "
            "(pid 5))");
  const StoreChoice choice = find_store({}, roots_host());
  ASSERT_EQ(choice.others.size(), 1u);
  EXPECT_EQ(choice.others.front().state, StoreCandidate::State::untrusted);
  EXPECT_EQ(find().taken.path, "/fake");  // who reads with their own rights only is led nowhere
  add(6, "/root-s", "0\t0\t0\t0");
  EXPECT_TRUE(told_to_root().starts_with("/root-s: the store of the running server (pid 6)"));
}

TEST_F(ServersForRoot, OfOthersAreMentionedWhereNothingIsFound) {
  add(5, "/fake\x1b", "54321\t54321\t54321\t54321");
  EXPECT_TRUE(contains(told_to_root(),
                       "\nnot looked at: /fake\\x1b, of a server that 54321 runs (pid 5)\n"
                       "give --store DIR"));
}

TEST_F(ServersForRoot, OfOthersAreNotMentionedIfTheirStoreIsKnown) {
  add_unit("Environment=OLLAMA_MODELS=/unit\n");
  add(5, "/unit", "54321\t54321\t54321\t54321");
  EXPECT_EQ(told_to_root(), "/unit: the store of ollama.service");
}

// `exec -a ollama sudo serve`: while it asks for the password, it is root's.
TEST_F(ServersForRoot, ThatOthersStartedWithRootsRightsAreNotTaken) {
  add_unit("Environment=OLLAMA_MODELS=/unit\n");
  const std::string not_taken =
      "/unit: the store of ollama.service (not taken: /fake of a program that runs as root for "
      "somebody else (pid 5))";
  for (const char* const users : {"54321\t0\t0\t0", "0\t0\t54321\t0"}) {
    add(5, "/fake", users);
    EXPECT_EQ(told_to_root(), not_taken) << users;
    fs::remove_all(on_disk("proc/5"));
  }
  for (const mode_t mode : {04755U, 02755U}) {
    add(5, "/fake", "0\t0\t0\t0", mode);
    EXPECT_EQ(told_to_root(), not_taken) << mode;
    fs::remove_all(on_disk("proc/5"));
  }
  add(5, "/fake", "0\t0\t0\t0");
  fs::remove(on_disk("proc/5/program"));
  EXPECT_EQ(told_to_root(), not_taken);
}

}  // namespace
}  // namespace ollamafs::test
