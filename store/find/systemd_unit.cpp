#include "store/find/systemd_unit.h"

#include <algorithm>
#include <charconv>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

#include "store/find/server_process.h"

namespace ollamafs {
namespace {

namespace fs = std::filesystem;

// Where the system's units are, the strongest place first.
constexpr const char* kUnitFolders[] = {"etc/systemd/system", "run/systemd/system",
                                        "usr/local/lib/systemd/system", "usr/lib/systemd/system",
                                        "lib/systemd/system"};
constexpr std::string_view kBlanks = " \t\n\r";

bool is_blank(char c) noexcept {
  return kBlanks.find(c) != std::string_view::npos;
}

std::string_view trimmed(std::string_view text) noexcept {
  text.remove_prefix(std::min(text.find_first_not_of(kBlanks), text.size()));
  return text.substr(0, text.find_last_not_of(kBlanks) + 1);
}

// Cuts the first line off `text`.
std::string_view next_line(std::string_view& text) noexcept {
  const std::string_view line = text.substr(0, text.find('\n'));
  text.remove_prefix(std::min(line.size() + 1, text.size()));
  return line;
}

bool is_comment(std::string_view line) noexcept {
  line = trimmed(line);
  return line.starts_with('#') || line.starts_with(';');
}

bool ends_in_escape(std::string_view text) noexcept {
  const std::size_t others = text.find_last_not_of('\\') + 1;
  return (text.size() - others) % 2 != 0;
}

// The lines of a unit file, continued ones joined. A comment does not end a continued line.
std::vector<std::string> unit_lines(std::string_view text) {
  std::vector<std::string> lines;
  std::string joined;
  while (!text.empty()) {
    std::string_view line = next_line(text);
    if (line.ends_with('\r')) line.remove_suffix(1);
    if (is_comment(line)) continue;
    joined += line;
    if (ends_in_escape(joined)) {
      joined.back() = ' ';
    } else {
      lines.push_back(std::exchange(joined, {}));
    }
  }
  lines.push_back(joined);
  return lines;
}

// Puts what an escape stands for behind `word`; `rest` begins behind its backslash. False if it is
// none of systemd's (\u and \U are left out, too).
bool unescape(std::string_view& rest, std::string& word) {
  constexpr std::string_view kLetters = "abfnrtvs\\\"'";
  constexpr std::string_view kMeanings = "\a\b\f\n\r\t\v \\\"'";
  if (rest.empty()) return false;
  if (const std::size_t at = kLetters.find(rest.front()); at != std::string_view::npos) {
    word += kMeanings[at];
    rest.remove_prefix(1);
    return true;
  }
  const bool hex = rest.front() == 'x';
  if (hex) rest.remove_prefix(1);
  const std::string_view digits = rest.substr(0, hex ? 2 : 3);
  const char* const end = digits.data() + digits.size();
  unsigned value = 0;
  const auto result = std::from_chars(digits.data(), end, value, hex ? 16 : 8);
  if (digits.size() != (hex ? 2 : 3) || result.ptr != end || value == 0 || value > 0xFF) {
    return false;
  }
  word += static_cast<char>(value);
  rest.remove_prefix(digits.size());
  return true;
}

// Cuts the first word off `rest`, its quotes and escapes resolved. Nothing at the end, and nothing
// where the syntax is wrong.
std::optional<std::string> next_word(std::string_view& rest) {
  rest.remove_prefix(std::min(rest.find_first_not_of(kBlanks), rest.size()));
  if (rest.empty()) return std::nullopt;
  std::string word;
  char quote = '\0';
  while (!rest.empty()) {
    const char c = rest.front();
    rest.remove_prefix(1);
    if (c == '\\') {
      if (!unescape(rest, word)) return std::nullopt;
    } else if (c == quote) {
      quote = '\0';
    } else if (quote == '\0' && (c == '"' || c == '\'')) {
      quote = c;
    } else if (quote == '\0' && is_blank(c)) {
      return word;
    } else {
      word += c;
    }
  }
  return quote == '\0' ? std::optional{word} : std::nullopt;
}

constexpr bool is_word_char(char c) noexcept {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_';
}

bool is_key(std::string_view key) noexcept {
  return !key.empty() && (key.front() < '0' || key.front() > '9') &&
         std::ranges::all_of(key, is_word_char);
}

// `text` with its specifiers expanded. %h is the home of the user who runs the manager, whatever
// User= says: /root (systemd.unit(5)). Nothing if there are others.
std::optional<std::string> expanded(std::string_view text) {
  std::string out;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const char specifier = text[i] == '%' && i + 1 < text.size() ? text[i + 1] : '\0';
    if (specifier == 'h') {
      out += "/root";
    } else if (specifier == '%') {
      out += '%';
    } else if (is_word_char(specifier)) {
      return std::nullopt;
    } else {
      out += text[i];
      continue;
    }
    ++i;
  }
  return out;
}

// Takes the quoted part that `text` begins with.
void take_quoted(std::string_view& text, std::string& value) {
  constexpr std::string_view kEscapable = "\"\\`$";  // as in a shell
  const char quote = text.front();
  text.remove_prefix(1);
  while (!text.empty()) {
    char c = text.front();
    text.remove_prefix(1);
    if (c == quote) return;
    if (c == '\\' && quote == '"' && !text.empty() &&
        kEscapable.find(text.front()) != kEscapable.npos) {
      c = text.front();
      text.remove_prefix(1);
    }
    value += c;
  }
}

// What a line of an environment file has behind its '='. Only quotes at the beginning or straight
// behind another quoted part are quotes.
std::string environment_value(std::string_view text) {
  std::string value;
  text = trimmed(text);
  while (text.starts_with('"') || text.starts_with('\'')) {
    take_quoted(text, value);
    text = trimmed(text);
  }
  bool escaped = false;
  for (const char c : text) {
    escaped = c == '\\' && !escaped;
    if (!escaped) value += c;
  }
  return value;
}

// Takes in unit files, one after the other.
class UnitReader {
 public:
  void read(std::string_view text) {
    std::string section;
    for (const std::string& joined : unit_lines(text)) {
      const std::string_view line = trimmed(joined);
      const std::size_t equals = line.find('=');
      if (line.starts_with('[')) {
        section = line;
      } else if (section == "[Service]" && equals != std::string_view::npos) {
        assign(trimmed(line.substr(0, equals)), trimmed(line.substr(equals + 1)));
      }
    }
  }

  ServiceUnit finish(const fs::path& root) && {
    for (const fs::path& file : environment_files_) {
      read_environment_file(read_system_file(root / file.relative_path()).value_or(""));
    }
    return std::move(unit_);
  }

 private:
  void assign(std::string_view key, std::string_view value) {
    if (key == "User") {
      unit_.user = expanded(value);
    } else if (key == "Environment") {
      add_environment(value);
    } else if (key == "EnvironmentFile") {
      add_environment_file(value);
    }
  }

  void add_environment(std::string_view words) {
    if (words.empty()) unit_.environment.clear();
    while (const auto word = next_word(words)) {
      const std::size_t equals = std::min(word->find('='), word->size());
      const std::string key = word->substr(0, equals);
      if (equals == word->size() || !is_key(key)) continue;
      unit_.environment[key] = expanded(std::string_view{*word}.substr(equals + 1));
    }
  }

  void add_environment_file(std::string_view path) {
    if (path.empty()) environment_files_.clear();
    if (path.starts_with('-')) path.remove_prefix(1);
    const fs::path file = expanded(path).value_or("");
    if (file.is_absolute()) environment_files_.push_back(file);
  }

  void read_environment_file(std::string_view text) {
    while (!text.empty()) {
      const std::string_view line = next_line(text);
      const std::size_t equals = line.find('=');
      const std::string key{trimmed(line.substr(0, equals))};
      if (equals == std::string_view::npos || !is_key(key)) continue;
      unit_.environment[key] = environment_value(line.substr(equals + 1));
    }
  }

  ServiceUnit unit_;
  std::vector<fs::path> environment_files_;
};

// The unit's own file. Nothing, too, if it is empty or a link to /dev/null: that is how a unit is
// masked.
std::optional<std::string> read_fragment(const fs::path& root, const std::string& name) {
  for (const char* const folder : kUnitFolders) {
    const fs::path file = root / folder / name;
    std::error_code ec;
    if (!fs::exists(fs::symlink_status(file, ec))) continue;
    auto text = read_system_file(file);
    return text && !text->empty() ? text : std::nullopt;
  }
  return std::nullopt;
}

// By file name: the order in which they count. A stronger folder's file hides a weaker one's.
std::map<std::string, fs::path> find_drop_ins(const fs::path& root, const std::string& name) {
  std::map<std::string, fs::path> files;
  for (const char* const folder : kUnitFolders) {
    std::error_code ec;
    for (fs::directory_iterator it{root / folder / (name + ".d"), ec}, end; !ec && it != end;
         it.increment(ec)) {
      if (it->path().extension() == ".conf") files.emplace(it->path().filename(), it->path());
    }
  }
  return files;
}

}  // namespace

std::optional<ServiceUnit> read_service_unit(const fs::path& root, const std::string& name) {
  const auto fragment = read_fragment(root, name);
  if (!fragment) return std::nullopt;
  UnitReader reader;
  reader.read(*fragment);
  for (const auto& [file_name, path] : find_drop_ins(root, name)) {
    reader.read(read_system_file(path).value_or(""));
  }
  return std::move(reader).finish(root);
}

}  // namespace ollamafs
