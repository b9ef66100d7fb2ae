// Exports to a file: its part, what fails, and a store that changes meanwhile.

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <cerrno>
#include <filesystem>
#include <random>
#include <string>

#include "tests/unit/store/transfer/export_fixture.h"

namespace ollamafs::test {
namespace {

namespace fs = std::filesystem;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using Kind = TransferError::Kind;

using ExportingToFile = Exporting;

// ---- to a file ----

TEST_F(ExportingToFile, TellsHowFarItIs) {
  for (const ExportFormat format :
       {ExportFormat::tar, ExportFormat::tar_zst, ExportFormat::tar_gz}) {
    const ExportSource source = open({"large"});
    ProgressAt progress{0, nullptr};
    to_file(source, file_, format, true, WriteCalls::kernel(), progress);
    EXPECT_EQ(progress.expected, source.size());
    EXPECT_EQ(progress.added, source.size());
    EXPECT_EQ(progress.expected_items, 4u);
    EXPECT_EQ(progress.items, 4u);
  }
}

TEST_F(ExportingToFile, ReplacesAFileOnlyIfItMay) {
  write_file(file_, "precious");
  const ExportSource source = open({"golden"});
  const auto [kind, message] = export_failure([&] { to_file(source, file_); });
  EXPECT_EQ(kind, Kind::refused);
  EXPECT_THAT(message, HasSubstr(file_.string()));
  EXPECT_EQ(read_file(file_), "precious");
  EXPECT_THAT(listing(), ElementsAre("x.tar"));
  to_file(source, file_, ExportFormat::tar, true);
  EXPECT_TRUE(read_file(file_) == bytes_of(source));
}

// Somebody else makes the file while this is written.
TEST_F(ExportingToFile, DoesNotReplaceWhatCameMeanwhile) {
  const ExportSource source = open({"large"});
  ProgressAt progress{1'000'000, [&] { write_file(file_, "precious"); }};
  EXPECT_EQ(export_failure([&] {
              to_file(source, file_, ExportFormat::tar, false, WriteCalls::kernel(), progress);
            }).first,
            Kind::refused);
  EXPECT_EQ(read_file(file_), "precious");
  EXPECT_THAT(listing(), ElementsAre("x.tar"));
}

// A file system that cannot rename without replacing.
TEST_F(ExportingToFile, GetsItsNameInTwoStepsToo) {
  plan_.fail(write_call::kRenameat2, EINVAL);
  to_file(open({"golden"}), file_, ExportFormat::tar, false, faulty_);
  EXPECT_EQ(plan_.injected, 1u);
  EXPECT_THAT(listing(), ElementsAre("x.tar"));
}

TEST_F(ExportingToFile, RefusesToWriteWhatAnotherWrites) {
  const ExportSource source = open({"large"});
  std::optional<Kind> second;
  ProgressAt progress{1'000'000,
                      [&] { second = export_failure([&] { to_file(source, file_); }).first; }};
  to_file(source, file_, ExportFormat::tar, false, WriteCalls::kernel(), progress);
  EXPECT_EQ(second, Kind::refused);
  EXPECT_TRUE(read_file(file_) == bytes_of(source));
}

TEST_F(ExportingToFile, GoesOnWhereItWasInterrupted) {
  std::mt19937_64 random{1};
  const ExportSource source = open({"large", "golden"});
  const std::string expected = bytes_of(source);
  for (int i = 0; i < 10; ++i) {
    ProgressAt first{random() % expected.size(), interrupt_export};
    EXPECT_THROW(to_file(source, file_, ExportFormat::tar, false, WriteCalls::kernel(), first),
                 Interrupted);
    ASSERT_THAT(listing(), ElementsAre("x.tar.part"));
    struct stat part {
    }, whole{};
    ASSERT_EQ(::stat((out_ / "x.tar.part").c_str(), &part), 0);
    ProgressAt second{0, nullptr};
    to_file(source, file_, ExportFormat::tar, false, WriteCalls::kernel(), second);
    ASSERT_THAT(listing(), ElementsAre("x.tar"));
    ASSERT_EQ(::stat(file_.c_str(), &whole), 0);
    EXPECT_EQ(whole.st_ino, part.st_ino);
    EXPECT_EQ(second.added, source.size());
    ASSERT_TRUE(read_file(file_) == expected);
    fs::remove(file_);
  }
}

// After a crash of the machine the part may hold anything.
TEST_F(ExportingToFile, GoesOnFromAnyPart) {
  std::mt19937_64 random{2};
  const ExportSource source = open({"large", "golden"});
  const std::string expected = bytes_of(source);
  for (int i = 0; i < 12; ++i) {
    std::string part = expected.substr(0, random() % (expected.size() + 1));
    if (i % 3 == 1 && !part.empty()) part[random() % part.size()] ^= 1;
    if (i % 3 == 2) part += std::string(random() % 2'000'000, 'x');
    write_file(out_ / "x.tar.part", part);
    to_file(source, file_);
    ASSERT_TRUE(read_file(file_) == expected) << i;
    ASSERT_THAT(listing(), ElementsAre("x.tar"));
    fs::remove(file_);
  }
}

// Another's file that has the part's name by chance, or what a crash left of a compressed one.
TEST_F(ExportingToFile, DoesNotOverwriteAForeignPart) {
  const ExportSource source = open({"golden"});
  for (const ExportFormat format : {ExportFormat::tar, ExportFormat::tar_zst}) {
    write_file(out_ / "x.tar.part", "precious");
    const auto [kind, message] = export_failure([&] { to_file(source, file_, format); });
    EXPECT_EQ(kind, Kind::refused);
    EXPECT_THAT(message, HasSubstr("x.tar.part is there already"));
    EXPECT_THAT(message, HasSubstr("remove it"));
    EXPECT_EQ(read_file(out_ / "x.tar.part"), "precious");
    EXPECT_THAT(listing(), ElementsAre("x.tar.part"));
    to_file(source, file_, format, true);
    EXPECT_THAT(listing(), ElementsAre("x.tar"));
    fs::remove(file_);
  }
}

// Nothing is written again that is there.
TEST_F(ExportingToFile, WritesOnlyWhatLacks) {
  const ExportSource source = open({"large"});
  write_file(out_ / "x.tar.part", bytes_of(source));
  plan_.fail(write_call::kWrites | write_call::kSendfile, EIO, 1, 1'000'000);
  to_file(source, file_, ExportFormat::tar, false, faulty_);
  EXPECT_EQ(plan_.seen, 0u);
}

TEST_F(ExportingToFile, LeavesNoPartOfACompressedFile) {
  for (const ExportFormat format : {ExportFormat::tar_zst, ExportFormat::tar_gz}) {
    ProgressAt progress{1'000'000, interrupt_export};
    EXPECT_THROW(to_file(open({"large"}), file_, format, false, WriteCalls::kernel(), progress),
                 Interrupted);
    EXPECT_THAT(listing(), IsEmpty());
  }
}

TEST_F(ExportingToFile, LeavesNoFileWhicheverCallFails) {
  using namespace write_call;
  const ExportSource source = open({"large"}, {}, {1, 0, 0});  // sent, and written
  for (const ExportFormat format :
       {ExportFormat::tar, ExportFormat::tar_zst, ExportFormat::tar_gz}) {
    for (const unsigned call : {kOpenat, kWrite, kFsync, kRenameat2}) {
      for (std::uint64_t nth = 1;; ++nth) {
        plan_.fail(call, EIO, nth);
        const auto [kind, message] =
            export_failure([&] { to_file(source, file_, format, false, faulty_); });
        if (plan_.injected == 0) break;
        EXPECT_EQ(kind, Kind::failed) << call << " " << nth;
        EXPECT_THAT(message, HasSubstr("Input/output error"));
        // The last fsync is of the folder: the file is whole, but its name may not last.
        if (call != kFsync || nth == 1) {
          EXPECT_THAT(listing(), IsEmpty());
        }
        fs::remove(file_);
      }
      EXPECT_TRUE(fs::exists(file_)) << call;
      fs::remove(file_);
    }
  }
}

TEST_F(ExportingToFile, SaysThatTheDiskIsFull) {
  for (const unsigned call : {write_call::kWrite, write_call::kFsync}) {
    plan_.fail(call, ENOSPC, 1, 1'000);
    const auto [kind, message] =
        export_failure([&] { to_file(open({"large"}), file_, ExportFormat::tar, false, faulty_); });
    EXPECT_EQ(kind, Kind::no_space);
    EXPECT_THAT(message, HasSubstr("x.tar.part"));
    EXPECT_THAT(listing(), IsEmpty());
  }
}

// A disk with 2 MB free.
class SmallDisk final : public WriteCalls {
 public:
  [[nodiscard]] int fstatvfs(int /*fd*/, struct statvfs& room) const noexcept override {
    room = {};
    room.f_frsize = 1000;
    room.f_blocks = 2'000'000;
    room.f_bavail = 2000;
    room.f_bfree = 1'000'000;
    return 0;
  }
};

TEST_F(ExportingToFile, LooksForRoomFirst) {
  const ExportSource source = open({"large"});
  const auto [kind, message] =
      export_failure([&] { to_file(source, file_, ExportFormat::tar, false, SmallDisk{}); });
  EXPECT_EQ(kind, Kind::no_space);
  EXPECT_THAT(message, HasSubstr(std::to_string(source.size())));
  EXPECT_THAT(message, HasSubstr("2000000"));
  EXPECT_THAT(listing(), IsEmpty());
  // What is there needs no more.
  write_file(out_ / "x.tar.part", bytes_of(source).substr(0, 2'000'000));
  to_file(source, file_, ExportFormat::tar, false, SmallDisk{});
  EXPECT_THAT(listing(), ElementsAre("x.tar"));
}

// What has been written by then is not lost, whether the room lacks at once or on the way.
TEST_F(ExportingToFile, KeepsAPartThatHasNoRoomToGoOn) {
  const ExportSource source = open({"large"});
  const std::string expected = bytes_of(source);
  const fs::path part = out_ / "x.tar.part";
  write_file(part, expected.substr(0, 500'000));
  const auto [kind, message] =
      export_failure([&] { to_file(source, file_, ExportFormat::tar, false, SmallDisk{}); });
  EXPECT_EQ(kind, Kind::no_space);
  EXPECT_THAT(message, HasSubstr("goes on with " + part.string()));
  EXPECT_EQ(fs::file_size(part), 500'000u);

  plan_.fail(write_call::kWrites | write_call::kSendfile, ENOSPC, 2, 1'000);
  EXPECT_EQ(
      export_failure([&] { to_file(source, file_, ExportFormat::tar, false, faulty_); }).first,
      Kind::no_space);
  EXPECT_GE(fs::file_size(part), 500'000u);
  to_file(source, file_);
  EXPECT_TRUE(read_file(file_) == expected);
}

// ---- a store that changes ----

TEST_F(ExportingToFile, OfABlobThatIsCutMeanwhileLeavesNoFile) {
  for (const ExportFormat format :
       {ExportFormat::tar, ExportFormat::tar_zst, ExportFormat::tar_gz}) {
    ManifestSpec manifest = store_.text_model(9, 4'000'000);
    store_.v1("cut:latest", manifest);
    const fs::path blob = store_.blob_path(Digest::parse(manifest.layers[0].digest).value());
    ProgressAt progress{1'100'000, [&] { fs::resize_file(blob, 3'000'000); }};
    const auto [kind, message] = export_failure(
        [&] { to_file(open({"cut"}), file_, format, false, WriteCalls::kernel(), progress); });
    EXPECT_EQ(kind, Kind::broken);
    EXPECT_THAT(message, HasSubstr(blob.filename().string()));
    EXPECT_THAT(listing(), IsEmpty());
  }
}

// Found before the manifest is written, also if the blob was read whole by then.
TEST_F(ExportingToFile, NeverWritesTheManifestOfAModelThatChanged) {
  for (unsigned item = 1; item <= 4; ++item) {
    ManifestSpec manifest = store_.text_model(item + 20, 200'000);
    store_.v1("changed:latest", manifest);
    const fs::path blob = store_.blob_path(Digest::parse(manifest.layers[0].digest).value());
    ProgressAtItem progress{item, [&] { fs::resize_file(blob, fs::file_size(blob) + 1); }};
    UniqueFd out{::open((out_ / "out").c_str(), O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600)};
    const auto [kind, message] = export_failure([&] {
      export_to_descriptor(open({"changed"}), ExportFormat::tar, out.get(), "out",
                           WriteCalls::kernel(), progress);
    });
    EXPECT_EQ(kind, Kind::broken) << item;
    EXPECT_EQ(read_file(out_ / "out").find("manifests/"), std::string::npos) << item;
  }
}

// Ollama removes a blob, or puts another file in its place: what is open is read on.
TEST_F(ExportingToFile, ReadsOnWhatIsOpen) {
  const ExportSource source = open({"large"});
  const std::string expected = bytes_of(source);
  ProgressAt progress{1'000'000, [&] { fs::remove_all(store_.root() / "blobs"); }};
  to_file(source, file_, ExportFormat::tar, false, WriteCalls::kernel(), progress);
  EXPECT_TRUE(read_file(file_) == expected);
}

}  // namespace
}  // namespace ollamafs::test
