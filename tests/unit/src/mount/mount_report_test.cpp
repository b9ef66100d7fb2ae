#include "src/mount/mount_report.h"

#include <gmock/gmock.h>

#include <string>

namespace ollamafs::test {
namespace {

using ::testing::SizeIs;

TEST(MountReport, ComesBackAsItWas) {
  MountReport report{.store = "/a \"store\"", .is_gone = true, .models = 3};
  report.add_broken("llama3.2:3b");
  report.access = "blobs are read";
  report.since = 1'700'000'000;
  report.bytes_read = 1ull << 40;
  report.pid = 17;
  report.version = "1.0";
  for (const std::optional<bool> passthrough : {std::optional<bool>{}, {true}, {false}}) {
    report.passthrough = passthrough;
    const auto back = to_mount_report(to_json(report));
    ASSERT_TRUE(back);
    EXPECT_EQ(back->store, report.store);
    EXPECT_EQ(back->is_gone, true);
    EXPECT_EQ(back->models, 3u);
    EXPECT_EQ(back->broken, 1u);
    EXPECT_EQ(back->broken_models, report.broken_models);
    EXPECT_EQ(back->passthrough, passthrough);
    EXPECT_EQ(back->access, report.access);
    EXPECT_EQ(back->since, report.since);
    EXPECT_EQ(back->bytes_read, report.bytes_read);
    EXPECT_EQ(back->pid, 17);
    EXPECT_EQ(back->version, "1.0");
  }
}

// An attribute has 64 KiB at most.
TEST(MountReport, StaysSmall) {
  MountReport report;
  for (int i = 0; i < 100'000; ++i) report.add_broken(std::string(200, 'm') + std::to_string(i));
  EXPECT_EQ(report.broken, 100'000u);
  EXPECT_THAT(report.broken_models, SizeIs(20));
  EXPECT_LT(to_json(report).size(), 10'000u);
}

// A name of a folder may hold any byte.
TEST(MountReport, TakesEveryPath) {
  EXPECT_TRUE(to_mount_report(to_json({.store = "/\xff\xfe"})));
}

TEST(MountReport, IsNothingElse) {
  for (const char* text : {"", "{}", "null", "[1]", "{\"store\":1}", "no JSON"})
    EXPECT_FALSE(to_mount_report(text)) << text;
}

}  // namespace
}  // namespace ollamafs::test
