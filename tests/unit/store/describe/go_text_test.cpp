#include "store/describe/go_text.h"

#include <gtest/gtest.h>

#include <cmath>

namespace ollamafs::test {
namespace {

// What Go 1.22 prints by fmt.Sprintf("%#v", x).
TEST(GoNumber, IsAsGoPrintsIt) {
  EXPECT_EQ(go_number(0), "0");
  EXPECT_EQ(go_number(256), "256");
  EXPECT_EQ(go_number(0.7), "0.7");
  EXPECT_EQ(go_number(-1), "-1");
  EXPECT_EQ(go_number(999999), "999999");
  EXPECT_EQ(go_number(1000000), "1e+06");
  EXPECT_EQ(go_number(1048576), "1.048576e+06");
  EXPECT_EQ(go_number(123456.5), "123456.5");
  EXPECT_EQ(go_number(0.0001), "0.0001");
  EXPECT_EQ(go_number(0.00001), "1e-05");
  EXPECT_EQ(go_number(1e100), "1e+100");
  EXPECT_EQ(go_number(INFINITY), "+Inf");
}

TEST(GoQuoted, IsAsGoPrintsIt) {
  EXPECT_EQ(go_quoted("<|user|>"), "\"<|user|>\"");
  EXPECT_EQ(go_quoted("a\"b\\c\n\t\a"), R"("a\"b\\c\n\t\a")");
  EXPECT_EQ(go_quoted("r\xC3\xA9sum\xC3\xA9"), "\"r\xC3\xA9sum\xC3\xA9\"");
  EXPECT_EQ(go_quoted("\x01\x7F"), R"("\x01\x7f")");
  EXPECT_EQ(go_quoted("\xC2\xA0\xE2\x80\x8B"), R"("\u00a0\u200b")");
  EXPECT_EQ(go_quoted("\xF3\xA0\x80\x81"), R"("\U000e0001")");
  EXPECT_EQ(go_quoted("\xFF"), R"("\xff")");
}

}  // namespace
}  // namespace ollamafs::test
