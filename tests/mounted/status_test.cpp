// `ollamafs status`: this machine's mounts and how they do. Mounts of other tests may be there too,
// so each is looked for by its place.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/xattr.h>

#include <ctime>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <string>

#include "tests/mounted/environment.h"
#include "tests/mounted/life.h"
#include "tests/mounted/mount.h"
#include "tests/support/process.h"
#include "tests/support/store_builder.h"

namespace ollamafs::test {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;
using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;

class Status : public Life {
 protected:
  static std::string text(const RunOptions& user = {}) { return must({binary(), "status"}, user); }

  // What it says of the mount at `place`; null if nothing.
  static json of(const fs::path& place, const RunOptions& user = {}) {
    const json all = json::parse(must({binary(), "status", "--json"}, user));
    for (const json& mount : all.at("mounts")) {
      if (mount.at("mountpoint") == place.string()) return mount;
    }
    return {};
  }
};

TEST_F(Status, TellsWhatIsShownAndSinceWhen) {
  const Mount mount{store_.root()};
  const json told = of(mount.path());
  EXPECT_EQ(told["store"], store_.root().string());
  EXPECT_EQ(told["state"], "mounted");
  EXPECT_EQ(told["uid"], 0);
  EXPECT_EQ(told["models"], 1);
  EXPECT_EQ(told["broken"], 0);
  EXPECT_EQ(told["bytes_read"], 0);
  const std::string log = mount.log();
  if (log.find("reads the blobs itself") != std::string::npos) {
    EXPECT_EQ(told["passthrough"], true);
  } else {
    EXPECT_EQ(told["passthrough"], false);
  }
  const std::time_t now = std::time(nullptr);
  char today[32];
  std::strftime(today, sizeof today, "%Y-%m-%dT", std::gmtime(&now));
  EXPECT_THAT(told["since"].get<std::string>(), HasSubstr(today));
  EXPECT_THAT(text(), AllOf(HasSubstr(mount.path().string()), HasSubstr(store_.root().string())));
}

TEST_F(Status, TellsBrokenModelsAlsoOfWhatFailedSince) {
  const Mount mount{store_.root(), {.arguments = {"-o", "poll=86400"}}};
  store_.v1("other:latest", store_.text_model(2));
  fs::resize_file(store_.blob_path(weights()), 1000);
  EXPECT_NE(run({"cat", weights_in(mount.path()).string()}).status, 0);
  const json told = of(mount.path());
  EXPECT_EQ(told["models"], 1);
  EXPECT_EQ(told["broken"], 1);
  EXPECT_EQ(told["broken_models"], json::array({"llama3.2:3b"}));
  EXPECT_THAT(text(), HasSubstr("1, 1 broken: llama3.2:3b"));
}

TEST_F(Status, CountsWhatWasRead) {
  const Mount mount{store_.root()};
  const fs::path archive = mount / "archives/llama3.2+3b.tar";
  EXPECT_EQ(read_file(archive).size(), fs::file_size(archive));
  EXPECT_EQ(of(mount.path())["bytes_read"], fs::file_size(archive));
}

TEST_F(Status, NamesWhoHasAFileOpen) {
  const Mount mount{store_.root()};
  EXPECT_EQ(of(mount.path())["users"], json::array());
  Background reader{{"sh", "-c", "exec 3<\"$0\"; echo open >&2; exec sleep 1000",
                     (mount / "archives/llama3.2+3b.tar").string()}};
  ASSERT_TRUE(eventually([&] { return reader.err() == "open\n"; }));
  ASSERT_TRUE(eventually([&] { return of(mount.path())["users"].size() == 1; }));
  const json user = of(mount.path())["users"][0];
  EXPECT_EQ(user["pid"], reader.pid());
  EXPECT_THAT(text(), HasSubstr(" (pid " + std::to_string(reader.pid()) + ")"));
}

TEST_F(Status, TellsThatTheStoreIsGone) {
  const Mount mount{store_.root()};
  fs::rename(store_.root(), dir_ / "away");
  EXPECT_TRUE(eventually([&] { return of(mount.path())["state"] == "store-is-gone"; }));
  EXPECT_THAT(text(), HasSubstr("the store is gone"));
}

TEST_F(Status, OfAnotherUsersMountTellsWhatIsKnownToAll) {
  const Mount mount{store_.root(), {.run = as_games_}};
  EXPECT_EQ(of(mount.path(), as_games_)["state"], "mounted");
  const json told = of(mount.path());
  EXPECT_EQ(told["state"], "closed");
  EXPECT_EQ(told["uid"], as_games_.as->uid);
  EXPECT_EQ(told["store"], store_.root().string());
  EXPECT_THAT(text(), HasSubstr("another user's"));
}

TEST_F(Status, OfADeadMountSaysSo) {
  const Place place;
  leave_dead_mount(place);
  EXPECT_EQ(of(place.path())["state"], "dead");
  EXPECT_THAT(text(), HasSubstr("ollamafs umount " + place.path().string()));
}

// It must not hang with it.
TEST_F(Status, OfADaemonThatDoesNotAnswerSaysSo) {
  Mount mount{store_.root()};
  mount.daemon().signal(SIGSTOP);
  const Result result = run({binary(), "status", "--json"}, {.timeout = std::chrono::seconds{30}});
  mount.daemon().signal(SIGCONT);
  EXPECT_EQ(result.status, 0);
  EXPECT_THAT(result.out, HasSubstr("\"silent\""));
}

TEST_F(Status, OfNoMountIsNoError) {
  const Result result =
      run({"unshare", "-m", "sh", "-c",
           "umount -l -a -t fuse.ollamafs; \"$0\" status && \"$0\" status --json", binary()});
  EXPECT_EQ(result.status, 0);
  EXPECT_THAT(result.err, HasSubstr("there is no mount of ollamafs"));
  EXPECT_EQ(json::parse(result.out), json({{"mounts", json::array()}}));
}

// `cp -a` of the whole mount must not bring it along.
TEST_F(Status, IsAnAttributeOfTheRootThatIsNotListed) {
  const Mount mount{store_.root()};
  const char* const name = "user.ollamafs.status";
  EXPECT_EQ(::listxattr(mount.path().c_str(), nullptr, 0), -1);
  EXPECT_EQ(errno, EOPNOTSUPP);
  std::string value(65536, '\0');
  const ssize_t size = ::getxattr(mount.path().c_str(), name, value.data(), value.size());
  ASSERT_GT(size, 0);
  EXPECT_EQ(json::parse(value.substr(0, static_cast<std::size_t>(size)))["models"], 1);
  EXPECT_EQ(::getxattr((mount / "models").c_str(), name, value.data(), value.size()), -1);
  EXPECT_EQ(errno, ENODATA);
}

}  // namespace
}  // namespace ollamafs::test
