// What a mount says while it runs, and where.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include <algorithm>
#include <cerrno>
#include <filesystem>
#include <string>
#include <system_error>

#include "store/base/unique_fd.h"
#include "tests/mounted/life.h"
#include "tests/mounted/mount.h"
#include "tests/support/process.h"
#include "tests/support/sample_store.h"

namespace ollamafs::test {
namespace {

namespace fs = std::filesystem;
using ::testing::AllOf;
using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;

using Logging = Life;

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
  write_many_models(store_, 60);
  const Place place;
  ASSERT_EQ(mount(place).status, 0);
  const std::string pid = std::to_string(place.daemon());
  EXPECT_GT(read_all(place.path()), 1000u);
  EXPECT_THAT(log.lines(), IsEmpty());

  fs::resize_file(store_.blob_path(weights()), 1000);
  for (int i = 0; i < 3; ++i) {
    EXPECT_NE(run({"cat", weights_in(place.path()).string()}).status, 0);
  }
  Words lines = log.lines();
  // That the store has changed may be said too.
  std::erase_if(lines, [](const std::string& line) { return line.find("error: ") == line.npos; });
  ASSERT_THAT(lines, SizeIs(1));  // said once
  EXPECT_THAT(lines[0],
              AllOf(HasSubstr("ollamafs[" + pid + "]: error: "), HasSubstr(weights().blob_name())));

  ::kill(place.daemon(), SIGTERM);
  EXPECT_TRUE(eventually([&] { return place.daemons().empty(); }));
  lines = log.lines();
  EXPECT_THAT(lines, Contains(HasSubstr("unmounting")));
}

TEST_F(Logging, InTheForegroundGoesToStderrAndSaysNothingAboutRequests) {
  write_many_models(store_, 200);
  const Mount mount{store_.root(), {.arguments = {"-o", "poll=86400"}}};
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
