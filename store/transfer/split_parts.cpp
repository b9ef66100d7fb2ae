#include "store/transfer/split_parts.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <iterator>
#include <set>
#include <string_view>

#include "store/base/text.h"
#include "store/transfer/transfer_error.h"

namespace ollamafs {

namespace fs = std::filesystem;

namespace {

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

// What one digit may follow: "x.tar.1", but not "llama3.2".
bool ends_as_archive(std::string_view stem) {
  static constexpr std::array<std::string_view, 8> suffixes = {".tar.", ".zst.", ".gz.",   ".tgz.",
                                                               ".xz.",  ".bz2.", ".tzst.", ".zip."};
  return std::ranges::any_of(suffixes,
                             [stem](std::string_view suffix) { return stem.ends_with(suffix); });
}

// Where the number of a part begins, if `is` tells its characters.
std::optional<std::size_t> number_at(std::string_view name, bool (*is)(char) noexcept) {
  std::size_t at = name.size();
  while (at > 0 && is(name[at - 1])) --at;
  const bool after_part = name.substr(0, at).ends_with("part");
  const std::size_t digits = name.size() - at;
  const bool after_dot = at > 1 && name[at - 1] == '.';
  const bool is_enough = digits > 1 || (digits == 1 && ends_as_archive(name.substr(0, at)));
  if (digits > 0 && (after_part || (is_enough && after_dot))) return at;
  return std::nullopt;
}

// Where the number of a part begins, in digits or letters.
std::optional<std::size_t> part_number_at(std::string_view name) {
  if (const auto at = number_at(name, is_digit)) return at;
  // "partab" is one row of letters for the search above: it begins behind "part".
  const std::size_t part = name.rfind(".part");
  if (part != name.npos && part + 5 < name.size() &&
      std::ranges::all_of(name.substr(part + 5), is_letter)) {
    return part + 5;
  }
  const auto at = number_at(name, is_letter);
  return at && name.size() - *at == 2 ? at : std::nullopt;
}

// What all parts of a row have in common; nothing if it is no name of a part.
std::string row_of(const fs::path& path) {
  const std::string name = path.filename().string();
  const auto at = part_number_at(name);
  if (!at) return {};
  return (path.parent_path() / name.substr(0, *at)).string() + (is_digit(name[*at]) ? "0" : "a");
}

// Whether the one part of a row has a lower number than the other: "2" than "10".
bool has_lower_number(const fs::path& one, const fs::path& other) {
  const auto number_of = [](const fs::path& path) {
    const std::string name = path.filename().string();
    const std::string number = name.substr(part_number_at(name).value_or(0));
    return number.substr(std::min(number.find_first_not_of('0'), number.size()));
  };
  const std::string a = number_of(one);
  const std::string b = number_of(other);
  return a.size() != b.size() ? a.size() < b.size() : a < b;
}

// The parts of each row at the place of the first that was named, by their numbers: a shell sorts
// them as text.
std::vector<fs::path> sorted_rows(const std::vector<fs::path>& paths) {
  std::vector<fs::path> sorted;
  sorted.reserve(paths.size());
  std::set<std::string> done;
  for (const fs::path& path : paths) {
    const std::string row = row_of(path);
    if (row.empty()) sorted.push_back(path);
    if (row.empty() || !done.insert(row).second) continue;
    const auto from = static_cast<std::ptrdiff_t>(sorted.size());
    std::ranges::copy_if(paths, std::back_inserter(sorted),
                         [&row](const fs::path& other) { return row_of(other) == row; });
    std::stable_sort(sorted.begin() + from, sorted.end(), has_lower_number);
  }
  return sorted;
}

std::optional<fs::path> follower(const fs::path& path) {
  const auto name = next_part(path.filename().string());
  return name ? std::optional{path.parent_path() / *name} : std::nullopt;
}

[[noreturn]] void refuse_gap(const fs::path& lacking, const fs::path& before,
                             const fs::path& next) {
  throw TransferError{
      TransferError::Kind::not_found,
      fmt::format("{} is missing, the part between {} and {}", printable(lacking.string()),
                  printable(before.string()), printable(next.string()))};
}

// Appends a part to its row, with those before it that are there but were not named.
void append_part(std::vector<fs::path>& group, const fs::path& part, const IsPart& is_part) {
  while (group.back() != part) {
    const fs::path next = follower(group.back()).value_or(part);
    if (next != part && !is_part(group.front(), group.back(), next)) {
      refuse_gap(next, group.back(), part);
    }
    group.push_back(next);
  }
}

}  // namespace

std::optional<std::string> next_part(const std::string& name) {
  std::string next = name;
  const auto at = part_number_at(name);
  if (!at) return std::nullopt;
  const bool is_number = is_digit(name[*at]);
  if (increment(next, *at, is_number ? '0' : 'a', is_number ? '9' : 'z')) return next;
  if (!is_number) return std::nullopt;
  return name.substr(0, *at) + "1" + next.substr(*at);  // "part9", "part10"
}

std::vector<std::vector<fs::path>> group_parts(const std::vector<fs::path>& paths,
                                               const IsPart& is_part) {
  std::vector<std::vector<fs::path>> groups;
  const auto is_named = [&paths](const fs::path& path) {
    return std::ranges::find(paths, path) != paths.end();
  };
  for (const fs::path& path : sorted_rows(paths)) {
    const bool is_same_row =
        !groups.empty() && !row_of(path).empty() && row_of(path) == row_of(groups.back().front());
    if (is_same_row && is_part(groups.back().front(), groups.back().back(), path)) {
      append_part(groups.back(), path, is_part);
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
