#include "tests/mounted/walk.h"

#include <dirent.h>
#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <system_error>

#include "store/base/dir_stream.h"

namespace ollamafs::test {

namespace fs = std::filesystem;

struct stat stat_of(const fs::path& path) {
  struct stat st {};
  if (::lstat(path.c_str(), &st) != 0) {
    throw std::system_error{errno, std::generic_category(), path.string()};
  }
  return st;
}

Nodes walk(const fs::path& top) {
  Nodes nodes{{"", stat_of(top)}};
  for (const auto& entry : fs::recursive_directory_iterator{top}) {
    nodes.emplace(entry.path().lexically_relative(top).string(), stat_of(entry.path()));
  }
  return nodes;
}

Nodes walk_awake(const fs::path& mount) {
  (void)walk(mount);
  return walk(mount);
}

Nodes walk_models(const fs::path& mount) {
  Nodes nodes = walk(mount / "models");
  for (const auto& [path, st] : walk(mount / "archives")) nodes.emplace("archives/" + path, st);
  return nodes;
}

std::vector<std::string> listing(const fs::path& directory) {
  const DirStream stream{::opendir(directory.c_str())};
  if (!stream) throw std::system_error{errno, std::generic_category(), directory.string()};
  std::vector<std::string> names;
  for (;;) {
    errno = 0;
    const dirent* const entry = ::readdir(stream.get());
    if (entry) {
      names.emplace_back(entry->d_name);
    } else if (errno == 0) {
      return names;
    } else {
      throw std::system_error{errno, std::generic_category(), directory.string()};
    }
  }
}

std::vector<std::string> models_in(const fs::path& mount) {
  std::vector<std::string> models;
  for (const auto& [path, st] : walk(mount / "models")) {
    if (S_ISDIR(st.st_mode) && fs::path{path}.filename().string().find('+') != std::string::npos) {
      models.push_back(path);
    }
  }
  return models;
}

Digest digest_of(const LayerSpec& layer) {
  return *Digest::parse(layer.digest);
}

void set_mtime(const fs::path& path, time_t seconds, long nanoseconds) {
  const timespec times[] = {{0, UTIME_OMIT}, {seconds, nanoseconds}};
  if (::utimensat(AT_FDCWD, path.c_str(), times, AT_SYMLINK_NOFOLLOW) != 0) {
    throw std::system_error{errno, std::generic_category(), path.string()};
  }
}

void set_owner(const fs::path& path, uid_t uid, gid_t gid) {
  if (::lchown(path.c_str(), uid, gid) != 0) {
    throw std::system_error{errno, std::generic_category(), path.string()};
  }
}

void TwoRelatives::write_two_relatives() {
  first = store.text_model(1, 700'000);
  second = first;
  second.layers.push_back(store.layer(kSystemType, "You are a pirate."));
  store.v1("first:latest", first);
  store.v1("second:latest", second);
}

}  // namespace ollamafs::test
