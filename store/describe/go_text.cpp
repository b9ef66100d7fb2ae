#include "store/describe/go_text.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstdint>
#include <iterator>

#include "store/base/text.h"

namespace ollamafs {
namespace {

std::string digits_of(double value, std::chars_format format) {
  char text[400];  // 1e308 written out has 309 digits
  const auto end = std::to_chars(std::begin(text), std::end(text), value, format);
  return {text, end.ptr};
}

struct Range {
  char32_t first, last;
};

// Blanks beside U+0020, format and private characters, and what is no character.
constexpr Range kUnprintable[] = {
    {0x00, 0x1F},       {0x7F, 0xA0},       {0xAD, 0xAD},        {0x0600, 0x0605},
    {0x061C, 0x061C},   {0x06DD, 0x06DD},   {0x070F, 0x070F},    {0x0890, 0x0891},
    {0x08E2, 0x08E2},   {0x1680, 0x1680},   {0x180E, 0x180E},    {0x2000, 0x200F},
    {0x2028, 0x202F},   {0x205F, 0x206F},   {0x3000, 0x3000},    {0xD800, 0xF8FF},
    {0xFDD0, 0xFDEF},   {0xFEFF, 0xFEFF},   {0xFFF0, 0xFFFB},    {0xFFFE, 0xFFFF},
    {0x110BD, 0x110BD}, {0x110CD, 0x110CD}, {0x13430, 0x1343F},  {0x1BCA0, 0x1BCA3},
    {0x1D173, 0x1D17A}, {0xE0000, 0xE00FF}, {0xE01F0, 0x10FFFF},
};

std::string escaped(const CodePoint& c, std::string_view bytes) {
  if (c.bytes == 0) return fmt::format("\\x{:02x}", static_cast<std::uint8_t>(bytes.front()));
  constexpr std::string_view codes = "\a\b\f\n\r\t\v\"\\";
  constexpr std::string_view letters = "abfnrtv\"\\";
  if (c.bytes == 1) {
    const auto at = codes.find(static_cast<char>(c.value));
    if (at != codes.npos) return {'\\', letters[at]};
  }
  if (is_go_printable(c.value)) return std::string{bytes};
  if (c.value < 0x20 || c.value == 0x7F) return fmt::format("\\x{:02x}", c.value);
  return c.value < 0x10000 ? fmt::format("\\u{:04x}", c.value) : fmt::format("\\U{:08x}", c.value);
}

}  // namespace

std::string go_number(double value) {
  if (std::isnan(value)) return "NaN";
  if (std::isinf(value)) return value < 0 ? "-Inf" : "+Inf";
  std::string scientific = digits_of(value, std::chars_format::scientific);
  const int exponent = std::stoi(scientific.substr(scientific.find('e') + 1));
  if (exponent < -4 || exponent >= 6) return scientific;
  return digits_of(value, std::chars_format::fixed);
}

std::string go_quoted(std::string_view text) {
  std::string out = "\"";
  while (!text.empty()) {
    const CodePoint c = first_code_point(text);
    const std::size_t bytes = std::max<std::size_t>(c.bytes, 1);
    out += escaped(c, text.substr(0, bytes));
    text.remove_prefix(bytes);
  }
  return out + '"';
}

bool is_go_printable(char32_t c) noexcept {
  return std::ranges::none_of(
      kUnprintable, [c](const Range& range) { return c >= range.first && c <= range.last; });
}

}  // namespace ollamafs
