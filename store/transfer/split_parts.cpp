#include "store/transfer/split_parts.h"

#include <algorithm>
#include <string_view>

namespace ollamafs {
namespace {

namespace fs = std::filesystem;

bool is_digit(char c) noexcept {
  return c >= '0' && c <= '9';
}
bool is_letter(char c) noexcept {
  return c >= 'a' && c <= 'z';
}

// The next of a row of as many digits or letters; false: it was the last.
bool increment(std::string& text, std::size_t from, char first, char last) {
  for (std::size_t i = text.size(); i-- > from;) {
    if (text[i] != last) {
      ++text[i];
      return true;
    }
    text[i] = first;
  }
  return false;
}

// Where the number of a part begins, if `is` tells its characters.
std::optional<std::size_t> number_at(std::string_view name, bool (*is)(char) noexcept) {
  std::size_t at = name.size();
  while (at > 0 && is(name[at - 1])) --at;
  const bool after_part = name.substr(0, at).ends_with("part");
  const std::size_t digits = name.size() - at;
  const bool after_dot = at > 1 && name[at - 1] == '.';
  if (digits > 0 && (after_part || (digits > 1 && after_dot))) return at;
  return std::nullopt;
}

}  // namespace

std::optional<std::string> next_part(const std::string& name) {
  std::string next = name;
  if (const auto at = number_at(name, is_digit)) {
    if (increment(next, *at, '0', '9')) return next;
    return name.substr(0, *at) + "1" + next.substr(*at);  // "part9", "part10"
  }
  // "partab" is one row of letters for the search above: it begins behind "part".
  const std::size_t part = name.rfind(".part");
  if (part != name.npos && part + 5 < name.size() &&
      std::ranges::all_of(name.substr(part + 5), is_letter)) {
    if (increment(next, part + 5, 'a', 'z')) return next;
    return std::nullopt;
  }
  if (const auto at = number_at(name, is_letter); at && name.size() - *at == 2) {
    if (increment(next, *at, 'a', 'z')) return next;
  }
  return std::nullopt;
}

std::vector<std::vector<fs::path>> group_parts(const std::vector<fs::path>& paths,
                                               const IsPart& is_part) {
  std::vector<std::vector<fs::path>> groups;
  const auto follower = [](const fs::path& path) -> std::optional<fs::path> {
    const auto name = next_part(path.filename().string());
    return name ? std::optional{path.parent_path() / *name} : std::nullopt;
  };
  const auto is_named = [&paths](const fs::path& path) {
    return std::ranges::find(paths, path) != paths.end();
  };
  for (const fs::path& path : paths) {
    if (!groups.empty() && follower(groups.back().back()) == path &&
        is_part(groups.back().front(), groups.back().back(), path)) {
      groups.back().push_back(path);
    } else {
      groups.push_back({path});
    }
  }
  for (std::vector<fs::path>& group : groups) {
    for (auto next = follower(group.back());
         next && is_part(group.front(), group.back(), *next) && !is_named(*next);
         next = follower(*next)) {
      group.push_back(*next);
    }
  }
  return groups;
}

}  // namespace ollamafs
