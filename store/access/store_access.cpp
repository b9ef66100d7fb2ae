#include "store/access/store_access.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <grp.h>
#include <pwd.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <deque>
#include <system_error>
#include <vector>

#include "store/base/text.h"

namespace ollamafs {
namespace {

namespace fs = std::filesystem;

constexpr int kMaxLinks = 40;                  // as the kernel
constexpr std::size_t kEntryBytes = 1U << 20;  // for an entry of passwd or group: groups get large

// `directory` as a barrier, if it is one. Its parents can be entered.
std::optional<Barrier> barred(const fs::path& directory, bool to_list) {
  const int wanted = to_list ? R_OK | X_OK : X_OK;
  if (::faccessat(AT_FDCWD, directory.c_str(), wanted, AT_EACCESS) == 0 || errno != EACCES) {
    return std::nullopt;
  }
  struct stat st {};
  if (::stat(directory.c_str(), &st) != 0) return std::nullopt;
  return Barrier{directory, st.st_mode & 07777, st.st_uid, st.st_gid, to_list};
}

// How far a path leads.
struct Way {
  std::optional<Barrier> barrier;
  fs::path directory;  // the real path of its end; empty if there is a barrier or no directory
};

// Goes along an absolute path, one component at a time as the kernel does.
Way walk(const fs::path& path, bool to_list) {
  std::deque<fs::path> ahead{path.begin(), path.end()};
  fs::path at = "/";
  for (int links = 0; !ahead.empty();) {
    const fs::path name = ahead.front();
    ahead.pop_front();
    if (name.is_absolute()) at = "/";
    if (name.is_absolute() || name.empty() || name == ".") continue;
    if (auto barrier = barred(at, false)) return {std::move(barrier), {}};
    const fs::path next = name == ".." ? at.parent_path() : at / name;
    std::error_code ec;
    const fs::file_status status = fs::symlink_status(next, ec);
    if (fs::is_symlink(status)) {
      const fs::path target = fs::read_symlink(next, ec);
      if (ec || ++links > kMaxLinks) return {};
      ahead.insert(ahead.begin(), target.begin(), target.end());
    } else if (fs::is_directory(status)) {
      at = next;
    } else {
      return {};
    }
  }
  if (auto barrier = barred(at, to_list)) return {std::move(barrier), {}};
  return {std::nullopt, at};
}

std::string group_name(gid_t gid) {
  std::vector<char> buffer(kEntryBytes);
  group entry{};
  group* found = nullptr;
  ::getgrgid_r(gid, &entry, buffer.data(), buffer.size(), &found);
  return found ? printable(entry.gr_name) : std::to_string(gid);
}

std::string user_name(uid_t uid) {
  std::vector<char> buffer(kEntryBytes);
  passwd entry{};
  passwd* found = nullptr;
  ::getpwuid_r(uid, &entry, buffer.data(), buffer.size(), &found);
  return found ? printable(entry.pw_name) : std::to_string(uid);
}

// True if the system's files say so. Whether a running session knows it is another question.
bool is_member(const std::string& user, gid_t gid) {
  std::vector<char> buffer(kEntryBytes);
  passwd entry{};
  passwd* found = nullptr;
  ::getpwnam_r(user.c_str(), &entry, buffer.data(), buffer.size(), &found);
  if (!found) return false;
  int count = 0;
  ::getgrouplist(user.c_str(), entry.pw_gid, nullptr, &count);
  std::vector<gid_t> groups(static_cast<std::size_t>(count));
  if (::getgrouplist(user.c_str(), entry.pw_gid, groups.data(), &count) < 0) return false;
  return std::ranges::find(groups, gid) != groups.end();
}

// The way in that needs no root later on: what to say, ending in a colon or a full stop, and the
// command, if there is one.
struct Remedy {
  std::string text;
  std::string command;
};

std::optional<Remedy> remedy(const Barrier& barrier, const std::string& user) {
  const std::string directory = shell_word(barrier.directory.native());
  if (barrier.uid == ::geteuid()) {
    return Remedy{"Give yourself the right to it:", fmt::format("chmod u+rx {}", directory)};
  }
  const mode_t needed = barrier.to_list ? S_IRGRP | S_IXGRP : S_IXGRP;
  const bool group_passes = (barrier.mode & needed) == needed;
  const bool others_pass = (barrier.mode & needed >> 3) == needed >> 3;
  const bool in_session = ::group_member(barrier.gid) != 0;
  // Where the mode would let the user pass, something else stops them, such as an ACL.
  if (barrier.gid == 0 || (in_session ? group_passes : others_pass)) return std::nullopt;

  const std::string group = group_name(barrier.gid);
  const std::string open = group_passes ? "" : fmt::format("sudo chmod g+rx {}", directory);
  if (in_session) return Remedy{"Let its group pass:", open};
  if (is_member(user, barrier.gid)) {
    const std::string why =
        fmt::format("{} is in group {}, but has not logged in since", printable(user), group);
    if (group_passes) return Remedy{fmt::format("Log in again: {}.", why), ""};
    return Remedy{fmt::format("Let its group pass, then log in again ({}):", why), open};
  }
  const std::string join = fmt::format("sudo usermod -aG {} {}", group, shell_word(user));
  if (group_passes) return Remedy{"Join its group, then log in again:", join};
  return Remedy{"Let its group pass, join it, then log in again:", open + " && " + join};
}

}  // namespace

std::optional<Barrier> find_barrier(const fs::path& store) {
  const Way way = walk(fs::absolute(store), false);
  if (way.directory.empty()) return way.barrier;
  constexpr struct {
    const char* name;
    bool to_list;
  } kParts[] = {{"manifests", true}, {"manifests-v2", true}, {"blobs", false}};
  for (const auto& part : kParts) {
    if (auto barrier = walk(way.directory / part.name, part.to_list).barrier) return barrier;
  }
  return std::nullopt;
}

std::string explain(const Barrier& barrier, const std::string& user, const std::string& as_root) {
  std::string text =
      fmt::format("{} may not {} {}: its mode is {:04o}, it belongs to {}:{}.\n", printable(user),
                  barrier.to_list ? "list" : "enter", printable(barrier.directory.native()),
                  barrier.mode, user_name(barrier.uid), group_name(barrier.gid));
  const auto way = remedy(barrier, user);
  if (way) text += way->text + "\n";
  if (way && !way->command.empty()) text += "  " + way->command + "\n";
  return text + (way ? "Or as root:\n  " : "As root it works:\n  ") + as_root;
}

}  // namespace ollamafs
