// How the kernel lists directories: in pieces as small as it likes, and from where it likes.

#include <dirent.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cerrno>
#include <limits>
#include <string>
#include <vector>

#include "store/catalog/model_query.h"
#include "tests/protocol/fake_kernel.h"
#include "tests/protocol/opened.h"
#include "tests/protocol/served_store.h"
#include "tests/support/sample_store.h"

namespace ollamafs::test {
namespace {

using ::testing::ElementsAre;
using ::testing::ElementsAreArray;
using ::testing::IsEmpty;

constexpr const char* kModel = "models/bulk/tensors+latest";
constexpr const char* kBlobs = "models/bulk/tensors+latest/blobs";

// A model of 60 tensors and 40 small ones.
void fill(const StoreBuilder& store) {
  write_tensor_model(store, 60);
  write_many_models(store, 40);
}

// What holds for readdir and for readdirplus.
class DirectoryTest : public ::testing::TestWithParam<std::uint32_t> {
 protected:
  // The room that an entry takes whose name has so many bytes.
  static std::uint32_t room(std::size_t name) {
    const std::size_t before = GetParam() == FUSE_READDIR ? 0 : sizeof(fuse_entry_out);
    return static_cast<std::uint32_t>(FUSE_DIRENT_ALIGN(before + FUSE_NAME_OFFSET + name));
  }

  static constexpr std::size_t kBlobName = 7 + 64;  // sha256-...

  ServedStore store{fill};
  FakeKernel kernel{store.fs()};
};

INSTANTIATE_TEST_SUITE_P(With, DirectoryTest, ::testing::Values(FUSE_READDIR, FUSE_READDIRPLUS),
                         [](const auto& opcode) {
                           return opcode.param == FUSE_READDIR ? "Readdir" : "Readdirplus";
                         });

TEST_P(DirectoryTest, HasEveryEntryOnceHoweverSmallTheBuffer) {
  std::vector<std::string> expected{".", ".."};
  const auto tree = store.scan();
  for (const BlobRef& blob : find_model(tree->catalog(), "bulk/tensors:latest")->manifest->blobs) {
    expected.push_back(blob.digest.blob_name());
  }
  ASSERT_EQ(expected.size(), 65U);  // 60 tensors, config.json, license, the config, "." and ".."

  ListedDirectory blobs{kernel, kBlobs};
  const std::uint32_t one = room(kBlobName);
  for (const std::uint32_t size : {one, one + 1, 2 * one - 1, 2 * one, 1000U, 4096U, 1U << 20}) {
    EXPECT_THAT(names_of(blobs.rest(GetParam(), 0, size)), ElementsAreArray(expected)) << size;
  }
}

TEST_P(DirectoryTest, GoesOnFromWhereverTheKernelSeeks) {
  ListedDirectory blobs{kernel, kBlobs};
  const auto listed = blobs.rest(GetParam());
  for (std::size_t at = listed.size(); at-- > 1;) {  // backwards: each request is a seek
    const auto rest = blobs.rest(GetParam(), listed[at - 1].next);
    ASSERT_FALSE(rest.empty());
    EXPECT_EQ(rest.front().name, listed[at].name);
    EXPECT_EQ(rest.size(), listed.size() - at);
  }
  EXPECT_EQ(names_of(blobs.rest(GetParam())), names_of(listed));
}

TEST_P(DirectoryTest, SendsNoTornEntryIntoABufferThatHoldsNone) {
  ListedDirectory blobs{kernel, kBlobs};
  const std::uint64_t first_blob = blobs.rest(GetParam())[1].next;
  for (const std::uint32_t size : {0U, 1U, 23U, 24U, room(kBlobName) - 1}) {
    const auto piece = blobs.piece(GetParam(), first_blob, size);
    EXPECT_EQ(piece.error, 0) << size;
    EXPECT_THAT(piece.value, IsEmpty()) << size;
  }
  EXPECT_EQ(blobs.piece(GetParam(), first_blob, room(kBlobName)).value.size(), 1U);
}

TEST_P(DirectoryTest, IsAtItsEndBeyondItsEnd) {
  ListedDirectory blobs{kernel, kBlobs};
  const std::uint64_t end = blobs.rest(GetParam()).back().next;
  for (const std::uint64_t offset :
       {end, end + 1, end + 1000, std::uint64_t{std::numeric_limits<std::int64_t>::max()}}) {
    const auto piece = blobs.piece(GetParam(), offset, 4096);
    EXPECT_EQ(piece.error, 0) << offset;
    EXPECT_THAT(piece.value, IsEmpty()) << offset;
  }
}

TEST_P(DirectoryTest, TellsNumbersAndKindsAsLookupDoes) {
  for (const char* path : {"", "models", "models/bulk", kModel, kBlobs, "archives/bulk"}) {
    ListedDirectory directory{kernel, path};
    for (const ListedName& entry : directory.rest(GetParam())) {
      const fuse_attr attr = kernel.lookup(directory.node(), entry.name).value.attr;
      EXPECT_EQ(entry.ino, attr.ino) << entry.name;
      EXPECT_EQ(entry.type, attr.mode >> 12) << entry.name;  // DT_REG is S_IFREG >> 12
    }
  }
}

TEST_P(DirectoryTest, IsInTheOrderOfNames) {
  ListedDirectory directory{kernel, "models/bulk"};
  const auto listed = names_of(directory.rest(GetParam(), 0, 500));
  EXPECT_EQ(listed.size(), 43U);  // 40 models, the one of tensors, "." and ".."
  EXPECT_TRUE(std::ranges::is_sorted(listed));
}

TEST_P(DirectoryTest, HasTheBlobsOfAModelBeforeItsManifests) {
  ListedDirectory directory{kernel, kModel};
  EXPECT_THAT(names_of(directory.rest(GetParam())), ElementsAre(".", "..", "blobs", "manifests"));
}

TEST_P(DirectoryTest, SurvivesAForgetWhileItIsListed) {
  ListedDirectory blobs{kernel, kBlobs};
  const auto names = names_of(blobs.rest(GetParam()));
  kernel.tell(FUSE_FORGET, blobs.node(), bytes_of(fuse_forget_in{1}));
  EXPECT_EQ(names_of(blobs.rest(GetParam())), names);
}

// What readdirplus adds: the node of every entry.
class ReaddirplusTest : public ::testing::Test {
 protected:
  ServedStore store{fill};
  FakeKernel kernel{store.fs()};
};

// The files of the root.
bool is_late(std::string_view name) {
  return name == "README.txt" || name == "index.html";
}

TEST_F(ReaddirplusTest, GivesEveryNodeAsLookupDoes) {
  for (const char* path : {"", "models", "models/bulk", kModel, kBlobs, "archives/bulk"}) {
    const std::uint64_t node = kernel.walk(path);
    for (const ListedName& entry : kernel.list(node)) {
      if (entry.name == "." || entry.name == "..") continue;
      const auto found = kernel.lookup(node, entry.name).value;
      if (is_late(entry.name)) continue;
      EXPECT_NE(entry.entry.nodeid, 0U);
      EXPECT_EQ(bytes_of(entry.entry), bytes_of(found)) << entry.name;
    }
  }
}

// To list a directory is no reason to make the files in it, for nothing but their sizes.
TEST_F(ReaddirplusTest, GivesAFileThatIsMadeLateOnceItsSizeIsKnown) {
  const std::uint64_t root = kernel.walk("");
  const auto late = [&] {
    std::vector<fuse_entry_out> entries;
    for (const auto& entry : kernel.list(root)) {
      if (is_late(entry.name)) entries.push_back(entry.entry);
    }
    return entries;
  };
  ASSERT_EQ(late().size(), 2U);
  for (const auto& entry : late()) EXPECT_EQ(entry.nodeid, 0U);
  const auto readme = kernel.lookup(root, "README.txt").value;
  EXPECT_EQ(bytes_of(late()[0]), bytes_of(readme));
  EXPECT_EQ(late()[1].nodeid, 0U);
}

// The kernel knows these two; a node with them would count as a lookup that it never forgets.
TEST_F(ReaddirplusTest, GivesNoNodesForDotAndDotDot) {
  for (const char* path : {"", "models", kModel, kBlobs}) {
    const std::uint64_t node = kernel.walk(path);
    const auto listed = kernel.list(node);
    ASSERT_GT(listed.size(), 2U);
    EXPECT_EQ(listed[0].name, ".");
    EXPECT_EQ(listed[0].ino, node);
    EXPECT_EQ(listed[0].entry.nodeid, 0U);
    EXPECT_EQ(listed[1].name, "..");
    EXPECT_EQ(listed[1].ino, kernel.lookup(node, "..").value.nodeid);
    EXPECT_EQ(listed[1].entry.nodeid, 0U);
  }
}

TEST_F(ReaddirplusTest, TellsFilesFromDirectories) {
  const auto listed = kernel.list(FUSE_ROOT_ID);
  EXPECT_THAT(names_of(listed), ElementsAre(".", "..", "README.txt", "archives", "contents",
                                            "index.html", "layouts", "models"));
  EXPECT_EQ(listed[2].type, static_cast<std::uint32_t>(DT_REG));
  EXPECT_EQ(listed[3].type, static_cast<std::uint32_t>(DT_DIR));
}

// The kernel opens directories by itself from then on, and keeps their listings.
TEST_F(ReaddirplusTest, NeedsNoOpendir) {
  EXPECT_EQ(kernel.opendir(FUSE_ROOT_ID).error, ENOSYS);
}

// Linux before 5.1 does not.
TEST(OldKernel, IsGivenDirectoriesWhoseListingsItMayKeep) {
  ServedStore store{fill};
  FakeKernel kernel{store.fs(), {.handshake = false}};
  ASSERT_EQ(kernel.init(FakeKernel::kOffersAll & ~std::uint32_t{FUSE_NO_OPENDIR_SUPPORT}).error, 0);
  const auto opened = kernel.opendir(FUSE_ROOT_ID);
  ASSERT_EQ(opened.error, 0);
  EXPECT_EQ(opened.value.open_flags, std::uint32_t{FOPEN_CACHE_DIR | FOPEN_KEEP_CACHE});
  EXPECT_EQ(kernel.list(FUSE_ROOT_ID).size(), 8U);
  EXPECT_EQ(kernel.releasedir(FUSE_ROOT_ID), 0);
}

TEST_F(ReaddirplusTest, IsNotForFiles) {
  const std::string manifest =
      std::string{kModel} + "/manifests/registry.ollama.ai/bulk/tensors/latest";
  const std::string blob = std::string{kBlobs} + "/" + kernel.list(kernel.walk(kBlobs))[2].name;
  for (const std::string& path :
       {std::string{"README.txt"}, std::string{"archives/bulk/tensors+latest.tar"}, manifest,
        blob}) {
    EXPECT_EQ(kernel.readdirplus(kernel.walk(path)).error, ENOTDIR) << path;
  }
}

}  // namespace
}  // namespace ollamafs::test
