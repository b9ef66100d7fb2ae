#include "store/describe/modelfile_value.h"

#include <gtest/gtest.h>

#include <random>
#include <string>

namespace ollamafs::test {
namespace {

using Fidelity = ModelfileValue::Fidelity;

std::string exact(std::string_view value) {
  const ModelfileValue written = modelfile_value(value);
  EXPECT_EQ(written.fidelity, Fidelity::exact) << value;
  return written.text;
}

TEST(ModelfileValue, IsBareWhereItCanBe) {
  EXPECT_EQ(exact("You are \"random\" <b>."), "You are \"random\" <b>.");
  EXPECT_EQ(exact(""), "");
  EXPECT_EQ(exact("a # b"), "a # b");
}

TEST(ModelfileValue, HasQuotesAroundLinesAndEdges) {
  EXPECT_EQ(exact("a\nb"), "\"a\nb\"");
  EXPECT_EQ(exact(" a"), "\" a\"");
  EXPECT_EQ(exact("a "), "\"a \"");
  EXPECT_EQ(exact("\n"), "\"\n\"");
}

TEST(ModelfileValue, HasThreeQuotesAroundQuotesAndLines) {
  EXPECT_EQ(exact("he says \"hi\"\nand goes"), "\"\"\"he says \"hi\"\nand goes\"\"\"");
}

// Where Ollama's own quoting goes wrong.
TEST(ModelfileValue, IsQuotedWhereItWouldBeTakenForQuoted) {
  EXPECT_EQ(exact("\"quoted\""), "\"\"\"\"quoted\"\"\"\"");
  EXPECT_EQ(exact("\"begins"), "\"\"\"\"begins\"\"\"");
  EXPECT_EQ(exact("a\rb"), "\"\"\"a\rb\"\"\"");
  EXPECT_EQ(exact("\ta"), "\"\"\"\ta\"\"\"");
}

TEST(ModelfileValue, LosesWhatTheReaderDrops) {
  const ModelfileValue written = modelfile_value("page\f two");
  EXPECT_EQ(written.text, "page two");
  EXPECT_EQ(written.fidelity, Fidelity::lossy);
  EXPECT_EQ(modelfile_value("a\xFF"
                            "b")
                .text,
            "ab");
}

TEST(ModelfileValue, CannotHoldEveryText) {
  EXPECT_EQ(modelfile_value("a\"\"\"\nb\"\nc").fidelity, Fidelity::unsayable);
  EXPECT_EQ(modelfile_value("a\"\"\"\nb").fidelity, Fidelity::unsayable);
  EXPECT_EQ(exact("a\"\"\" \"\"b\nc"), "\"\"\"a\"\"\" \"\"b\nc\"\"\"");
}

}  // namespace
}  // namespace ollamafs::test
