#include "tests/fuzz/scripted_store.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <utility>

#include "store/base/unique_fd.h"
#include "store/model/digest.h"
#include "tests/support/store_builder.h"

namespace ollamafs::test {
namespace {

namespace fs = std::filesystem;

constexpr std::size_t kMaxLines = 48;

// A directory whose entries are links to itself is walked through all of them on each of four
// levels.
constexpr std::size_t kMaxLinks = 6;

std::string_view cut(std::string_view& text, char separator) {
  const std::size_t at = text.find(separator);
  const std::string_view first = text.substr(0, at);
  text = at == std::string_view::npos ? std::string_view{} : text.substr(at + 1);
  return first;
}

std::vector<std::string> components(std::string_view path) {
  std::vector<std::string> out;
  while (!path.empty()) {
    const std::string_view component = cut(path, '/');
    if (!component.empty() && component != ".") out.emplace_back(component);
  }
  return out;
}

// The directory that holds the last of `path`, made if need be. Follows no link: what is written
// stays in the store. None if one of them is something else.
UniqueFd parent_of(const fs::path& root, const std::vector<std::string>& path) {
  constexpr int flags = O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC;
  UniqueFd at{::open(root.c_str(), flags)};
  for (std::size_t i = 0; i + 1 < path.size() && at; ++i) {
    (void)::mkdirat(at.get(), path[i].c_str(), 0755);
    at = UniqueFd{::openat(at.get(), path[i].c_str(), flags)};
  }
  return at;
}

void write_new(int directory, const std::string& name, std::string_view content, off_t size) {
  const UniqueFd fd{::openat(directory, name.c_str(),
                             O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0644)};
  if (!fd) return;
  // A file that is shorter than it should be is a store like any other.
  [[maybe_unused]] const ssize_t written = ::write(fd.get(), content.data(), content.size());
  [[maybe_unused]] const int truncated = ::ftruncate(fd.get(), size);
}

}  // namespace

ScriptedStore::ScriptedStore(std::string_view script) {
  fs::create_directories(root() / "blobs");
  fs::create_directories(outside() / "tree");
  write_file(outside() / "blob", "outside");
  for (std::size_t i = 0; i < kMaxLines && !script.empty(); ++i) run(cut(script, '\n'));
}

void ScriptedStore::run(std::string_view line) {
  const std::string_view kind = cut(line, ' ');
  if (kind.size() != 1 || line.find('\0') != std::string_view::npos) return;
  if (kind == "o") {
    outside_links_ = line == "follow" ? OutsideLinks::follow : OutsideLinks::refuse;
    if (line == "named" && follow_.empty()) follow_.push_back(outside());
  } else if (kind == "b") {
    const std::string content = with_digests(line);
    const Digest digest = Digest::of(content);
    digests_.push_back(digest.hex());
    make('f', digest.blob_path(), content);
  } else {
    const std::string path = with_digests(cut(line, ' '));
    make(kind[0], path, with_digests(line));
  }
}

void ScriptedStore::make(char kind, const std::string& path, const std::string& rest) {
  const std::vector<std::string> parts = components(path);
  if (parts.empty() || std::ranges::find(parts, "..") != parts.end()) return;
  const UniqueFd parent = parent_of(root(), parts);
  if (!parent) return;
  const char* name = parts.back().c_str();
  switch (kind) {
    case 'f':
      write_new(parent.get(), name, rest, static_cast<off_t>(rest.size()));
      break;
    case 'z':
      write_new(parent.get(), name, "", std::strtoll(rest.c_str(), nullptr, 10) & INT64_MAX);
      break;
    case 'd':
      (void)::mkdirat(parent.get(), name, 0755);
      break;
    case 'p':
      (void)::mknodat(parent.get(), name, S_IFIFO | 0644, 0);
      break;
    case 's':
      (void)::mknodat(parent.get(), name, S_IFSOCK | 0644, 0);
      break;
    case 'l':
      if (++links_ > kMaxLinks) return;
      (void)!::symlinkat(confined(rest, parts.size()).c_str(), parent.get(), name);
      break;
    default:
      break;
  }
}

std::string ScriptedStore::with_digests(std::string_view text) const {
  std::string out;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const std::size_t number =
        i + 1 < text.size() ? static_cast<std::size_t>(text[i + 1] - '0') : digests_.size();
    if (text[i] == '@' && number < 10 && number < digests_.size()) {
      out += digests_[number];
      ++i;
    } else {
      out += text[i];
    }
  }
  return out;
}

// Where it leads from stands `depth` levels below the temporary directory. It climbs no higher, and
// no link that it goes through does.
std::string ScriptedStore::confined(const std::string& target, std::size_t depth) const {
  std::string out;
  std::size_t climbs = 0;
  const bool is_absolute = target.starts_with('/');
  if (is_absolute) out = outside().string() + "/";
  bool descends = is_absolute;
  for (const std::string& component : components(target)) {
    if (component == ".." && (descends || ++climbs > depth)) continue;
    descends |= component != "..";
    out += component + "/";
  }
  if (out.empty()) return ".";
  if (!target.ends_with('/')) out.pop_back();
  return out;
}

}  // namespace ollamafs::test
