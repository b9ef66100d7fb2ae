#include "store/blobs/present_blobs.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <cerrno>
#include <filesystem>
#include <string>

#include "tests/support/faulty_calls.h"
#include "tests/support/store_builder.h"
#include "tests/support/temp_dir.h"

namespace ollamafs::test {
namespace {

namespace fs = std::filesystem;
using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::Pair;

TEST(PresentBlobs, AreThoseWithTheirFinalName) {
  const TempDir dir;
  const StoreBuilder store{dir / "models"};
  const fs::path blobs = store.root() / "blobs";
  const Digest one = Digest::of("one"), linked = Digest::of("linked"), other = Digest::of("other");
  write_file(blobs / one.blob_name(), "one");
  write_file(dir / "models" / "kept", "linked!");
  fs::create_symlink("../kept", blobs / linked.blob_name());

  write_file(blobs / (other.blob_name() + "-partial"), "x");
  write_file(blobs / (other.blob_name() + "-partial-0"), "x");
  write_file(blobs / other.to_string(), "x");  // with a colon
  write_file(blobs / ("SHA256-" + other.hex()), "x");
  write_file(blobs / "README", "x");
  fs::create_symlink("nowhere", blobs / other.blob_name());
  fs::create_directory(blobs / Digest::of("directory").blob_name());
  ASSERT_EQ(::mkfifo((blobs / Digest::of("fifo").blob_name()).c_str(), 0600), 0);

  std::error_code ec;
  const auto present = present_blobs(StoreDir{store.root(), OutsideLinks::refuse}, ec);
  EXPECT_FALSE(ec);
  EXPECT_THAT(present, ::testing::UnorderedElementsAre(Pair(one, 3u), Pair(linked, 7u)));
}

TEST(PresentBlobs, AreNoneWhereThereIsNoFolder) {
  const TempDir dir;
  std::error_code ec = std::make_error_code(std::errc::io_error);
  EXPECT_THAT(present_blobs(StoreDir{dir.path(), OutsideLinks::refuse}, ec), IsEmpty());
  EXPECT_FALSE(ec);
}

TEST(PresentBlobs, AreUnknownWhereTheFolderCannotBeListed) {
  const TempDir dir;
  const StoreBuilder store{dir / "models"};
  FaultPlan plan;
  const FaultyCalls calls{plan};
  const StoreDir faulty{store.root(), OutsideLinks::refuse, {}, calls};
  plan.fail(call::kReaddir, EIO);
  std::error_code ec;
  EXPECT_THAT(present_blobs(faulty, ec), IsEmpty());
  EXPECT_EQ(ec, std::errc::io_error);
}

}  // namespace
}  // namespace ollamafs::test
