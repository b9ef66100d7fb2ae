#include "store/base/write_calls.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <cerrno>
#include <cstring>
#include <filesystem>
#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "store/base/unique_fd.h"
#include "tests/support/faulty_writes.h"
#include "tests/support/store_builder.h"
#include "tests/support/temp_dir.h"

namespace ollamafs::test {
namespace {

namespace fs = std::filesystem;

class WriteCallsTest : public ::testing::Test {
 protected:
  // Every call once, with the number by which a plan names it, in an order in which all succeed.
  struct Call {
    unsigned which;
    std::function<long(const WriteCalls&)> make;
  };

  [[nodiscard]] std::vector<Call> all() {
    using namespace write_call;
    return {
        {kOpenat,
         [this](const WriteCalls& calls) {
           const int fd = calls.openat(dir_fd_.get(), "new", O_CREAT | O_EXCL | O_RDWR, 0600);
           if (fd >= 0) file_ = UniqueFd{fd};
           return fd < 0 ? -1L : 0L;
         }},
        {kFallocate,
         [this](const WriteCalls& calls) { return calls.fallocate(file_.get(), 0, 0, 8); }},
        {kWrite, [this](const WriteCalls& calls) { return calls.write(file_.get(), "abcd", 4); }},
        {kPwrite,
         [this](const WriteCalls& calls) { return calls.pwrite(file_.get(), "EFGH", 4, 4); }},
        {kSendfile,
         [this](const WriteCalls& calls) {
           return calls.sendfile(file_.get(), source_.get(), 1, 2);
         }},
        {kCopyFileRange,
         [this](const WriteCalls& calls) {
           return calls.copy_file_range(source_.get(), 3, file_.get(), 1);
         }},
        {kFchmod, [this](const WriteCalls& calls) { return calls.fchmod(file_.get(), 0640); }},
        {kFchown,
         [this](const WriteCalls& calls) {
           return calls.fchown(file_.get(), ::geteuid(), ::getegid());
         }},
        {kFutimens,
         [this](const WriteCalls& calls) {
           return calls.futimens(file_.get(), {{1, 0}, {2, 0}});
         }},
        {kFsync, [this](const WriteCalls& calls) { return calls.fsync(file_.get()); }},
        {kFdatasync, [this](const WriteCalls& calls) { return calls.fdatasync(file_.get()); }},
        {kFstatvfs, [this](const WriteCalls& calls) { return calls.fstatvfs(file_.get(), room_); }},
        {kMkdirat,
         [this](const WriteCalls& calls) { return calls.mkdirat(dir_fd_.get(), "sub", 0700); }},
        {kLinkat,
         [this](const WriteCalls& calls) {
           return calls.linkat(dir_fd_.get(), "new", dir_fd_.get(), "sub/link", 0);
         }},
        {kRenameat2,
         [this](const WriteCalls& calls) {
           return calls.renameat2(dir_fd_.get(), "new", dir_fd_.get(), "moved", RENAME_NOREPLACE);
         }},
        {kUnlinkat,
         [this](const WriteCalls& calls) { return calls.unlinkat(dir_fd_.get(), "sub/link", 0); }},
    };
  }

  static UniqueFd written(const fs::path& path, std::string_view bytes) {
    write_file(path, bytes);
    return UniqueFd{::open(path.c_str(), O_RDONLY | O_CLOEXEC)};
  }

  // All that is in the directory, with the bytes of files.
  [[nodiscard]] std::vector<std::string> content() const {
    std::vector<std::string> lines;
    for (const auto& entry : fs::recursive_directory_iterator{dir_.path()}) {
      const std::string name = fs::relative(entry.path(), dir_.path()).string();
      lines.push_back(entry.is_directory() ? name + "/" : name + " " + read_file(entry.path()));
    }
    return lines;
  }

  TempDir dir_;
  UniqueFd dir_fd_{::open(dir_.path().c_str(), O_DIRECTORY | O_CLOEXEC)};
  UniqueFd file_;
  TempDir beside_;
  UniqueFd source_ = written(beside_ / "source", "hijk");
  struct statvfs room_ {};
  WriteFaultPlan plan_;
  FaultyWrites faulty_{plan_};
};

TEST_F(WriteCallsTest, AreTheKernels) {
  for (const Call& call : all()) ASSERT_GE(call.make(WriteCalls::kernel()), 0) << call.which;
  struct stat st {};
  ASSERT_EQ(::stat((dir_ / "moved").c_str(), &st), 0);
  EXPECT_THAT(content(), ::testing::UnorderedElementsAre("moved abcdijkH", "sub/"));
  EXPECT_EQ(st.st_mode & 07777, 0640U);
  EXPECT_EQ(st.st_atim.tv_sec, 1);
  EXPECT_EQ(st.st_mtim.tv_sec, 2);
  EXPECT_GT(room_.f_blocks, 0U);
}

TEST_F(WriteCallsTest, GiveATemporaryFileItsName) {
  const WriteCalls& calls = WriteCalls::kernel();
  const UniqueFd file{calls.openat(dir_fd_.get(), ".", O_TMPFILE | O_WRONLY, 0644)};
  ASSERT_TRUE(file) << std::strerror(errno) << ": the tests' temporary folder must take O_TMPFILE";
  ASSERT_EQ(calls.write(file.get(), "x", 1), 1);
  const std::string path = "/proc/self/fd/" + std::to_string(file.get());
  ASSERT_EQ(calls.linkat(AT_FDCWD, path.c_str(), dir_fd_.get(), "named", AT_SYMLINK_FOLLOW), 0);
  EXPECT_THAT(content(), ::testing::ElementsAre("named x"));
}

TEST_F(WriteCallsTest, FailAsTheKernelDoes) {
  const WriteCalls& calls = WriteCalls::kernel();
  errno = 0;
  EXPECT_EQ(calls.mkdirat(dir_fd_.get(), "a/b", 0700), -1);
  EXPECT_EQ(errno, ENOENT);
  write_file(dir_ / "a", "");
  write_file(dir_ / "b", "");
  EXPECT_EQ(calls.renameat2(dir_fd_.get(), "a", dir_fd_.get(), "b", RENAME_NOREPLACE), -1);
  EXPECT_EQ(errno, EEXIST);
}

// ---- those of tests ----

TEST_F(WriteCallsTest, AreTheKernelsIfNothingIsPlanned) {
  for (const Call& call : all()) ASSERT_GE(call.make(faulty_), 0) << call.which;
  EXPECT_THAT(content(), ::testing::UnorderedElementsAre("moved abcdijkH", "sub/"));
  EXPECT_EQ(plan_.injected, 0U);
}

// Each kind fails alone, without being made, and succeeds afterwards.
TEST_F(WriteCallsTest, FailOneByOneAsPlanned) {
  const auto calls = all();
  unsigned kinds = 0;
  for (const Call& call : calls) {
    kinds |= call.which;
    plan_.fail(call.which, EDQUOT);
    const auto before = content();
    errno = 0;
    EXPECT_EQ(call.make(faulty_), -1) << call.which;
    EXPECT_EQ(errno, EDQUOT) << call.which;
    EXPECT_EQ(content(), before) << call.which;
    EXPECT_EQ(plan_.injected, 1U);
    ASSERT_GE(call.make(faulty_), 0) << call.which;
    EXPECT_EQ(plan_.seen, 2U);
  }
  EXPECT_EQ(kinds, write_call::kAll);
}

TEST_F(WriteCallsTest, FailAtTheNthCall) {
  for (std::uint64_t nth = 1; nth <= all().size(); ++nth) {
    fs::remove_all(dir_ / "new");
    fs::remove_all(dir_ / "moved");
    fs::remove_all(dir_ / "sub");
    plan_.fail(write_call::kAll, EIO, nth);
    std::uint64_t made = 0;
    for (const Call& call : all()) {
      if (call.make(faulty_) < 0) break;
      ++made;
    }
    EXPECT_EQ(made, nth - 1);
    EXPECT_EQ(plan_.seen, nth);
  }
}

TEST_F(WriteCallsTest, FailSeveralTimes) {
  plan_.fail(write_call::kMkdirat, ENOSPC, 2, 3);
  std::vector<int> results;
  for (const char* const name : {"1", "2", "3", "4", "5"}) {
    results.push_back(faulty_.mkdirat(dir_fd_.get(), name, 0700));
  }
  EXPECT_THAT(results, ::testing::ElementsAre(0, -1, -1, -1, 0));
  plan_.fail(write_call::kMkdirat, ENOSPC);
  plan_.clear();
  EXPECT_EQ(faulty_.mkdirat(dir_fd_.get(), "6", 0700), 0);
}

TEST_F(WriteCallsTest, WriteLessAsPlanned) {
  const UniqueFd file{faulty_.openat(dir_fd_.get(), "f", O_CREAT | O_RDWR, 0600)};
  plan_.shorten(2, 2);
  EXPECT_EQ(faulty_.write(file.get(), "abc", 3), 3);
  EXPECT_EQ(faulty_.write(file.get(), "def", 3), 1);
  EXPECT_EQ(faulty_.pwrite(file.get(), "xyz", 3, 4), 1);
  EXPECT_EQ(faulty_.pwrite(file.get(), "123", 3, 5), 3);
  EXPECT_EQ(read_file(dir_ / "f"), "abcdx123");
}

}  // namespace
}  // namespace ollamafs::test
