#include "store/describe/modelfile_value.h"

#include <algorithm>
#include <array>
#include <optional>

#include "store/base/text.h"
#include "store/describe/go_text.h"

namespace ollamafs {
namespace {

constexpr std::string_view kThree = "\"\"\"";

constexpr bool is_value_blank(char c) noexcept {
  return c == ' ' || c == '\t';
}
constexpr bool is_line_end(char c) noexcept {
  return c == '\n' || c == '\r';
}

// Go's strings.TrimSpace, as far as such characters get into a value at all.
std::string_view trimmed_value(std::string_view text) noexcept {
  const auto is_space = [](char c) { return is_value_blank(c) || is_line_end(c); };
  while (!text.empty() && is_space(text.front())) text.remove_prefix(1);
  while (!text.empty() && is_space(text.back())) text.remove_suffix(1);
  return text;
}

// What the quotes hold; nothing if they are open.
std::optional<std::string_view> unquoted(std::string_view text) noexcept {
  if (text.starts_with(kThree)) {
    if (text.size() < 2 * kThree.size() || !text.ends_with(kThree)) return std::nullopt;
    return text.substr(kThree.size(), text.size() - 2 * kThree.size());
  }
  if (!text.starts_with('"')) return text;
  if (text.size() < 2 || !text.ends_with('"')) return std::nullopt;
  return text.substr(1, text.size() - 2);
}

// The value as Ollama's reader keeps it: what it does not print is dropped, but for blanks and line
// ends.
std::string kept_by_reader(std::string_view value) {
  std::string kept;
  while (!value.empty()) {
    const CodePoint c = first_code_point(value);
    const std::size_t bytes = std::max<std::size_t>(c.bytes, 1);
    const char first = value.front();
    if (is_value_blank(first) || is_line_end(first) || (c.bytes != 0 && is_go_printable(c.value))) {
      kept += value.substr(0, bytes);
    }
    value.remove_prefix(bytes);
  }
  return kept;
}

// Whether Ollama's reader takes `written`, with a line end behind it, for `value`: a value ends at
// the first line end, or blank if it is quoted, before which its quotes are closed.
bool reads_back(std::string_view written, std::string_view value) {
  for (std::size_t i = 0; i < written.size(); ++i) {
    if (is_line_end(written[i]) && unquoted(trimmed_value(written.substr(0, i)))) return false;
  }
  return unquoted(trimmed_value(written)) == value;
}

// The ways to write it, in the order in which Ollama would choose.
std::array<std::string, 3> ways(const std::string& value) {
  const std::string bare = value;
  const std::string one = '"' + value + '"';
  const std::string three = std::string{kThree} + value + std::string{kThree};
  const bool has_quote = value.find('"') != value.npos;
  const bool wants_quotes =
      value.find('\n') != value.npos || value.starts_with(' ') || value.ends_with(' ');
  if (!wants_quotes) return {bare, three, one};
  return has_quote ? std::array{three, one, bare} : std::array{one, three, bare};
}

}  // namespace

ModelfileValue modelfile_value(std::string_view value) {
  const std::string kept = kept_by_reader(value);
  for (std::string& written : ways(kept)) {
    if (!reads_back(written, kept)) continue;
    using enum ModelfileValue::Fidelity;
    return {std::move(written), kept == value ? exact : lossy};
  }
  return {{}, ModelfileValue::Fidelity::unsayable};
}

}  // namespace ollamafs
