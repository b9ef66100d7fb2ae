#pragma once

#include <filesystem>
#include <fstream>
#include <string>

namespace ollamafs::test {

// How many directories and files this process watches by inotify (proc_pid_fdinfo(5)).
[[nodiscard]] inline int inotify_watches() {
  int count = 0;
  for (const auto& descriptor : std::filesystem::directory_iterator{"/proc/self/fdinfo"}) {
    std::ifstream info{descriptor.path()};
    for (std::string line; std::getline(info, line);) count += line.starts_with("inotify wd:");
  }
  return count;
}

}  // namespace ollamafs::test
