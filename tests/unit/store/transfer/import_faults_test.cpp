// Every call that writes fails once: the store is right after it, and the next import completes it.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/file.h>

#include <cerrno>
#include <string>
#include <vector>

#include "store/base/text.h"
#include "tests/support/faulty_writes.h"
#include "tests/unit/store/transfer/import_fixture.h"

namespace ollamafs::test {
namespace {

namespace fs = std::filesystem;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

// A file system without O_TMPFILE.
class NamedOnly final : public WriteCalls {
 public:
  explicit NamedOnly(const WriteCalls& calls) : calls_{calls} {}

  [[nodiscard]] int openat(int directory, const char* path, int flags,
                           mode_t mode) const noexcept override {
    if ((flags & O_TMPFILE) == O_TMPFILE) {
      errno = EOPNOTSUPP;
      return -1;
    }
    return calls_.openat(directory, path, flags, mode);
  }
  [[nodiscard]] ssize_t write(int fd, const void* bytes, std::size_t size) const noexcept override {
    return calls_.write(fd, bytes, size);
  }
  [[nodiscard]] int fsync(int fd) const noexcept override { return calls_.fsync(fd); }
  [[nodiscard]] int fdatasync(int fd) const noexcept override { return calls_.fdatasync(fd); }
  [[nodiscard]] int linkat(int from_directory, const char* from, int to_directory, const char* to,
                           int flags) const noexcept override {
    return calls_.linkat(from_directory, from, to_directory, to, flags);
  }
  [[nodiscard]] int renameat2(int from_directory, const char* from, int to_directory,
                              const char* to, unsigned flags) const noexcept override {
    return calls_.renameat2(from_directory, from, to_directory, to, flags);
  }
  [[nodiscard]] int mkdirat(int directory, const char* path, mode_t mode) const noexcept override {
    return calls_.mkdirat(directory, path, mode);
  }

 private:
  const WriteCalls& calls_;
};

class ImportFaultsTest : public ImportFixture, public ::testing::WithParamInterface<bool> {
 protected:
  ImportFaultsTest() {
    source_.v1("m", source_.text_model(1, 3000));
    source_.v1("other", source_.text_model(5, 100));
    archive_ = make_archive(pack_directory(source_.root()));
  }

  [[nodiscard]] const WriteCalls& calls() const {
    return GetParam() ? static_cast<const WriteCalls&>(named_only_) : faulty_;
  }

  // As far as an import changes it: temporary files of a killed one may stay, of this one not.
  void expect_right(const DirectoryContent& before, std::uint64_t nth) const {
    EXPECT_THAT(forbidden_changes_but_models(before), IsEmpty()) << "call " << nth;
  }

  // Manifests of whole models are no forbidden change: one of two may have been written.
  [[nodiscard]] std::vector<std::string> forbidden_changes_but_models(
      const DirectoryContent& before) const {
    auto forbidden = forbidden_changes(before, content_of(target()));
    if (fs::exists(target())) (void)models_of(target());
    std::erase_if(forbidden,
                  [](const std::string& change) { return change.starts_with("new: manifests"); });
    return forbidden;
  }

  StoreBuilder source_{dir_ / "source"};
  std::string archive_;
  WriteFaultPlan plan_;
  FaultyWrites faulty_{plan_};
  NamedOnly named_only_{faulty_};
};

TEST_P(ImportFaultsTest, AnyCallFailsOnce) {
  for (const int error : {ENOSPC, EIO}) {
    for (std::uint64_t nth = 1;; ++nth) {
      fs::remove_all(target());
      fs::create_directory(target());
      plan_.fail(write_call::kAll, error, nth);
      bool is_taken = true;
      try {
        (void)import_bytes(archive_, {}, calls());
      } catch (const TransferError& failure) {
        is_taken = false;
        EXPECT_EQ(failure.kind(), TransferError::Kind::no_space) << failure.what();
        EXPECT_EQ(error, ENOSPC);
      } catch (const std::system_error& failure) {
        is_taken = false;
        EXPECT_EQ(failure.code().value(), error);
        EXPECT_THAT(failure.what(), HasSubstr(target().string()));
      }
      const bool is_done = plan_.injected == 0;
      plan_.clear();
      expect_right({}, nth);
      EXPECT_TRUE(!is_done || is_taken);
      (void)import_bytes(archive_, {}, calls());
      EXPECT_EQ(models_of(target()).size(), 2U);
      if (is_done || HasFailure()) break;
    }
  }
}

TEST_P(ImportFaultsTest, AnyCallFailsWhileAnotherModelIsReplaced) {
  for (std::uint64_t nth = 1;; ++nth) {
    fs::remove_all(target());
    const StoreBuilder there{target()};
    there.v1("m", there.text_model(9, 500));
    plan_.fail(write_call::kAll, EIO, nth);
    try {
      (void)import_bytes(archive_, {.replace = true}, calls());
    } catch (const std::system_error&) {
    }
    const bool is_done = plan_.injected == 0;
    plan_.clear();
    EXPECT_GE(models_of(target()).size(), 1U);  // the one or the other, whole
    (void)import_bytes(archive_, {.replace = true}, calls());
    EXPECT_EQ(models_of(target()), models_of(source_.root()));
    if (is_done || HasFailure()) break;
  }
}

// A disk that is full stays full.
TEST_P(ImportFaultsTest, TheDiskIsFullFromAPointOn) {
  for (std::uint64_t nth = 1; nth < 40; ++nth) {
    fs::remove_all(target());
    fs::create_directory(target());
    plan_.fail(write_call::kWrites | write_call::kFallocate, ENOSPC, nth, 1'000'000);
    try {
      (void)import_piped(archive_, {}, calls());
    } catch (const TransferError& failure) {
      EXPECT_EQ(failure.kind(), TransferError::Kind::no_space) << failure.what();
    }
    plan_.clear();
    expect_right({}, nth);
    if (HasFailure()) break;
  }
}

TEST_P(ImportFaultsTest, WritesThatAreShort) {
  plan_.shorten(1, 1'000'000);
  (void)import_bytes(archive_, {}, calls());
  EXPECT_EQ(models_of(target()), models_of(source_.root()));
}

INSTANTIATE_TEST_SUITE_P(FileSystems, ImportFaultsTest, ::testing::Bool(), [](const auto& value) {
  return value.param ? "WithoutUnnamedFiles" : "WithUnnamedFiles";
});

// What an import that was killed has left behind goes with the next one, but for that of one that
// still runs.
TEST_F(ImportFixture, RemovesWhatWasLeftBehind) {
  const StoreBuilder source{dir_ / "source"};
  source.v1("m", source.text_model(1, 3000));
  write_file(target() / "blobs/ollamafs-import-1-1", "x");
  write_file(target() / "blobs/ollamafs-import-2-2", "x");
  write_file(target() / "blobs/foreign", "x");
  const UniqueFd held{::open((target() / "blobs/ollamafs-import-2-2").c_str(), O_RDONLY)};
  ASSERT_EQ(::flock(held.get(), LOCK_EX), 0);
  (void)import({source.root()});
  EXPECT_FALSE(fs::exists(target() / "blobs/ollamafs-import-1-1"));
  EXPECT_TRUE(fs::exists(target() / "blobs/ollamafs-import-2-2"));
  EXPECT_TRUE(fs::exists(target() / "blobs/foreign"));
}

}  // namespace
}  // namespace ollamafs::test
