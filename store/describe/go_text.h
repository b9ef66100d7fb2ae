#pragma once

#include <string>
#include <string_view>

namespace ollamafs {

// Numbers and texts as Go's fmt package writes them, because Ollama prints what it knows of a model
// with that.

// "%v" and "%#v" of a float64: the fewest digits that are this number, with an exponent below 1e-04
// and from 1e+06 on. 256 is "256", and 1048576 is "1.048576e+06".
[[nodiscard]] std::string go_number(double value);

// "%#v" of a string: in double quotes, with escapes for quotes, backslashes and all that
// is_go_printable() denies. Bytes that are not UTF-8 become \xNN.
[[nodiscard]] std::string go_quoted(std::string_view text);

// Whether Go's strconv.IsPrint holds for this character: letters, marks, numbers, punctuation,
// symbols and the blank, but no other blanks and no format characters. Code points that Unicode has
// not assigned count as printable here.
[[nodiscard]] bool is_go_printable(char32_t c) noexcept;

}  // namespace ollamafs
