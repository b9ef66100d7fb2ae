#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

namespace ollamafs {

// The cells of one row. A row may have fewer than others.
using TextRow = std::vector<std::string>;

// A section as `ollama show` prints one: its heading behind two blanks, then the rows, four blanks
// before each cell, each cell padded to the width of its column, four blanks behind the last, and
// an empty line. A cell wider than `width` columns is wrapped at its blanks, evenly; what is behind
// the first line is two columns further in. Nothing is padded to more than 1,000 columns, and a
// cell of more than 1,000 words has as many on each line as fit. Control characters in cells are
// shown as \xNN.
[[nodiscard]] std::string text_section(std::string_view heading, const std::vector<TextRow>& rows,
                                       std::size_t width);

// The columns that a text takes in a terminal.
[[nodiscard]] std::size_t display_width(std::string_view text) noexcept;

}  // namespace ollamafs
