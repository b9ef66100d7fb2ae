#pragma once

#include <gtest/gtest.h>
#include <sys/types.h>

#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include "store/find/store_location.h"
#include "tests/support/temp_dir.h"

namespace ollamafs::test {

inline constexpr uid_t kUs = 1000;
inline constexpr const char* kTag = "manifests/registry.ollama.ai/library/tiny/latest";

// A machine in a temporary directory, on which a store is looked for. All paths are absolute ones
// of that machine, with or without the slash at the beginning, unless they are said to be on disk.
class OtherMachine : public ::testing::Test {
 protected:
  OtherMachine() { link("proc/self/ns/mnt", "mnt:[1]"); }
  ~OtherMachine() override;

  [[nodiscard]] std::filesystem::path on_disk(const std::filesystem::path& path) const {
    return root_.path() / path.relative_path();
  }
  void write(const std::filesystem::path& path, const std::string& text) const;
  void link(const std::filesystem::path& path, const std::filesystem::path& target) const;
  void make_empty_store(const std::filesystem::path& path) const;
  void make_store(const std::filesystem::path& path) const { write(path / kTag, "{}"); }

  // Nobody but root may enter a closed directory, not even its owner. `path` is on disk.
  void close(const std::filesystem::path& path);

  // Processes that see the mounts that we see; their working directory is /cwd.
  void add_process(int pid, uid_t uid, const std::vector<std::string>& arguments,
                   const std::vector<std::string>& environment,
                   const std::string& comm = "x") const;
  void add_server(int pid, const std::vector<std::string>& environment, uid_t uid = 0) const;
  // ollama.service with these lines of its [Service] section.
  void add_unit(const std::string& lines) const;

  [[nodiscard]] Host host() const;
  [[nodiscard]] StoreChoice find(const std::filesystem::path& given = {}) const;
  [[nodiscard]] std::filesystem::path found(const std::filesystem::path& given = {}) const;
  [[nodiscard]] std::string error(const std::filesystem::path& given = {}) const;

  // What an ordinary user is told: the reason, or the error.
  [[nodiscard]] std::string told_to_user(const std::filesystem::path& given = {}) const;

  TempDir root_;
  std::map<std::string, std::string> environment_;
  std::map<std::string, std::filesystem::path> homes_;
  std::string sudo_user_;

 private:
  std::vector<std::filesystem::path> closed_;
};

[[nodiscard]] inline bool contains(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

}  // namespace ollamafs::test
