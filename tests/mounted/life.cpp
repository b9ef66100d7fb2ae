#include "tests/mounted/life.h"

#include <dirent.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/stat.h>

#include <cerrno>
#include <cstring>
#include <fstream>
#include <sstream>
#include <stdexcept>
#include <system_error>

#include "store/base/dir_stream.h"

namespace ollamafs::test {

namespace fs = std::filesystem;

std::vector<pid_t> processes_with(const std::string& argument) {
  std::vector<pid_t> found;
  for (const auto& entry : fs::directory_iterator{"/proc"}) {
    std::error_code ec;
    if (fs::read_symlink(entry.path() / "exe", ec) != fs::canonical(binary())) continue;
    std::ifstream file{entry.path() / "cmdline"};
    std::ostringstream arguments;
    arguments << file.rdbuf();  // does not throw if the process is gone by now
    if (arguments.str().find('\0' + argument + '\0') == std::string::npos) continue;
    found.push_back(std::stoi(entry.path().filename()));
  }
  return found;
}

int listing_fails_with(const fs::path& path) {
  const DirStream dir{::opendir(path.c_str())};
  if (!dir) return errno;
  do {
    errno = 0;
  } while (::readdir(dir.get()));
  return errno;
}

bool is_gone(const fs::path& path) {
  struct stat st {};
  return ::lstat(path.c_str(), &st) != 0 && errno == ENOENT;
}

Place::~Place() {
  while (is_mounted(path()) && ::umount2(path().c_str(), UMOUNT_NOFOLLOW | MNT_DETACH) == 0) {
  }
  EXPECT_TRUE(eventually([&] { return daemons().empty(); })) << "a daemon stays behind";
  for (const pid_t pid : daemons()) ::kill(pid, SIGKILL);
}

pid_t Place::daemon() const {
  const auto found = daemons();
  if (found.size() != 1) throw std::runtime_error{"not one daemon"};  // never signal process 0
  return found.front();
}

Words Life::mount_command(const fs::path& place, const Words& options) const {
  Words command = {binary(), "mount", "--store", store_.root().string(), place.string()};
  command.insert(command.end(), options.begin(), options.end());
  return command;
}

Result Life::mount(const Place& place, const RunOptions& options) const {
  return run(mount_command(place.path()), options);
}

Result Life::umount(const Words& arguments, const RunOptions& options) {
  Words command = {binary(), "umount"};
  command.insert(command.end(), arguments.begin(), arguments.end());
  return run(command, options);
}

void Life::kill_daemon(const Place& place, const RunOptions& user) {
  ::kill(place.daemon(), SIGKILL);
  ASSERT_TRUE(eventually([&] {
    return run({"ls", place.path().string()}, user).err.find(std::strerror(ENOTCONN)) !=
           std::string::npos;
  }));
}

void Life::leave_dead_mount(const Place& place, const RunOptions& user) const {
  ASSERT_EQ(mount(place, user).status, 0);
  kill_daemon(place, user);
}

fs::path Life::weights_in(const fs::path& view) const {
  return view / "models/llama3.2+3b/blobs" / weights().blob_name();
}

}  // namespace ollamafs::test
