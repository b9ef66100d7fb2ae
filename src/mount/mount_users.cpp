#include "src/mount/mount_users.h"

#include <fmt/format.h>

#include <algorithm>
#include <fstream>
#include <system_error>

#include "store/base/text.h"
#include "store/folder/store_dir.h"

namespace ollamafs {
namespace {

namespace fs = std::filesystem;

// Where a link of /proc leads, by its name alone.
bool leads_into(const fs::path& link, const fs::path& mount) {
  std::error_code ec;
  const fs::path target = fs::read_symlink(link, ec);
  return !ec && is_beneath(target, mount);
}

bool has_open(const fs::path& process, const fs::path& mount) {
  std::error_code ec;
  for (fs::directory_iterator it{process / "fd", ec}, end; !ec && it != end; it.increment(ec)) {
    if (leads_into(it->path(), mount)) return true;
  }
  return false;
}

// State D (proc_pid_stat(5)), behind the name, which may have anything in it.
bool waits_for_disk(const fs::path& process) {
  std::string line;
  std::getline(std::ifstream{process / "stat"}, line);
  const auto name_end = line.rfind(')');
  return name_end != line.npos && line.substr(name_end).starts_with(") D");
}

// The last word of a line is the file's name (proc_pid_maps(5)).
bool has_mapped(const fs::path& process, const fs::path& mount) {
  if (waits_for_disk(process)) return false;  // maps would wait too, for the daemon perhaps
  std::ifstream maps{process / "maps"};
  for (std::string line; std::getline(maps, line);) {
    const auto name = line.find('/');
    if (name != line.npos && is_beneath(line.substr(name), mount)) return true;
  }
  return false;
}

bool uses(const fs::path& process, const fs::path& mount) {
  return leads_into(process / "cwd", mount) || leads_into(process / "root", mount) ||
         leads_into(process / "exe", mount) || has_open(process, mount) ||
         has_mapped(process, mount);
}

std::string name_of(const fs::path& process) {
  std::string name;
  std::getline(std::ifstream{process / "comm"}, name);
  return printable(name);
}

}  // namespace

std::vector<MountUser> users_of_mount(const fs::path& path) {
  std::vector<MountUser> users;
  std::error_code ec;
  for (fs::directory_iterator it{"/proc", ec}, end; !ec && it != end; it.increment(ec)) {
    const std::string pid = it->path().filename().string();
    if (!std::ranges::all_of(pid, [](char c) { return c >= '0' && c <= '9'; })) continue;
    if (uses(it->path(), path)) users.push_back({std::stol(pid), name_of(it->path())});
  }
  std::ranges::sort(users, {}, &MountUser::pid);
  return users;
}

std::string list_of(const std::vector<MountUser>& users) {
  constexpr std::size_t most = 10;
  std::string text;
  for (std::size_t i = 0; i < std::min(most, users.size()); ++i)
    text += fmt::format("{}{} (pid {})", text.empty() ? "" : ", ", users[i].name, users[i].pid);
  if (users.size() > most) text += fmt::format(" and {} more", users.size() - most);
  return text;
}

}  // namespace ollamafs
