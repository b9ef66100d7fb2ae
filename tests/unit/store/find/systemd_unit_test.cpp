#include "store/find/systemd_unit.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>

namespace ollamafs {
namespace {

namespace fs = std::filesystem;

constexpr const char* kUnit = "ollama.service";

class SystemdUnit : public ::testing::Test {
 protected:
  void SetUp() override {
    std::string name = ::testing::TempDir() + "systemd_unit.XXXXXX";
    ASSERT_NE(::mkdtemp(name.data()), nullptr);
    root_ = name;
  }
  void TearDown() override { fs::remove_all(root_); }

  void write(const std::string& file, const std::string& text) const {
    fs::create_directories((root_ / file).parent_path());
    std::ofstream{root_ / file} << text;
  }

  [[nodiscard]] std::optional<ServiceUnit> read() const { return read_service_unit(root_, kUnit); }

  // What `lines` of a [Service] section make of `key`.
  [[nodiscard]] std::string value_of(const std::string& lines, const std::string& key = "A") const {
    write("etc/systemd/system/ollama.service", "[Service]\n" + lines);
    const ServiceUnit unit = read().value();
    const auto entry = unit.environment.find(key);
    return entry == unit.environment.end() ? "(not set)" : entry->second.value_or("(unknown)");
  }

  fs::path root_;
};

TEST_F(SystemdUnit, IsNotThereWithoutAFile) {
  write("etc/systemd/system/other.service", "[Service]\nUser=other\n");
  write("etc/systemd/system/ollama.service.d/a.conf", "[Service]\nUser=other\n");
  EXPECT_FALSE(read());
}

TEST_F(SystemdUnit, IsNotThereWhenMasked) {
  write("usr/lib/systemd/system/ollama.service", "[Service]\nUser=ollama\n");
  EXPECT_TRUE(read());
  fs::create_directories(root_ / "etc/systemd/system");
  fs::create_symlink("/dev/null", root_ / "etc/systemd/system/ollama.service");
  EXPECT_FALSE(read());
}

TEST_F(SystemdUnit, StrongestFolderHasTheUnit) {
  for (const char* const folder : {"lib", "usr/lib", "usr/local/lib", "run", "etc"}) {
    const std::string file = std::string{folder} + "/systemd/system/ollama.service";
    write(file, "[Service]\nUser=" + file + "\n");
    EXPECT_EQ(read().value().user, file);
  }
}

TEST_F(SystemdUnit, DropInsCountInTheOrderOfTheirNames) {
  write("etc/systemd/system/ollama.service", "[Service]\nEnvironment=A=unit B=unit\n");
  write("etc/systemd/system/ollama.service.d/20.conf", "[Service]\nEnvironment=A=20\n");
  write("usr/lib/systemd/system/ollama.service.d/30.conf", "[Service]\nEnvironment=A=30\n");
  write("run/systemd/system/ollama.service.d/10.conf", "[Service]\nEnvironment=A=10\n");
  const ServiceUnit unit = read().value();
  EXPECT_EQ(unit.environment.at("A"), "30");
  EXPECT_EQ(unit.environment.at("B"), "unit");
}

TEST_F(SystemdUnit, DropInHidesThatOfAWeakerFolder) {
  write("lib/systemd/system/ollama.service", "[Service]\n");
  write("lib/systemd/system/ollama.service.d/a.conf", "[Service]\nUser=weak\n");
  write("etc/systemd/system/ollama.service.d/a.conf", "[Service]\nEnvironment=A=1\n");
  const ServiceUnit unit = read().value();
  EXPECT_EQ(unit.user, "");
  EXPECT_EQ(unit.environment.at("A"), "1");
}

TEST_F(SystemdUnit, OnlyConfFilesAreDropIns) {
  write("etc/systemd/system/ollama.service", "[Service]\nUser=ollama\n");
  write("etc/systemd/system/ollama.service.d/override.conf.bak", "[Service]\nUser=other\n");
  EXPECT_EQ(read().value().user, "ollama");
}

TEST_F(SystemdUnit, OnlyTheServiceSectionCounts) {
  write("etc/systemd/system/ollama.service",
        "User=no\n[Unit]\nUser=no\n[Service]\nUser=ollama\n[Install]\nUser=no\n");
  EXPECT_EQ(read().value().user, "ollama");
}

TEST_F(SystemdUnit, CommentsDoNotCount) {
  EXPECT_EQ(value_of("Environment=A=1\n#Environment=A=2\n  ; Environment=A=3\n"), "1");
  EXPECT_EQ(value_of("# is not continued: \\\nEnvironment=A=1\n"), "1");
}

TEST_F(SystemdUnit, LinesMayComeFromWindows) {
  write("etc/systemd/system/ollama.service", "[Service]\r\nUser=ollama\r\n");
  EXPECT_EQ(read().value().user, "ollama");
  EXPECT_EQ(value_of("Environment=B=1 \\\r\n A=2\r\n"), "2");
}

TEST_F(SystemdUnit, OneLineHoldsSeveralVariables) {
  EXPECT_EQ(value_of("Environment=B=1 A=2 C=3\n"), "2");
}

TEST_F(SystemdUnit, LaterVariableWins) {
  EXPECT_EQ(value_of("Environment=A=1\nEnvironment=A=2\n"), "2");
}

TEST_F(SystemdUnit, QuotesKeepAWordTogether) {
  EXPECT_EQ(value_of("Environment=\"A=/my models\" 'B=it \"is\"'\n"), "/my models");
  EXPECT_EQ(value_of("Environment=\"A=/my models\" 'B=it \"is\"'\n", "B"), "it \"is\"");
  EXPECT_EQ(value_of("Environment=A=\"/my models\"\n"), "/my models");
}

TEST_F(SystemdUnit, OpenQuoteEndsTheLine) {
  EXPECT_EQ(value_of("Environment=A=1 \"A=2 A=3\n"), "1");
}

TEST_F(SystemdUnit, EscapesAreThoseOfC) {
  EXPECT_EQ(value_of(R"(Environment="A=/a\x20b\\\"\t\101\s.")"), "/a b\\\"\tA .");
  EXPECT_EQ(value_of(R"(Environment=A=/a\040b)"), "/a b");
}

TEST_F(SystemdUnit, WrongEscapeEndsTheLine) {
  EXPECT_EQ(value_of(R"(Environment=A=1 A=\q A=3)"), "1");
  EXPECT_EQ(value_of(R"(Environment=A=1 A=\x2 A=3)"), "1");
  EXPECT_EQ(value_of(R"(Environment=A=1 A=\x2)"), "1");
}

TEST_F(SystemdUnit, BackslashContinuesALine) {
  EXPECT_EQ(value_of("Environment=B=1\\\nA=2\n"), "2");
  EXPECT_EQ(value_of("Environment=B=1 \\\n# a comment\n  A=2\n"), "2");
  EXPECT_EQ(value_of("Environment=B=1 A=2 \\"), "2");
}

TEST_F(SystemdUnit, EscapedBackslashContinuesNothing) {
  EXPECT_EQ(value_of("Environment=A=1\\\\\nUser=u\n"), "1\\");
  EXPECT_EQ(read().value().user, "u");
}

TEST_F(SystemdUnit, EmptyValueDropsWhatWasSetBefore) {
  EXPECT_EQ(value_of("Environment=A=1\nEnvironment=\nEnvironment=B=2\n"), "(not set)");
  EXPECT_EQ(value_of("Environment=A=1\nEnvironment=\nEnvironment=B=2\n", "B"), "2");
}

TEST_F(SystemdUnit, WhatIsNoVariableIsPassedOver) {
  EXPECT_EQ(value_of("Environment=A 1A=x A=1\n"), "1");
  EXPECT_EQ(value_of("Environment=1A=x\n", "1A"), "(not set)");
}

TEST_F(SystemdUnit, HomeSpecifierIsThatOfTheManager) {
  EXPECT_EQ(value_of("User=ollama\nEnvironment=A=%h/models B=100%%\n"), "/root/models");
  EXPECT_EQ(value_of("User=ollama\nEnvironment=A=%h/models B=100%%\n", "B"), "100%");
}

TEST_F(SystemdUnit, PercentThatIsNoSpecifierStays) {
  EXPECT_EQ(value_of("Environment=A=/50%/x%\n"), "/50%/x%");
}

TEST_F(SystemdUnit, OtherSpecifiersMakeTheValueUnknown) {
  EXPECT_EQ(value_of("Environment=A=%S/ollama B=1\n"), "(unknown)");
  EXPECT_EQ(value_of("Environment=A=%S/ollama B=1\n", "B"), "1");
  (void)value_of("User=%i\n");
  EXPECT_EQ(read().value().user, std::nullopt);
}

TEST_F(SystemdUnit, EnvironmentFileWins) {
  write("etc/default/ollama", "A=file\n");
  EXPECT_EQ(value_of("EnvironmentFile=/etc/default/ollama\nEnvironment=A=line\n"), "file");
}

TEST_F(SystemdUnit, LaterEnvironmentFileWins) {
  write("etc/1", "A=1\nB=1\n");
  write("etc/2", "A=2\n");
  EXPECT_EQ(value_of("EnvironmentFile=/etc/1\nEnvironmentFile=/etc/2\n"), "2");
  EXPECT_EQ(value_of("EnvironmentFile=/etc/1\nEnvironmentFile=/etc/2\n", "B"), "1");
  EXPECT_EQ(value_of("EnvironmentFile=/etc/1\nEnvironmentFile=\n"), "(not set)");
}

TEST_F(SystemdUnit, EnvironmentFileMayBeMissing) {
  EXPECT_EQ(value_of("EnvironmentFile=-/etc/none\nEnvironment=A=1\n"), "1");
  write("etc/some", "A=2\n");
  EXPECT_EQ(value_of("EnvironmentFile=-/etc/some\nEnvironment=A=1\n"), "2");
}

TEST_F(SystemdUnit, EnvironmentFileHasQuotesAsAShell) {
  write("etc/env",
        "# A=comment\n"
        " A = \"/my \\\"models\\\" \\x\"  \n"
        "B='/my\\$models\\'\n"
        "C=/my\\ models  \n"
        "D=it's\n"
        "E='a''b' c\n"
        "F=100%h\n");
  const std::string lines = "EnvironmentFile=/etc/env\n";
  EXPECT_EQ(value_of(lines, "A"), "/my \"models\" \\x");
  EXPECT_EQ(value_of(lines, "B"), "/my\\$models\\");
  EXPECT_EQ(value_of(lines, "C"), "/my models");
  EXPECT_EQ(value_of(lines, "D"), "it's");
  EXPECT_EQ(value_of(lines, "E"), "abc");
  EXPECT_EQ(value_of(lines, "F"), "100%h");
}

}  // namespace
}  // namespace ollamafs
