// Exports to a models folder.

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <filesystem>
#include <string>
#include <vector>

#include "tests/support/process.h"
#include "tests/unit/store/transfer/export_fixture.h"

namespace ollamafs::test {
namespace {

namespace fs = std::filesystem;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using Kind = TransferError::Kind;

using ExportingToFolder = Exporting;

// ---- to a folder ----

TEST_F(ExportingToFolder, MakesAModelsFolder) {
  const fs::path folder = out_ / "a" / "b";
  const ExportSource source = open({"me/shared:v1", "golden"});
  (void)export_to_folder(source, folder, false, WriteCalls::kernel(), Progress::none());
  std::vector<std::string> expected;
  for (const ArchiveMember& member : source.members) {
    expected.push_back("a/b/" + member.path);
    EXPECT_EQ(Digest::of(read_file(folder / member.path)), member.digest);
  }
  std::ranges::sort(expected);
  EXPECT_EQ(listing(), expected);
  const auto catalog = Catalog::read(StoreDir{folder, OutsideLinks::refuse});
  ASSERT_EQ(catalog->models().size(), 2u);
  for (const Model& model : catalog->models()) EXPECT_TRUE(model.whole());
}

ino_t inode_of(const fs::path& path) {
  struct stat st {};
  EXPECT_EQ(::stat(path.c_str(), &st), 0) << path;
  return st.st_ino;
}

TEST_F(ExportingToFolder, KeepsOfAFolderWhatIsRight) {
  const ExportSource source = open({"large"});
  (void)export_to_folder(source, out_, false, WriteCalls::kernel(), Progress::none());
  std::vector<ino_t> before;
  for (const ArchiveMember& member : source.members) before.push_back(inode_of(out_ / member.path));
  const fs::path wrong = out_ / source.members[1].path;
  std::string bytes = read_file(wrong);
  bytes.back() ^= 1;
  write_file(wrong, bytes);
  (void)export_to_folder(source, out_, false, WriteCalls::kernel(), Progress::none());
  for (std::size_t i = 0; i < source.members.size(); ++i) {
    const ArchiveMember& member = source.members[i];
    EXPECT_EQ(Digest::of(read_file(out_ / member.path)), member.digest);
    EXPECT_EQ(inode_of(out_ / member.path) == before[i], i != 1) << i;
  }
}

TEST_F(ExportingToFolder, ReplacesAManifestOfAFolderOnlyIfItMay) {
  const ExportSource source = open({"golden"});
  const fs::path manifest = out_ / source.members.back().path;
  fs::create_directories(manifest.parent_path());
  write_file(manifest, "another");
  EXPECT_EQ(export_failure([&] {
              (void)export_to_folder(source, out_, false, WriteCalls::kernel(), Progress::none());
            }).first,
            Kind::refused);
  EXPECT_EQ(read_file(manifest), "another");
  EXPECT_EQ(listing().size(), 1u);  // and no blob
  (void)export_to_folder(source, out_, true, WriteCalls::kernel(), Progress::none());
  EXPECT_EQ(Digest::of(read_file(manifest)), source.members.back().digest);
}

struct stat status_of(const fs::path& path) {
  struct stat st {};
  EXPECT_EQ(::lstat(path.c_str(), &st), 0) << path;
  return st;
}

// Ollama would show what the v2 entry names, not what was exported.
TEST_F(ExportingToFolder, LeavesNoV2EntryThatHidesTheModel) {
  const StoreBuilder there{out_};
  (void)there.v2("golden:latest", there.text_model(5, 500));
  const std::vector<std::string> before = listing();
  const ExportSource source = open({"golden"});
  const auto [kind, message] = export_failure(
      [&] { (void)export_to_folder(source, out_, false, WriteCalls::kernel(), Progress::none()); });
  EXPECT_EQ(kind, Kind::refused);
  EXPECT_THAT(message, HasSubstr("golden:latest is not exported"));
  EXPECT_THAT(message, HasSubstr("--force"));
  EXPECT_EQ(listing(), before);

  EXPECT_THAT(export_to_folder(source, out_, true, WriteCalls::kernel(), Progress::none()),
              ElementsAre(HasSubstr("manifests-v2")));
  const auto catalog = Catalog::read(StoreDir{out_, OutsideLinks::refuse});
  const Model* const model = find_model(*catalog, "golden");
  EXPECT_TRUE(model->whole());
  EXPECT_EQ(model->manifest->digest, source.members.back().digest);
}

TEST_F(ExportingToFolder, GivesWhatItMakesToTheFoldersOwner) {
  ASSERT_EQ(::geteuid(), 0u) << "needs root";
  const User user = User::named("games");
  ASSERT_EQ(::chown(out_.c_str(), user.uid, user.gid), 0);
  ASSERT_EQ(::chmod(out_.c_str(), 02750), 0);
  const ExportSource source = open({"golden"});
  (void)export_to_folder(source, out_, false, WriteCalls::kernel(), Progress::none());
  std::size_t seen = 0;
  for (const auto& entry : fs::recursive_directory_iterator{out_}) {
    const struct stat st = status_of(entry.path());
    EXPECT_EQ(st.st_uid, user.uid) << entry.path();
    EXPECT_EQ(st.st_gid, user.gid) << entry.path();
    EXPECT_EQ(st.st_mode & 07777, entry.is_directory() ? 02750u : 0640u) << entry.path();
    ++seen;
  }
  EXPECT_GT(seen, 5u);
}

TEST_F(ExportingToFolder, DoesNotFollowSomebodysLinkOutOfTheFolder) {
  ASSERT_EQ(::geteuid(), 0u) << "needs root";
  const User user = User::named("games");
  fs::create_directory(dir_ / "outside");
  fs::create_directory_symlink(dir_ / "outside", out_ / "blobs");
  ASSERT_EQ(::lchown((out_ / "blobs").c_str(), user.uid, user.gid), 0);
  const ExportSource source = open({"golden"});
  EXPECT_EQ(export_failure([&] {
              (void)export_to_folder(source, out_, false, WriteCalls::kernel(), Progress::none());
            }).first,
            Kind::failed);
  EXPECT_TRUE(fs::is_empty(dir_ / "outside"));
}

// Whatever fails, what has its name is whole, and a manifest has all its blobs.
TEST_F(ExportingToFolder, LeavesAFolderValidWhicheverCallFails) {
  using namespace write_call;
  const ExportSource source = open({"large"});
  for (std::uint64_t nth = 1;; ++nth) {
    plan_.fail(kAll & ~(kUnlinkat | kFstatvfs | kSendfile | kCopyFileRange), EIO, nth);
    const auto failure = export_failure(
        [&] { (void)export_to_folder(source, out_, false, faulty_, Progress::none()); });
    const bool failed = plan_.injected > 0;
    EXPECT_EQ(failure.first.has_value(), failed) << nth;
    std::size_t there = 0;
    for (const ArchiveMember& member : source.members) {
      if (!fs::exists(out_ / member.path)) continue;
      ++there;
      ASSERT_EQ(Digest::of(read_file(out_ / member.path)), member.digest) << nth;
      if (member.of_model) {
        ASSERT_EQ(there, source.members.size()) << nth;
      }
    }
    EXPECT_EQ(listing().size(), there) << nth;  // and no parts
    if (!failed) break;
    fs::remove_all(out_);
    fs::create_directory(out_);
  }
}

TEST_F(ExportingToFolder, TellsHowFarAFolderIs) {
  const ExportSource source = open({"large"});
  for (int again = 0; again < 2; ++again) {
    ProgressAt progress{0, nullptr};
    (void)export_to_folder(source, out_, false, WriteCalls::kernel(), progress);
    EXPECT_EQ(progress.expected_items, 4u);
    EXPECT_EQ(progress.items, 4u);
  }
}

// The wrong bytes must not get the blob's name.
TEST_F(ExportingToFolder, GivesNoBlobOfAFolderItsNameThatChanged) {
  ManifestSpec manifest = store_.text_model(30, 200'000);
  store_.v1("changed:latest", manifest);
  const Digest weights = Digest::parse(manifest.layers[0].digest).value();
  const ExportSource source = open({"changed"});
  const auto& blobs = source.file->layout().blobs();
  const fs::path blob = store_.blob_path(weights);
  const auto item = std::ranges::find(blobs, weights) - blobs.begin() + 1;
  ProgressAtItem progress{static_cast<unsigned>(item),
                          [&] { fs::resize_file(blob, fs::file_size(blob) + 1); }};
  EXPECT_EQ(export_failure([&] {
              (void)export_to_folder(source, out_, false, WriteCalls::kernel(), progress);
            }).first,
            Kind::broken);
  EXPECT_FALSE(fs::exists(out_ / weights.blob_path()));
  EXPECT_FALSE(fs::exists(out_ / "manifests"));
}

TEST_F(ExportingToFolder, CopiesToAFolderWhereTheKernelCannot) {
  const ExportSource source = open({"large"});
  plan_.fail(write_call::kSendfile | write_call::kCopyFileRange, EXDEV, 1, 1'000'000);
  (void)export_to_folder(source, out_, false, faulty_, Progress::none());
  EXPECT_GT(plan_.injected, 0u);
  for (const ArchiveMember& member : source.members)
    EXPECT_EQ(Digest::of(read_file(out_ / member.path)), member.digest);
}

}  // namespace
}  // namespace ollamafs::test
