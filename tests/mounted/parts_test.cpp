// archives/NAME.tar.parts/ (-o split=): an archive in pieces that FAT32 can hold.
#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cerrno>
#include <filesystem>
#include <string>
#include <vector>

#include "tests/mounted/broken_model.h"
#include "tests/mounted/mount.h"
#include "tests/mounted/shown.h"
#include "tests/mounted/walk.h"
#include "tests/support/temp_dir.h"

namespace ollamafs::test {
namespace {

namespace fs = std::filesystem;
using ::testing::ElementsAre;

class Parts : public ::testing::Test {
 protected:
  Parts() {
    store.v2("me/big:q4", big);
    store.v1("small:q4", store.text_model(2, 100'000));
  }

  // The names of the files in a folder, sorted, as a shell would.
  static std::vector<fs::path> files_in(const fs::path& folder) {
    std::vector<fs::path> files;
    for (const auto& entry : fs::directory_iterator{folder}) files.push_back(entry.path());
    std::ranges::sort(files);
    return files;
  }

  static std::string joined(const fs::path& folder) {
    std::string all;
    for (const fs::path& part : files_in(folder)) all += read_file(part);
    return all;
  }

  TempDir dir;
  StoreBuilder store{dir / "store"};
  ManifestSpec big = store.text_model(1, 3'500'000);
};

constexpr const char* kArchive = "archives/me/big+q4.tar";
constexpr const char* kParts = "archives/me/big+q4.tar.parts";

TEST_F(Parts, AreTheArchiveInPieces) {
  // 1048576: a tar's blocks end where the parts do.
  for (const std::string split : {"1M", "1048576", "1000001", "3400K"}) {
    const Mount mount{store.root(), {.arguments = {"-o", "split=" + split}}};
    const std::string archive = read_file(mount / kArchive);
    EXPECT_EQ(joined(mount / kParts), archive) << split;
    const auto parts = files_in(mount / kParts);
    EXPECT_EQ(parts.front().filename(), "big+q4.tar.000");
    const std::uintmax_t size = fs::file_size(parts.front());
    EXPECT_EQ(parts.size(), (archive.size() + size - 1) / size) << split;
    for (const fs::path& part : parts) {
      EXPECT_EQ(read_file(part).size(), fs::file_size(part)) << part;
      if (part != parts.back()) {
        EXPECT_EQ(fs::file_size(part), size) << part;
      }
      EXPECT_EQ(stat_of(part).st_mtime, stat_of(mount / kArchive).st_mtime);
    }
  }
}

TEST_F(Parts, AreReadFromAnyPlace) {
  const Mount mount{store.root(), {.arguments = {"-o", "split=1M"}}};
  const std::string archive = read_file(mount / kArchive);
  must({"dd", "if=" + (mount / kParts / "big+q4.tar.002").string(),
        "of=" + (dir / "piece").string(), "bs=1000", "skip=990", "status=none"});
  EXPECT_EQ(read_file(dir / "piece"), archive.substr(2'990'000, 10'000));
}

TEST_F(Parts, PutTheModelBack) {
  const Mount mount{store.root(), {.arguments = {"-o", "split=1M"}}};
  fs::create_directory(dir / "unpacked");
  must({"sh", "-c", "cat \"$1\"/big+q4.tar.* | tar -xm -C \"$2\"", "unpack", mount / kParts,
        dir / "unpacked"});
  const std::string id = list_json(dir / "unpacked").at("models").at(0).at("id");
  for (const fs::path& folder : {mount / kParts, dir / "stick"}) {
    if (folder == dir / "stick") {
      must({"cp", "-r", mount / kParts, folder});
      write_file(folder / "._big+q4.tar.000", "of another system");
    }
    fs::create_directories(dir / "empty/blobs");
    must({binary(), "import", folder, "--store", dir / "empty"});
    const auto models = list_json(dir / "empty").at("models");
    ASSERT_EQ(models.size(), 1U);
    EXPECT_EQ(models.at(0).at("name"), "me/big:q4");
    EXPECT_EQ(models.at(0).at("id"), id);
    EXPECT_EQ(models.at(0).at("state"), "whole");
    fs::remove_all(dir / "empty");
  }
  fs::remove(dir / "stick/big+q4.tar.001");
  fs::create_directories(dir / "empty/blobs");
  const Result result = run({binary(), "import", dir / "stick", "--store", dir / "empty"});
  EXPECT_NE(result.status, 0);
  EXPECT_THAT(result.err, ::testing::HasSubstr("big+q4.tar.001 is missing"));
}

TEST_F(Parts, AreNotOfSmallArchives) {
  {
    const Mount mount{store.root(), {.arguments = {"-o", "split=1M"}}};
    EXPECT_THAT(listing(mount / "archives"), ElementsAre(".", "..", "me", "small+q4.tar"));
    EXPECT_THAT(listing(mount / "archives/me"),
                ElementsAre(".", "..", "big+q4.tar", "big+q4.tar.parts"));
  }
  const Mount mount{store.root()};
  EXPECT_THAT(listing(mount / "archives/me"), ElementsAre(".", "..", "big+q4.tar"));
}

// They are listed, so that no mirror job deletes its copies.
TEST_F(Parts, OfABrokenModelCannotBeOpened) {
  const fs::path blob = store.blob_path(*Digest::parse(big.layers[1].digest));
  const Mount mount{store.root(), {.arguments = {"-o", "split=1M"}}};
  ASSERT_EQ(opening_fails_with(mount / kParts / "big+q4.tar.000"), 0);
  fs::remove(blob);
  EXPECT_TRUE(eventually([&] { return opening_fails_with(mount / kArchive) == EIO; }));
  const auto parts = files_in(mount / kParts);
  EXPECT_EQ(parts.size(), 4U);
  for (const fs::path& part : parts) EXPECT_EQ(opening_fails_with(part), EIO) << part;
}

// Nor does what a manifest claims cost memory.
TEST_F(Parts, OfAnArchiveOfAnySizeAreNotListed) {
  ManifestSpec claims = store.text_model(3, 1000);
  claims.layers[0].size = 4'000'000'000'000'000;
  store.v1("claims:much", claims);
  const Mount mount{store.root(), {.arguments = {"-o", "split=1M"}}};
  EXPECT_THAT(listing(mount / "archives"),
              ElementsAre(".", "..", "claims+much.tar", "me", "small+q4.tar"));
}

TEST_F(Parts, FollowTheStore) {
  const Mount mount{store.root(), {.arguments = {"-o", "split=1M"}}};
  const auto number = [&](const char* path) { return stat_of(mount / path).st_ino; };
  const ino_t before = number("archives/me/big+q4.tar.parts/big+q4.tar.001");
  store.v2("me/big:q4", store.text_model(4, 2'500'000));
  EXPECT_TRUE(eventually([&] { return files_in(mount / kParts).size() == 3; }));
  EXPECT_NE(number("archives/me/big+q4.tar.parts/big+q4.tar.001"), before);
  EXPECT_EQ(joined(mount / kParts), read_file(mount / kArchive));
  fs::remove(store.v2_path(*ModelName::parse("me/big:q4")));
  EXPECT_TRUE(eventually([&] { return !fs::exists(mount / kParts); }));
}

}  // namespace
}  // namespace ollamafs::test
