#include "store/describe/text_table.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstdint>
#include <limits>

#include "store/base/text.h"

namespace ollamafs {
namespace {

constexpr std::string_view kGap = "    ";
constexpr std::string_view kContinuation = "  ";

struct CodeRange {
  char32_t first, last;
};

bool is_in(char32_t c, std::initializer_list<CodeRange> ranges) noexcept {
  return std::ranges::any_of(
      ranges, [c](const CodeRange& range) { return c >= range.first && c <= range.last; });
}

// The blocks that matter: letters that stand on others, and East Asian wide ones.
std::size_t width_of(char32_t c) noexcept {
  if (is_in(c, {{0x0300, 0x036F},
                {0x200B, 0x200F},
                {0x20D0, 0x20FF},
                {0xFE00, 0xFE0F},
                {0xFE20, 0xFE2F},
                {0xFEFF, 0xFEFF},
                {0xE0100, 0xE01EF}})) {
    return 0;
  }
  return is_in(c, {{0x1100, 0x115F},
                   {0x2E80, 0x303E},
                   {0x3041, 0x4DBF},
                   {0x4E00, 0xA4CF},
                   {0xA960, 0xA97F},
                   {0xAC00, 0xD7A3},
                   {0xF900, 0xFAFF},
                   {0xFE30, 0xFE6F},
                   {0xFF00, 0xFF60},
                   {0xFFE0, 0xFFE6},
                   {0x1F300, 0x1F64F},
                   {0x1F680, 0x1F6FF},
                   {0x1F900, 0x1F9FF},
                   {0x20000, 0x3FFFD}})
             ? 2
             : 1;
}

// A cell is one line.
std::string cell_text(std::string_view raw) {
  std::string text = without_controls(raw);
  for (std::size_t i = text.find_first_of("\n\t"); i != text.npos;
       i = text.find_first_of("\n\t", i)) {
    text.replace(i, 1, text[i] == '\n' ? "\\x0a" : "\\x09");
  }
  return text;
}

std::vector<std::string_view> words_of(std::string_view text) {
  std::vector<std::string_view> words;
  while (true) {
    const std::size_t blank = text.find(' ');
    words.push_back(text.substr(0, blank));
    if (blank == text.npos) return words;
    text.remove_prefix(blank + 1);
  }
}

// Where each line begins, for the smallest sum of the squares of what the lines but the last lack.
std::vector<std::size_t> even_breaks(const std::vector<std::size_t>& widths, std::size_t limit) {
  const std::size_t n = widths.size();
  std::vector<std::uint64_t> cost(n + 1, std::numeric_limits<std::uint64_t>::max());
  std::vector<std::size_t> next(n + 1, n);
  cost[n] = 0;
  for (std::size_t i = n; i-- > 0;) {
    std::size_t width = 0;
    for (std::size_t j = i + 1; j <= n; ++j) {  // a line of the words i to j - 1
      width += widths[j - 1] + (j > i + 1 ? 1 : 0);
      if (width > limit) break;
      const std::uint64_t lack = j == n ? 0 : limit - width;
      const std::uint64_t all = lack * lack + cost[j];
      if (all < cost[i] || j == n) {
        cost[i] = all;
        next[i] = j;
      }
    }
  }
  std::vector<std::size_t> breaks;
  for (std::size_t i = 0; i < n; i = next[i]) breaks.push_back(i);
  return breaks;
}

// As many words as fit on each line.
std::vector<std::size_t> early_breaks(const std::vector<std::size_t>& widths, std::size_t limit) {
  std::vector<std::size_t> breaks;
  std::size_t width = 0;
  for (std::size_t i = 0; i < widths.size(); ++i) {
    if (i == 0 || width + 1 + widths[i] > limit) {
      breaks.push_back(i);
      width = widths[i];
    } else {
      width += 1 + widths[i];
    }
  }
  return breaks;
}

// Even lines take time by the number of words that fit on one.
constexpr std::size_t kMostEvenWords = 1000;

// What is wider pads nothing else to its width.
constexpr std::size_t kMostPadding = 1000;

// A cell, laid out.
struct Cell {
  std::vector<std::string> lines;
  std::size_t width = 0;
};

Cell laid_out(const std::string& raw, std::size_t most) {
  const std::string text = cell_text(raw);
  Cell cell{{text}, display_width(text)};
  if (cell.width <= most) return cell;
  const std::vector<std::string_view> words = words_of(text);
  std::vector<std::size_t> widths;
  widths.reserve(words.size());
  for (const std::string_view word : words) widths.push_back(display_width(word));
  const std::size_t limit = std::max(most, *std::ranges::max_element(widths));
  const std::vector<std::size_t> breaks =
      words.size() > kMostEvenWords ? early_breaks(widths, limit) : even_breaks(widths, limit);
  cell = {{}, most};
  for (std::size_t i = 0; i < breaks.size(); ++i) {
    const std::size_t end = i + 1 < breaks.size() ? breaks[i + 1] : words.size();
    std::string line{words[breaks[i]]};
    for (std::size_t word = breaks[i] + 1; word < end; ++word) {
      line += ' ';
      line += words[word];
    }
    cell.width = std::max(cell.width, display_width(line));
    cell.lines.push_back(std::move(line));
  }
  return cell;
}

std::string padded_cell(std::string_view text, std::size_t width) {
  const std::size_t own = display_width(text);
  return std::string{text} + std::string(width > own ? width - own : 0, ' ');
}

}  // namespace

std::size_t display_width(std::string_view text) noexcept {
  std::size_t width = 0;
  while (!text.empty()) {
    const CodePoint c = first_code_point(text);
    width += c.bytes == 0 ? 1 : width_of(c.value);
    text.remove_prefix(std::max<std::size_t>(c.bytes, 1));
  }
  return width;
}

std::string text_section(std::string_view heading, const std::vector<TextRow>& rows,
                         std::size_t width) {
  std::vector<std::vector<Cell>> table;
  std::vector<std::size_t> widths;
  for (const TextRow& row : rows) {
    auto& cells = table.emplace_back();
    for (const std::string& text : row) {
      cells.push_back(laid_out(text, width));
      if (widths.size() < cells.size()) widths.push_back(0);
      widths[cells.size() - 1] = std::max(widths[cells.size() - 1], cells.back().width);
    }
  }
  std::string out = fmt::format("  {}\n", heading);
  for (const std::vector<Cell>& cells : table) {
    std::size_t height = 0;
    for (const Cell& cell : cells) height = std::max(height, cell.lines.size());
    for (std::size_t y = 0; y < height; ++y) {
      if (y > 0) out += kContinuation;
      out += kGap;
      for (std::size_t x = 0; x < cells.size(); ++x) {
        const auto& lines = cells[x].lines;
        out += padded_cell(y < lines.size() ? lines[y] : "", std::min(widths[x], kMostPadding));
        out += kGap;
      }
      out += '\n';
    }
  }
  return out + '\n';
}

}  // namespace ollamafs
