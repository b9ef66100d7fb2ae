// What disks and systems bring with them: folders of their own, no sizes, no large files.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <linux/magic.h>
#include <sys/vfs.h>

#include <string>

#include "store/base/text.h"
#include "tests/unit/store/transfer/import_fixture.h"

namespace ollamafs::test {
namespace {

namespace fs = std::filesystem;
using ::testing::HasSubstr;

// A file system that says what it likes of itself.
class OtherDisk final : public WriteCalls {
 public:
  explicit OtherDisk(decltype(statfs::f_type) type) : type_{type} {}

  [[nodiscard]] int fstatvfs(int fd, struct statvfs& room) const noexcept override {
    const int status = WriteCalls::fstatvfs(fd, room);
    if (type_ == NFS_SUPER_MAGIC) room.f_blocks = room.f_bfree = room.f_bavail = 0;
    return status;
  }
  [[nodiscard]] int fstatfs(int fd, struct statfs& kind) const noexcept override {
    const int status = WriteCalls::fstatfs(fd, kind);
    kind.f_type = type_;
    return status;
  }

 private:
  decltype(statfs::f_type) type_;
};

class ImportDiskTest : public ImportFixture {
 protected:
  ImportDiskTest() { source_.v1("m", source_.text_model(1, 3000)); }

  StoreBuilder source_{dir_ / "source"};
};

TEST_F(ImportDiskTest, PassesOverWhatSystemsKeepOnAStick) {
  const fs::path model = "manifests/registry.ollama.ai/library/gone/latest";
  for (const char* const name :
       {"lost+found", ".Trash-1000", "System Volume Information", ".DS_Store", "._blobs"}) {
    write_file(source_.root() / name / model, "deleted");
  }
  write_file(source_.root() / "blobs/._x", "x");
  (void)import({source_.root()});
  EXPECT_EQ(models_of(target()).size(), 1U);
}

TEST_F(ImportDiskTest, PassesOverWhatServersPutBesideBlobs) {
  const fs::path split = source_.root() / "blobs/.ollama-split-1";
  fs::create_directory(split);
  const fs::path safetensors = source_.root() / "ollama-safetensors2";
  fs::create_directory(safetensors);
  fs::path blob;
  for (const auto& entry : fs::directory_iterator{source_.root() / "blobs"}) {
    if (entry.is_regular_file()) blob = entry.path();
  }
  fs::create_hard_link(blob, split / "model-00001-of-00002.gguf");
  fs::create_symlink(blob, safetensors / "model.safetensors");
  fs::create_directory(safetensors / "blobs");
  fs::create_symlink("gone", safetensors / "blobs" / Digest::of("gone").blob_name());
  (void)import({source_.root()});
  EXPECT_EQ(models_of(target()).size(), 1U);
  fs::remove_all(target());
  (void)import_bytes(make_archive(pack_directory(source_.root())));
  EXPECT_EQ(models_of(target()).size(), 1U);
}

TEST_F(ImportDiskTest, TakesADiskThatDoesNotSayItsSizeForLarge) {
  (void)import({source_.root()}, {}, OtherDisk{NFS_SUPER_MAGIC});
  EXPECT_EQ(models_of(target()).size(), 1U);
}

TEST_F(ImportDiskTest, SaysBeforeThatFatTakesNoLargeFile) {
  ManifestSpec model = source_.text_model(1, 3000);
  model.layers.push_back(source_.sparse_layer(kModelType, std::uint64_t{1} << 32, 7));
  source_.v1("m", model);
  const auto failure =
      failure_of([&] { import({source_.root()}, {}, OtherDisk{MSDOS_SUPER_MAGIC}); });
  EXPECT_EQ(failure.first, TransferError::Kind::refused);
  EXPECT_THAT(failure.second, HasSubstr("FAT"));
  EXPECT_THAT(failure.second, HasSubstr(model.layers.back().digest.substr(7)));
}

// ---- a dry run ----

TEST_F(ImportDiskTest, ADryRunCountsAndDeletesNothing) {
  const fs::path left = target() / "blobs/ollamafs-import-1-1";
  write_file(left, "x");
  const DirectoryContent before = content_of(target());
  const std::string archive = make_archive(pack_directory(source_.root()));
  const ImportResult quick = import_bytes(archive, {.dry_run = true});
  const ImportResult piped = import_piped(archive, {.dry_run = true});
  EXPECT_GT(quick.blobs_written, 2U);
  EXPECT_EQ(piped.blobs_written, quick.blobs_written);
  EXPECT_EQ(piped.bytes_written, quick.bytes_written);
  EXPECT_EQ(content_of(target()), before);
  (void)import_piped(archive);
  EXPECT_EQ(import_piped(archive, {.dry_run = true}).blobs_written, 0U);
}

}  // namespace
}  // namespace ollamafs::test
