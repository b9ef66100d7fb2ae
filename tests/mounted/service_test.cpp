// A mount as a service: what it tells its service manager, and its log file.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include <cerrno>
#include <cstddef>
#include <filesystem>
#include <string>
#include <system_error>

#include "store/base/unique_fd.h"
#include "tests/mounted/environment.h"
#include "tests/mounted/life.h"
#include "tests/mounted/mount.h"
#include "tests/support/process.h"
#include "tests/support/store_builder.h"

namespace ollamafs::test {
namespace {

namespace fs = std::filesystem;
using ::testing::AllOf;
using ::testing::AnyOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::MatchesRegex;
using ::testing::Not;

// As systemd listens to services of Type=notify. A name with @ before it is abstract.
class NotifySocket {
 public:
  explicit NotifySocket(std::string name) : name_{std::move(name)} {
    socket_ = UniqueFd{::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0)};
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    name_.copy(address.sun_path, sizeof address.sun_path);
    if (name_.front() == '@') address.sun_path[0] = '\0';
    const auto size = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + name_.size());
    if (::bind(socket_.get(), reinterpret_cast<sockaddr*>(&address), size) != 0)
      throw std::system_error{errno, std::generic_category(), name_};
    if (name_.front() == '/') ::chmod(name_.c_str(), 0666);
  }

  // What has arrived since the last call.
  Words messages() {
    Words all;
    char buffer[4096];
    for (ssize_t n = 0; (n = ::recv(socket_.get(), buffer, sizeof buffer, 0)) >= 0;)
      all.emplace_back(buffer, static_cast<std::size_t>(n));
    return all;
  }

  [[nodiscard]] std::map<std::string, std::string> environment() const {
    return {{"NOTIFY_SOCKET", name_}};
  }

 private:
  std::string name_;
  UniqueFd socket_;
};

class Service : public Life {
 protected:
  Service() { must({"chmod", "0777", dir_.path().string()}); }
};

TEST_F(Service, TellsWhenTheMountAnswersAndWhenItEnds) {
  const std::string unique = std::to_string(::getpid());
  for (const std::string& name : {(dir_ / "notify").string(), "@ollamafs-test-" + unique}) {
    for (const RunOptions& user : {RunOptions{}, as_games_}) {
      fs::remove(name);
      NotifySocket socket{name};
      const Place place{false, user.as};
      Background service{mount_command(place.path(), {"-f"}),
                         {.as = user.as, .environment = socket.environment()}};
      Words told;
      ASSERT_TRUE(eventually([&] {
        told = socket.messages();
        return !told.empty();
      })) << service.err();
      EXPECT_THAT(told, ElementsAre("READY=1"));
      EXPECT_TRUE(is_mounted(place.path()));
      EXPECT_EQ(must({"ls", (place.path() / "models").string()}, user), "llama3.2+3b\n");
      service.signal(SIGTERM);
      EXPECT_EQ(service.wait(std::chrono::seconds{30}), 0);
      EXPECT_THAT(socket.messages(), ElementsAre("STOPPING=1"));
    }
  }
}

TEST_F(Service, ThatDoesNotMountIsNotReady) {
  NotifySocket socket{(dir_ / "notify").string()};
  const Place place;
  write_file(place.path() / "file", "in the way");
  EXPECT_EQ(run(mount_command(place.path(), {"-f"}), {.environment = socket.environment()}).status,
            1);
  EXPECT_THAT(socket.messages(), IsEmpty());
  fs::remove(place.path() / "file");
}

// A script of a service may mount beside what it does: it speaks for itself.
TEST_F(Service, IsNotWhatGoesToTheBackground) {
  NotifySocket socket{(dir_ / "notify").string()};
  const Place place;
  must(mount_command(place.path()), {.environment = socket.environment()});
  ASSERT_EQ(umount({place.path().string()}).status, 0);
  ASSERT_TRUE(eventually([&] { return place.daemons().empty(); }));
  EXPECT_THAT(socket.messages(), IsEmpty());
}

TEST_F(Service, WorksWhereNobodyListensAnyMore) {
  for (const std::string name : {"/nowhere/notify", "@", "relative", ""}) {
    const Mount mount{store_.root(), {.run = {.environment = {{"NOTIFY_SOCKET", name}}}}};
    EXPECT_TRUE(is_mounted(mount.path()));
  }
}

// ---- the log file ----

TEST_F(Service, WritesItsLogFileFromTheBeginningToTheEnd) {
  const fs::path log = dir_ / "log";
  const Place place;
  const Words command = mount_command(place.path(), {"--log-file", "log"});
  const Result result = run(command, {.directory = dir_.path()});
  ASSERT_EQ(result.status, 0) << result.err;
  EXPECT_THAT(result.err, HasSubstr("shows the models of"));
  EXPECT_THAT(read_file(log), HasSubstr("shows the models of"));
  fs::resize_file(store_.blob_path(weights()), 1000);
  EXPECT_NE(run({"cat", weights_in(place.path()).string()}).status, 0);
  ::kill(place.daemon(), SIGTERM);
  ASSERT_TRUE(eventually([&] { return place.daemons().empty(); }));
  // Of the read that failed, or of the change, if that was seen before.
  EXPECT_THAT(read_file(log), AllOf(AnyOf(HasSubstr("error: "), HasSubstr("warning: ")),
                                    HasSubstr(weights().blob_name()), HasSubstr("unmounting")));
  EXPECT_THAT(read_file(log).substr(0, read_file(log).find('\n')),
              MatchesRegex("20[0-9-]*T[0-9:]*[+-][0-9:]* ollamafs\\[[0-9]*\\]: .*"));
}

TEST_F(Service, GoesOnWithALogFileThatIsThere) {
  write_file(dir_ / "log", "before\n");
  {
    const Mount mount{store_.root(), {.arguments = {"--log-file", (dir_ / "log").string()}}};
    EXPECT_THAT(mount.log(), HasSubstr("shows the models of"));
  }
  EXPECT_THAT(read_file(dir_ / "log"),
              AllOf(::testing::StartsWith("before\n"), HasSubstr("shows the models of")));
}

TEST_F(Service, NamesALogFileThatCannotBeWritten) {
  const Place place;
  write_file(dir_ / "file", "");
  const Result result = run(mount_command(place.path(), {"--log-file", dir_ / "file/log"}));
  EXPECT_EQ(result.status, 1);
  EXPECT_THAT(result.err, AllOf(HasSubstr("ollamafs: error: "), HasSubstr("file/log")));
  EXPECT_FALSE(is_mounted(place.path()));
}

}  // namespace
}  // namespace ollamafs::test
