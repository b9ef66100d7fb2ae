#pragma once

// Room store/find: Where the store is on this machine.

#include <sys/types.h>

#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace ollamafs {

// A running `ollama serve`, as far as /proc tells.
struct ServerProcess {
  pid_t pid = 0;
  uid_t uid = 0;  // its effective user
  // Nobody else started it: the same user is the real one too, and the program borrows no rights of
  // its file's owner. Without that its name and environment are not the word of `uid`: anybody can
  // start sudo as "ollama serve", and while it asks for the password it is root's.
  bool own_word = false;
  bool other_namespace = false;  // it sees other mounts than we do, in a container mostly
  // Its models folder (docs/store-format.md §1), an absolute path that means something in its own
  // mount namespace. Nothing if its environment may not be read or says too little.
  std::optional<std::filesystem::path> models;
};

// The servers that run below `root`/proc: those of the user `first` before the others, then by pid.
// Processes that end meanwhile are left out.
[[nodiscard]] std::vector<ServerProcess> running_servers(const std::filesystem::path& root,
                                                         uid_t first);

// A setting as Ollama takes it from its environment: the blanks around it are dropped, then the
// quote characters around what is left.
[[nodiscard]] std::string_view trimmed_setting(std::string_view value) noexcept;

// All bytes of a file of the system, which may be one of those in /proc that have no size. Nothing
// if it cannot be read.
[[nodiscard]] std::optional<std::string> read_system_file(const std::filesystem::path& path);

}  // namespace ollamafs
