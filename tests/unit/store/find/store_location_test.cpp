#include "store/find/store_location.h"

#include <gtest/gtest.h>
#include <pwd.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "tests/unit/store/find/other_machine.h"

namespace ollamafs::test {
namespace {

namespace fs = std::filesystem;

using StoreLocation = OtherMachine;

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
  EXPECT_EQ(host.as_root, ::geteuid() == 0);
  EXPECT_EQ(host.uid_of("root"), 0u);
  EXPECT_EQ(host.uid_of("no-such-user"), std::nullopt);
}

TEST_F(NamedStore, FolderWithinTheStoreIsRecognised) {
  make_store("/home/u/models");
  fs::create_directories(on_disk("/home/u/models/blobs"));
  for (const char* const part : {"manifests", "blobs/", "./blobs"}) {
    const std::string told = error(fs::path{"/home/u/models"} / part);
    EXPECT_TRUE(told.ends_with("; did you mean /home/u/models?")) << told;
  }
  environment_["OLLAMA_MODELS"] = "/home/u/models/blobs";
  EXPECT_TRUE(error().ends_with("; did you mean /home/u/models?"));
  fs::create_directories(on_disk("/home/u/photos"));
  EXPECT_FALSE(contains(error("/home/u/photos"), "did you mean"));
}

}  // namespace
}  // namespace ollamafs::test
