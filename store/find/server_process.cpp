#include "store/find/server_process.h"

#include <fcntl.h>
#include <sys/stat.h>

#include <algorithm>
#include <charconv>
#include <sstream>
#include <system_error>
#include <tuple>

#include "store/base/unique_fd.h"
#include "store/folder/read_file.h"

namespace ollamafs {
namespace {

namespace fs = std::filesystem;

template <typename Number>
std::optional<Number> parse_number(std::string_view text) {
  Number number{};
  const char* const end = text.data() + text.size();
  const auto result = std::from_chars(text.data(), end, number);
  if (result.ec != std::errc{} || result.ptr != end) return std::nullopt;
  return number;
}

// The strings of a cmdline or an environ, each of which has a NUL behind it.
std::vector<std::string> split_strings(const std::string& bytes) {
  std::vector<std::string> strings;
  for (std::size_t at = 0; at < bytes.size(); at += strings.back().size() + 1) {
    strings.emplace_back(bytes.c_str() + at);
  }
  return strings;
}

// `start` is Ollama's other name for its `serve`. Only the command counts: `ollama run serve` runs
// a model.
bool serves(const std::vector<std::string>& arguments) {
  const auto command = std::find_if(arguments.begin() + 1, arguments.end(),
                                    [](const std::string& text) { return !text.starts_with('-'); });
  return command != arguments.end() && (*command == "serve" || *command == "start");
}

bool is_server(const fs::path& process) {
  const auto arguments = split_strings(read_system_file(process / "cmdline").value_or(""));
  if (arguments.empty() || !serves(arguments)) return false;
  return fs::path{arguments.front()}.filename() == "ollama" ||
         read_system_file(process / "comm") == "ollama\n";
}

// The real, effective, saved and file system user. The owner of the process's folder in /proc would
// not do: that is root for every process that the kernel does not let others inspect.
struct Users {
  uid_t real, effective, saved, file_system;

  [[nodiscard]] bool all_one() const {
    return real == effective && saved == effective && file_system == effective;
  }
};

std::optional<Users> users_of(const fs::path& process) {
  constexpr std::string_view heading = "\nUid:";
  const std::string status = read_system_file(process / "status").value_or("");
  const std::size_t line = status.find(heading);
  if (line == std::string::npos) return std::nullopt;
  std::istringstream numbers{status.substr(line + heading.size())};
  Users users{};
  if (numbers >> users.real >> users.effective >> users.saved >> users.file_system) return users;
  return std::nullopt;
}

// True for sudo, su and their like. What cannot be told is taken for one.
bool borrows_rights(const fs::path& process) {
  struct stat program {};
  return ::stat((process / "exe").c_str(), &program) != 0 ||
         (program.st_mode & (S_ISUID | S_ISGID)) != 0;
}

// What the process was started with under `key`; of several the first, as Go takes it.
std::optional<std::string> setting(const std::vector<std::string>& environment,
                                   const std::string& key) {
  const auto entry = std::ranges::find_if(
      environment, [&](const std::string& text) { return text.starts_with(key + "="); });
  if (entry == environment.end()) return std::nullopt;
  return entry->substr(key.size() + 1);
}

std::optional<fs::path> models_of(const fs::path& process) {
  const auto bytes = read_system_file(process / "environ");
  if (!bytes) return std::nullopt;
  const std::vector<std::string> environment = split_strings(*bytes);
  const std::string models = setting(environment, "OLLAMA_MODELS").value_or("");
  const std::string home = setting(environment, "HOME").value_or("");
  fs::path path{trimmed_setting(models)};
  if (path.empty()) {
    if (home.empty()) return std::nullopt;
    path = fs::path{home} / ".ollama/models";
  }
  if (path.is_absolute()) return path;
  std::error_code ec;
  const fs::path directory = fs::read_symlink(process / "cwd", ec);
  return ec || !directory.is_absolute() ? std::nullopt : std::optional{directory / path};
}

bool in_other_namespace(const fs::path& process, const fs::path& self) {
  std::error_code failed;
  const fs::path theirs = fs::read_symlink(process / "ns/mnt", failed);
  if (failed) return false;
  const fs::path ours = fs::read_symlink(self / "ns/mnt", failed);
  return !failed && theirs != ours;
}

}  // namespace

std::vector<ServerProcess> running_servers(const fs::path& root, uid_t first) {
  std::vector<ServerProcess> servers;
  const fs::path proc = root / "proc";
  std::error_code ec;
  for (fs::directory_iterator it{proc, ec}, end; !ec && it != end; it.increment(ec)) {
    const fs::path& process = it->path();
    const auto pid = parse_number<pid_t>(process.filename().native());
    if (!pid || !is_server(process)) continue;
    const auto users = users_of(process);
    if (!users) continue;
    const bool own_word = users->all_one() && !borrows_rights(process);
    const bool other_namespace = in_other_namespace(process, proc / "self");
    servers.push_back({*pid, users->effective, own_word, other_namespace, models_of(process)});
  }
  std::ranges::sort(servers, {}, [first](const ServerProcess& server) {
    return std::tuple{server.uid != first, server.pid};
  });
  return servers;
}

std::string_view trimmed_setting(std::string_view value) noexcept {
  for (const char* const characters : {" \t\n\v\f\r", "\"'"}) {
    value.remove_prefix(std::min(value.find_first_not_of(characters), value.size()));
    value = value.substr(0, value.find_last_not_of(characters) + 1);
  }
  return value;
}

std::optional<std::string> read_system_file(const fs::path& path) {
  const UniqueFd fd{::open(path.c_str(), O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC)};
  if (!fd) return std::nullopt;
  std::string bytes;
  for (;;) {
    char chunk[4096];
    std::error_code ec;
    const std::size_t size =
        read_fully(FileCalls::kernel(), fd.get(), chunk, sizeof chunk, bytes.size(), ec);
    if (ec) return std::nullopt;
    bytes.append(chunk, size);
    if (size < sizeof chunk) return bytes;
  }
}

}  // namespace ollamafs
