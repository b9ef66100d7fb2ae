#include "store/upkeep/file_use.h"

#include <dirent.h>
#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <string>
#include <string_view>

#include "store/base/dir_stream.h"

namespace ollamafs {
namespace {

template <class Function>
void for_each_entry(const std::string& path, Function&& function) {
  const DirStream dir{::opendir(path.c_str())};
  if (!dir) return;  // the process is gone, or another user's
  while (const dirent* entry = ::readdir(dir.get())) {
    if (entry->d_name[0] != '.') function(std::string{entry->d_name});
  }
}

bool is_process(std::string_view name) noexcept {
  return std::ranges::all_of(name, [](char c) { return c >= '0' && c <= '9'; });
}

}  // namespace

OpenFileList OpenFileList::read() {
  OpenFileList list;
  const std::string self = std::to_string(::getpid());
  for_each_entry("/proc", [&](const std::string& process) {
    if (!is_process(process) || process == self) return;
    for (const char* const kind : {"/fd", "/map_files"}) {
      const std::string folder = "/proc/" + process + kind;
      for_each_entry(folder, [&](const std::string& name) {
        std::string link = folder;
        link.append("/").append(name);
        struct stat st {};
        if (::stat(link.c_str(), &st) == 0 && S_ISREG(st.st_mode)) {
          list.files_.emplace(st.st_dev, st.st_ino);
        }
      });
    }
  });
  return list;
}

bool OpenFileList::has(const struct stat& st) const {
  return files_.contains({st.st_dev, st.st_ino});
}

ExclusiveHold::ExclusiveHold(int fd) noexcept : fd_{fd}, state_{State::unknown} {
  // Who opens the file makes the kernel send a signal, which by default ends this process: SIGURG
  // does not.
  if (::fcntl(fd, F_SETSIG, SIGURG) != 0) return;
  if (::fcntl(fd, F_SETLEASE, F_WRLCK) == 0) {
    state_ = State::held;
  } else if (errno == EAGAIN) {
    state_ = State::in_use;
  }
}

ExclusiveHold::~ExclusiveHold() {
  if (state_ == State::held) (void)::fcntl(fd_, F_SETLEASE, F_UNLCK);
}

}  // namespace ollamafs
