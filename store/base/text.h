#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace ollamafs {

// Text that comes from a store may hold any byte: manifests and file names are other people's.

// The first character of a text.
struct CodePoint {
  std::uint32_t value = 0;
  std::size_t bytes = 0;  // 0: the text does not begin with well-formed UTF-8
};

// Of a text that is not empty.
[[nodiscard]] CodePoint first_code_point(std::string_view text) noexcept;

// C0, DEL and C1: the last is what some terminals take for the beginning of an escape sequence.
[[nodiscard]] constexpr bool is_control(std::uint32_t code_point) noexcept {
  return code_point < 0x20 || (code_point >= 0x7F && code_point < 0xA0);
}

// True if all of `text` is well-formed UTF-8 (RFC 3629: no overlong forms, no surrogates).
[[nodiscard]] bool is_valid_utf8(std::string_view text) noexcept;

// `text` with every byte that is not part of well-formed UTF-8 made a '?'. Same length.
[[nodiscard]] std::string with_valid_utf8(std::string_view text);

// With the letters A to Z in lower case, and nothing else changed, in every locale.
[[nodiscard]] constexpr char lower_case(char c) noexcept {
  return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
}
[[nodiscard]] std::string lower_case(std::string_view text);

// `text` safe to print in one line of a terminal or a log: control characters and bytes that are
// not UTF-8 become \xNN, a backslash is doubled.
[[nodiscard]] std::string printable(std::string_view text);

// `text` safe to print in a terminal as it is: likewise, but line feeds, tabs and backslashes stay.
[[nodiscard]] std::string without_controls(std::string_view text);

// `text` as one word of a command line that can be pasted into a shell and is safe to print.
// Control characters take bash's $'…', which is in POSIX.1-2024.
[[nodiscard]] std::string shell_word(std::string_view text);

}  // namespace ollamafs
