// Exports to a models folder.

#include <gtest/gtest.h>
#include <sys/stat.h>

#include <cerrno>
#include <filesystem>
#include <string>
#include <vector>

#include "tests/unit/store/transfer/export_fixture.h"

namespace ollamafs::test {
namespace {

namespace fs = std::filesystem;
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
