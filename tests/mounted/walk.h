#pragma once

#include <sys/stat.h>

#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include "store/model/digest.h"
#include "tests/support/store_builder.h"
#include "tests/support/temp_dir.h"

namespace ollamafs::test {

// What is below a directory, by path relative to it, the directory itself as "".
using Nodes = std::map<std::string, struct stat>;

// These throw std::system_error with the path.
[[nodiscard]] struct stat stat_of(const std::filesystem::path& path);  // of a symlink itself
[[nodiscard]] Nodes walk(const std::filesystem::path& top);
// The same of a whole mount, after every view was looked into once: then links count in all of
// them.
[[nodiscard]] Nodes walk_awake(const std::filesystem::path& mount);
// The names in a directory, "." and ".." included, in the order in which it lists them.
[[nodiscard]] std::vector<std::string> listing(const std::filesystem::path& directory);
void set_mtime(const std::filesystem::path& path, time_t seconds, long nanoseconds = 0);
void set_owner(const std::filesystem::path& path, uid_t uid, gid_t gid);

// What is below models/ and archives/: all that does not depend on where it is mounted.
[[nodiscard]] Nodes walk_models(const std::filesystem::path& mount);

// The directories that are models, relative to models/.
[[nodiscard]] std::vector<std::string> models_in(const std::filesystem::path& mount);

template <class Value>
std::map<std::string, Value> each(const Nodes& nodes, Value (*value)(const struct stat&)) {
  std::map<std::string, Value> values;
  for (const auto& [path, st] : nodes) values.emplace(path, value(st));
  return values;
}

[[nodiscard]] Digest digest_of(const LayerSpec& layer);

// A store, and two models that share their weights and their template.
class TwoRelatives {
 public:
  void write_two_relatives();

  TempDir dir;
  StoreBuilder store{dir / "store"};
  ManifestSpec first, second;
};

}  // namespace ollamafs::test
