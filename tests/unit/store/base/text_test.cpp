#include "store/base/text.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <string>
#include <string_view>

#include "tests/support/process.h"

namespace ollamafs::test {
namespace {

constexpr std::array<std::string_view, 8> kGood = {
    "",
    "plain",
    "\xC2\x80",  // the first of two bytes
    "gr\xC3\xBC\xC3\x9F",
    "\xE2\x82\xAC",      // the euro sign
    "\xEF\xBF\xBF",      // the last of three bytes
    "\xF0\x90\x80\x80",  // the first of four
    "\xF4\x8F\xBF\xBF",  // the last code point
};

constexpr std::array<std::string_view, 14> kBad = {
    "\x80",  // a continuation of nothing
    "\xBF",
    "\xC3",  // cut short
    "\xE2\x82",
    "\xF0\x9F\x98",
    "\xC3(",  // not continued
    "\xE2\x82(",
    "\xC0\xAF",  // '/' in an overlong form: what filters overlook
    "\xE0\x80\xAF",
    "\xF0\x80\x80\xAF",
    "\xED\xA0\x80",      // a surrogate
    "\xF4\x90\x80\x80",  // behind the last code point
    "\xF5\x80\x80\x80",
    "\xFF",
};

// What a line of a terminal or a log can take: no C0, DEL or C1, and well-formed UTF-8.
bool is_one_clean_line(std::string_view text) {
  for (std::size_t i = 0; i < text.size(); ++i) {
    const auto byte = static_cast<unsigned char>(text[i]);
    if (byte < 0x20 || byte == 0x7F) return false;
    if (byte == 0xC2 && i + 1 < text.size() && static_cast<unsigned char>(text[i + 1]) < 0xA0) {
      return false;
    }
  }
  return is_valid_utf8(text);
}

TEST(Utf8, KnowsWellFormedText) {
  for (const std::string_view text : kGood) EXPECT_TRUE(is_valid_utf8(text)) << text;
  EXPECT_TRUE(is_valid_utf8(std::string_view{"a\0b", 3}));
}

TEST(Utf8, KnowsTextThatIsNot) {
  for (const std::string_view text : kBad) {
    EXPECT_FALSE(is_valid_utf8(text)) << printable(text);
    EXPECT_FALSE(is_valid_utf8("good " + std::string{text} + " good")) << printable(text);
  }
}

// What stands behind the end of the text is not the text's.
TEST(Utf8, EndsWhereTheTextEnds) {
  EXPECT_FALSE(is_valid_utf8(std::string_view{"\xE2\x82\xAC", 2}));
  EXPECT_EQ(with_valid_utf8(std::string_view{"a\xC3\xBC", 2}), "a?");
  EXPECT_EQ(printable(std::string_view{"a\xC3\xBC", 2}), "a\\xc3");
}

TEST(WithValidUtf8, LeavesGoodTextAlone) {
  for (const std::string_view text : kGood) EXPECT_EQ(with_valid_utf8(text), text);
}

// The manifest parser relies on this: what stands behind bad bytes stays where it was.
TEST(WithValidUtf8, KeepsEveryOtherByteInItsPlace) {
  for (const std::string_view text : kBad) {
    const std::string framed = "{\xC3\xBC" + std::string{text} + "\xE2\x82\xAC}";
    const std::string made = with_valid_utf8(framed);
    ASSERT_EQ(made.size(), framed.size()) << printable(text);
    EXPECT_TRUE(is_valid_utf8(made)) << printable(text);
    EXPECT_TRUE(made.starts_with("{\xC3\xBC?")) << printable(made);
    EXPECT_TRUE(made.ends_with("\xE2\x82\xAC}")) << printable(made);
  }
}

TEST(WithValidUtf8, ReplacesOnlyWhatIsWrong) {
  EXPECT_EQ(with_valid_utf8("a\xFF"
                            "b\xC3\xBC\x80"),
            "a?b\xC3\xBC?");
  EXPECT_EQ(with_valid_utf8("\xE2\x82"), "??");
  EXPECT_EQ(with_valid_utf8("\xE2\x82x"), "??x");
}

TEST(Printable, LeavesTextAlone) {
  EXPECT_EQ(printable("blobs/sha256-0 (3 kB)"), "blobs/sha256-0 (3 kB)");
  EXPECT_EQ(printable("gr\xC3\xBC\xC3\x9F \xE2\x82\xAC \xF0\x9F\x98\x80"),
            "gr\xC3\xBC\xC3\x9F \xE2\x82\xAC \xF0\x9F\x98\x80");
}

TEST(Printable, KeepsOneLineOneLine) {
  EXPECT_EQ(printable("a\nb\r\tc"), "a\\x0ab\\x0d\\x09c");
}

TEST(Printable, TakesTheTeethFromEscapeSequences) {
  EXPECT_EQ(printable("\x1b[31mred\x7f"), "\\x1b[31mred\\x7f");
  EXPECT_EQ(printable("\xC2\x9B"
                      "31m"),
            "\\xc2\\x9b31m");  // CSI as one C1 character
}

TEST(Printable, ShowsBytesThatAreNoText) {
  EXPECT_EQ(printable("\xFFx\xC3"), "\\xffx\\xc3");
  EXPECT_EQ(printable(std::string_view{"\0", 1}), "\\x00");
}

// Else "\x0a" in a file's name and a real newline would look the same.
TEST(Printable, DoublesTheBackslash) {
  EXPECT_EQ(printable("\\x0a"), "\\\\x0a");
  EXPECT_NE(printable("\\x0a"), printable("\n"));
}

TEST(Printable, IsCleanForEveryPairOfBytes) {
  for (int a = 0; a < 256; ++a) {
    for (int b = 0; b < 256; ++b) {
      const std::string pair = {static_cast<char>(a), static_cast<char>(b)};
      ASSERT_TRUE(is_one_clean_line(printable(pair))) << a << " " << b;
    }
  }
}

TEST(ShellWord, LeavesAPlainWordAlone) {
  EXPECT_EQ(shell_word("/srv/models/hf.co/Llama-3.2+Q4_K_M.tar"),
            "/srv/models/hf.co/Llama-3.2+Q4_K_M.tar");
}

TEST(ShellWord, IsSafeToPrint) {
  EXPECT_TRUE(is_one_clean_line(shell_word("a\nb\x1b[31m\xC2\x9B\xFF")));
}

// The judge is a shell: what it makes of the word is the text.
TEST(ShellWord, IsTheTextToAShell) {
  for (const std::string_view text :
       {"", " ", "two words", "it's", "'", "''", "\"quoted\"", "$HOME `id` $(id)", "a;b&c|d>e",
        "*?[x]", "~", "#x", "!x", "back\\slash", "\\x41", "gr\xC3\xBC\xC3\x9F", "line\nline",
        "tab\t'quote'",
        "\x01"
        "a\xFF"
        "0"}) {
    EXPECT_EQ(must({"bash", "-c", "printf %s " + shell_word(text)}), text) << printable(text);
  }
}

}  // namespace
}  // namespace ollamafs::test
