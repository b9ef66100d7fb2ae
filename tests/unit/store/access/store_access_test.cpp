#include "store/access/store_access.h"

#include <grp.h>
#include <gtest/gtest.h>
#include <pwd.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <functional>
#include <string>

namespace ollamafs {
namespace {

namespace fs = std::filesystem;

constexpr uid_t kNobody = 65534;
constexpr gid_t kGroup = 54321;  // nobody's, and without a name

class StoreAccess : public ::testing::Test {
 protected:
  void SetUp() override {
    ASSERT_EQ(::geteuid(), 0u) << "only root can become another user; scripts/test uses sudo";
    std::string name = ::testing::TempDir() + "store_access.XXXXXX";
    ASSERT_NE(::mkdtemp(name.data()), nullptr);
    ASSERT_EQ(::chmod(name.c_str(), 0755), 0);
    base_ = fs::canonical(name);
    store_ = base_ / "home/.ollama/models";
    for (const char* const part : {"manifests", "manifests-v2", "blobs"}) {
      fs::create_directories(store_ / part);
    }
  }
  void TearDown() override {
    if (!base_.empty()) fs::remove_all(base_);
  }

  static void set_mode(const fs::path& path, mode_t mode) {
    ASSERT_EQ(::chmod(path.c_str(), mode), 0);
  }

  fs::path base_;
  fs::path store_;
};

// What `say` returns in a process of an ordinary user with these groups.
std::string as_user(const std::vector<gid_t>& groups, const std::function<std::string()>& say) {
  int ends[2];
  if (::pipe(ends) != 0) return "no pipe";
  const pid_t child = ::fork();
  if (child == 0) {
    const bool changed = ::setgroups(groups.size(), groups.data()) == 0 && ::setgid(kNobody) == 0 &&
                         ::setuid(kNobody) == 0;
    const std::string text = changed ? say() : "no other user";
    const bool written = ::write(ends[1], text.data(), text.size()) >= 0;
    ::_exit(written ? 0 : 1);
  }
  ::close(ends[1]);
  std::string text;
  char chunk[512];
  for (ssize_t n = 0; (n = ::read(ends[0], chunk, sizeof chunk)) > 0;) {
    text.append(chunk, static_cast<std::size_t>(n));
  }
  ::close(ends[0]);
  int status = 0;
  ::waitpid(child, &status, 0);
  return status == 0 ? text : "the child failed";
}

// The directory that stops an ordinary user on the way into `store`.
std::string stopped_at(const fs::path& store, const std::vector<gid_t>& groups = {}) {
  return as_user(groups, [&] {
    const auto barrier = find_barrier(store);
    if (!barrier) return std::string{"nothing"};
    return (barrier->to_list ? "to list " : "") + barrier->directory.string();
  });
}

TEST_F(StoreAccess, OpenStoreStopsNobody) {
  EXPECT_EQ(stopped_at(store_), "nothing");
}

TEST_F(StoreAccess, RootIsStoppedByNoMode) {
  set_mode(base_ / "home", 0);
  EXPECT_FALSE(find_barrier(store_));
}

TEST_F(StoreAccess, FirstClosedDirectoryFromTheTopIsTheBarrier) {
  set_mode(store_ / "blobs", 0700);
  EXPECT_EQ(stopped_at(store_), store_ / "blobs");
  set_mode(store_, 0700);
  EXPECT_EQ(stopped_at(store_), store_);
  set_mode(base_ / "home", 0750);
  EXPECT_EQ(stopped_at(store_), base_ / "home");
}

TEST_F(StoreAccess, BarrierTellsModeAndOwner) {
  set_mode(base_ / "home", 02750);
  ASSERT_EQ(::chown((base_ / "home").c_str(), 1234, kGroup), 0);
  EXPECT_EQ(as_user({},
                    [&] {
                      const auto barrier = find_barrier(store_);
                      if (!barrier) return std::string{"nothing"};
                      return std::to_string(barrier->mode) + " " + std::to_string(barrier->uid) +
                             " " + std::to_string(barrier->gid);
                    }),
            std::to_string(02750) + " 1234 54321");
}

TEST_F(StoreAccess, StoreAndBlobsNeedOnlyBeEntered) {
  set_mode(store_, 0711);
  set_mode(store_ / "blobs", 0711);
  EXPECT_EQ(stopped_at(store_), "nothing");
}

TEST_F(StoreAccess, ManifestTreesMustBeListed) {
  set_mode(store_ / "manifests-v2", 0711);
  EXPECT_EQ(stopped_at(store_), "to list " + (store_ / "manifests-v2").string());
  set_mode(store_ / "manifests", 0711);
  EXPECT_EQ(stopped_at(store_), "to list " + (store_ / "manifests").string());
  set_mode(store_ / "manifests", 0744);
  EXPECT_EQ(stopped_at(store_), "to list " + (store_ / "manifests").string());
}

TEST_F(StoreAccess, GroupsOfTheProcessCount) {
  set_mode(base_ / "home", 0750);
  ASSERT_EQ(::chown((base_ / "home").c_str(), 0, kGroup), 0);
  EXPECT_EQ(stopped_at(store_), base_ / "home");
  EXPECT_EQ(stopped_at(store_, {kGroup}), "nothing");
}

TEST_F(StoreAccess, EffectiveUserOfTheProcessCounts) {
  set_mode(store_, 0700);
  ASSERT_EQ(::seteuid(kNobody), 0);
  const auto barrier = find_barrier(store_);
  ASSERT_EQ(::seteuid(0), 0);
  ASSERT_TRUE(barrier);
  EXPECT_EQ(barrier->directory, store_);
}

TEST_F(StoreAccess, WhatIsMissingStopsNobody) {
  EXPECT_EQ(stopped_at(base_ / "none/models"), "nothing");
  fs::remove_all(store_ / "manifests-v2");
  EXPECT_EQ(stopped_at(store_), "nothing");
}

TEST_F(StoreAccess, SymlinksAreFollowed) {
  fs::create_directories(base_ / "disk/blobs");
  fs::remove(store_ / "blobs");
  fs::create_directory_symlink("../../../disk/blobs", store_ / "blobs");
  fs::create_directory_symlink(store_, base_ / "link");
  EXPECT_EQ(stopped_at(base_ / "link"), "nothing");
  set_mode(base_ / "disk", 0700);
  EXPECT_EQ(stopped_at(base_ / "link"), base_ / "disk");
  set_mode(base_ / "home", 0700);
  EXPECT_EQ(stopped_at(base_ / "link"), base_ / "home");
}

TEST_F(StoreAccess, SymlinksInACircleEnd) {
  fs::create_directory_symlink("b", base_ / "a");
  fs::create_directory_symlink("a", base_ / "b");
  EXPECT_EQ(stopped_at(base_ / "a"), "nothing");
}

std::string explained(const Barrier& barrier, const std::vector<gid_t>& groups = {},
                      const std::string& user = "no-such-user") {
  return as_user(groups, [&] { return explain(barrier, user, "sudo ollamafs list"); });
}

class StoreAccessWays : public StoreAccess {};

TEST_F(StoreAccessWays, GroupThatMayPassIsJoined) {
  EXPECT_EQ(explained({"/usr/share/ollama", 0750, 1234, kGroup, false}),
            "no-such-user may not enter /usr/share/ollama: its mode is 0750, it belongs to "
            "1234:54321.\n"
            "Join its group, then log in again:\n"
            "  sudo usermod -aG 54321 no-such-user\n"
            "Or as root:\n"
            "  sudo ollamafs list");
}

TEST_F(StoreAccessWays, ToEnterTheGroupNeedsNoMore) {
  const std::string text = explained({"/store", 0710, 1234, kGroup, false});
  EXPECT_NE(text.find("\n  sudo usermod -aG 54321 no-such-user\n"), std::string::npos) << text;
  EXPECT_EQ(text.find("chmod"), std::string::npos) << text;
}

TEST_F(StoreAccessWays, ToListTheGroupMustRead) {
  const std::string text = explained({"/store/manifests", 0710, 1234, kGroup, true});
  EXPECT_NE(text.find("may not list /store/manifests: its mode is 0710"), std::string::npos);
  EXPECT_NE(text.find("\n  sudo chmod g+rx /store/manifests && sudo usermod -aG 54321 "),
            std::string::npos)
      << text;
}

TEST_F(StoreAccessWays, GroupThatMayNotPassIsLetPass) {
  EXPECT_EQ(explained({"/store", 0700, 1234, kGroup, false}),
            "no-such-user may not enter /store: its mode is 0700, it belongs to 1234:54321.\n"
            "Let its group pass, join it, then log in again:\n"
            "  sudo chmod g+rx /store && sudo usermod -aG 54321 no-such-user\n"
            "Or as root:\n"
            "  sudo ollamafs list");
}

TEST_F(StoreAccessWays, MemberNeedsNotJoin) {
  const passwd* const user = ::getpwnam("daemon");
  ASSERT_NE(user, nullptr) << "no user daemon on this machine";
  const std::string login = explained({"/store", 0750, 1234, user->pw_gid, false}, {}, "daemon");
  EXPECT_EQ(login.find("usermod"), std::string::npos) << login;
  EXPECT_NE(login.find("\nLog in again: daemon is in group daemon, "), std::string::npos) << login;
  const std::string open = explained({"/store", 0700, 1234, user->pw_gid, false}, {}, "daemon");
  EXPECT_EQ(open.find("usermod"), std::string::npos) << open;
  EXPECT_NE(open.find("\n  sudo chmod g+rx /store\n"), std::string::npos) << open;
}

TEST_F(StoreAccessWays, SessionWithTheGroupNeedsNoLogin) {
  const std::string text = explained({"/store", 0700, 1234, kGroup, false}, {kGroup});
  EXPECT_NE(text.find("\n  sudo chmod g+rx /store\n"), std::string::npos) << text;
  EXPECT_EQ(text.find("log in"), std::string::npos) << text;
}

TEST_F(StoreAccessWays, OwnerIsToldToOpenIt) {
  const std::string text = explained({"/store", 0050, kNobody, kGroup, false});
  EXPECT_NE(text.find("\n  chmod u+rx /store\nOr as root:"), std::string::npos) << text;
  EXPECT_EQ(text.find("usermod"), std::string::npos) << text;
}

TEST_F(StoreAccessWays, OnlyRootHelpsWhereNoGroupDoes) {
  const std::string root_only = "\nAs root it works:\n  sudo ollamafs list";
  for (const Barrier& barrier : {Barrier{"/root", 0750, 0, 0, false},          // root's group
                                 Barrier{"/acl", 0755, 1234, kGroup, false}})  // not the mode
  {
    const std::string text = explained(barrier);
    EXPECT_EQ(text.substr(text.find('\n')), root_only);
  }
  const std::string text = explained({"/acl", 0750, 1234, kGroup, false}, {kGroup});
  EXPECT_EQ(text.substr(text.find('\n')), root_only);
}

TEST_F(StoreAccessWays, NamesAreGivenWhereThereAreAny) {
  const std::string text = explained({"/store", 0700, 0, 0, false});
  EXPECT_NE(text.find("it belongs to root:root.\n"), std::string::npos) << text;
}

TEST_F(StoreAccessWays, CommandsCanBePasted) {
  const auto command = [](const fs::path& directory) {
    const std::string text = explained({directory, 0700, kNobody, kGroup, false});
    const std::size_t begin = text.find("chmod u+rx ");
    return text.substr(begin, text.find('\n', begin) - begin);
  };
  EXPECT_EQ(command("/my models"), "chmod u+rx '/my models'");
  EXPECT_EQ(command("/it's\n\\"), "chmod u+rx $'/it\\'s\\x0a\\\\'");
}

TEST_F(StoreAccessWays, NothingRawIsPrinted) {
  const std::string text = explained({"/a\x1b[2J", 0750, 1234, kGroup, false}, {}, "b\x1b");
  EXPECT_EQ(text.find('\x1b'), std::string::npos) << text;
  EXPECT_NE(text.find("/a\\x1b[2J"), std::string::npos) << text;
}

}  // namespace
}  // namespace ollamafs
