// What the kernel is told about the nodes of the view.

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <functional>
#include <string>

#include "tests/protocol/fake_kernel.h"
#include "tests/protocol/served_store.h"
#include "tests/support/sample_store.h"

namespace ollamafs::test {
namespace {

using ::testing::IsEmpty;

constexpr std::uint64_t kHour = 3600;

// The time that content of a digest shows (docs/view.md §2), worked out from its digits.
std::uint64_t time_of(const Digest& digest) {
  constexpr std::uint64_t start = 1688169600;  // date -ud 2023-07-01 +%s
  return start + 2 * std::stoull(digest.hex().substr(0, 6), nullptr, 16);
}

// Two models with one set of weights, whose size is no multiple of a block.
class NodeTest : public ::testing::Test {
 protected:
  NodeTest()
      : store{[this](const StoreBuilder& builder) {
          ManifestSpec model = builder.text_model(1, 100'001);
          weights = model.layers[0];
          builder.v1("one:a", model);
          model.layers.push_back(builder.layer(kSystemType, "You are brief."));
          manifest = model.json();
          builder.v1("me/two:b", model);
        }},
        kernel{store.fs()} {}

  std::uint64_t blob() { return kernel.walk("models/one+a/blobs/" + blob_name(weights)); }

  LayerSpec weights;
  std::string manifest;  // of the second model
  ServedStore store;
  FakeKernel kernel;
};

constexpr const char* kDirectory = "models/me/two+b";
constexpr const char* kManifest = "models/me/two+b/manifests/registry.ollama.ai/me/two/b";
constexpr const char* kArchive = "archives/me/two+b.tar";

TEST_F(NodeTest, ABlobShowsItsSizeItsBlocksAndHowOftenItIsVisible) {
  const fuse_attr attr = kernel.getattr(blob()).value.attr;
  EXPECT_EQ(attr.ino, blob());
  EXPECT_EQ(attr.mode, static_cast<std::uint32_t>(S_IFREG | 0644));
  EXPECT_EQ(attr.size, 100'005U);  // "GGUF" and the rest
  EXPECT_EQ(attr.blocks, 196U);    // of 512 bytes, the last one not full
  EXPECT_EQ(attr.nlink, 11U);      // two models in five views, and in layouts/ollama
}

TEST_F(NodeTest, ABlobIsOneNodeInEveryModel) {
  EXPECT_EQ(blob(), kernel.walk(std::string{kDirectory} + "/blobs/" + blob_name(weights)));
}

TEST_F(NodeTest, ADirectoryShowsItsModeAndItsSubdirectories) {
  const fuse_attr attr = kernel.getattr(kernel.walk(kDirectory)).value.attr;
  EXPECT_EQ(attr.mode, static_cast<std::uint32_t>(S_IFDIR | 0755));
  EXPECT_EQ(attr.nlink, 4U);  // its name, its ".", and the ".." of blobs/ and manifests/
}

TEST_F(NodeTest, ABlobsTimeComesFromItsDigest) {
  EXPECT_EQ(kernel.getattr(blob()).value.attr.mtime, time_of(*Digest::parse(weights.digest)));
}

TEST_F(NodeTest, AModelShowsTheTimeOfItsManifestInEvenSeconds) {
  const auto path = store.builder().v1_path(*ModelName::parse("me/two:b"));
  const timespec odd[] = {{1'700'000'001, 999}, {1'700'000'001, 999}};
  ASSERT_EQ(::utimensat(AT_FDCWD, path.c_str(), odd, 0), 0);
  store.rescan();
  const auto mtime = [this](const std::string& shown) {
    return kernel.getattr(kernel.walk(shown)).value.attr.mtime;
  };
  EXPECT_EQ(mtime(kManifest), 1'700'000'000U);
  EXPECT_EQ(mtime(kArchive), 1'700'000'000U);
  for (const char* below : {"", "/blobs", "/manifests", "/manifests/registry.ollama.ai"}) {
    EXPECT_EQ(mtime(kDirectory + std::string{below}), 1'700'000'000U) << below;
  }
  EXPECT_EQ(mtime("archives/me"), 1'700'000'000U);  // the newest, and only one, below
  EXPECT_EQ(kernel.getattr(kernel.walk(kManifest)).value.attr.size, manifest.size());
}

TEST_F(NodeTest, TheOwnerIsTheOwnerOfTheStoresFile) {
  if (::geteuid() == 0) {  // else everything has one owner
    ASSERT_EQ(::chown(store.blob(weights).c_str(), 1234, 2345), 0);
  }
  struct stat st {};
  ASSERT_EQ(::stat(store.blob(weights).c_str(), &st), 0);
  store.rescan();
  const fuse_attr attr = kernel.getattr(blob()).value.attr;
  EXPECT_EQ(attr.uid, st.st_uid);
  EXPECT_EQ(attr.gid, st.st_gid);
}

TEST_F(NodeTest, AnUnknownNumberIsStaleWhateverIsAsked) {
  for (const std::uint64_t number : {std::uint64_t{0}, std::uint64_t{2}, ~std::uint64_t{0},
                                     blob() + 1, blob() | (std::uint64_t{1} << 63)}) {
    EXPECT_EQ(kernel.lookup(number, "any").error, ESTALE);
    EXPECT_EQ(kernel.lookup(number, ".").error, ESTALE);  // a file handle of long ago
    EXPECT_EQ(kernel.getattr(number).error, ESTALE);
    EXPECT_EQ(kernel.open(number).error, ESTALE);
    EXPECT_EQ(kernel.open(number, O_RDWR).error, ESTALE);
    EXPECT_EQ(kernel.readdirplus(number).error, ESTALE);
    EXPECT_EQ(kernel.getxattr(number, "user.ollamafs.digest", 100).error, ESTALE);
    EXPECT_EQ(kernel.listxattr(number, 100).error, ESTALE);
  }
}

TEST_F(NodeTest, AMissingNameIsNotThere) {
  const std::uint64_t models = kernel.walk("models");
  for (const char* name : {"one", "one+A", "one+a ", "", "one+a/blobs", "...", "one:a"}) {
    EXPECT_EQ(kernel.lookup(models, name).error, ENOENT) << name;
  }
  EXPECT_EQ(kernel.lookup(blob(), "anything").error, ENOENT);
}

// The kernel asks so for the nodes of file handles that it does not know any more.
TEST_F(NodeTest, DotIsTheNodeItself) {
  const std::uint64_t numbers[] = {FUSE_ROOT_ID, kernel.walk(kDirectory), kernel.walk(kArchive),
                                   kernel.walk(kManifest), blob()};
  for (const std::uint64_t number : numbers) {
    const auto answer = kernel.lookup(number, ".");
    EXPECT_EQ(answer.error, 0);
    EXPECT_EQ(answer.value.nodeid, number);
    EXPECT_EQ(answer.value.attr.ino, number);
  }
}

TEST_F(NodeTest, DotDotIsTheParent) {
  EXPECT_EQ(kernel.walk(std::string{kDirectory} + "/blobs/.."), kernel.walk(kDirectory));
  EXPECT_EQ(kernel.walk("models/me/.."), kernel.walk("models"));
  EXPECT_EQ(kernel.walk("models/.."), static_cast<std::uint64_t>(FUSE_ROOT_ID));
  EXPECT_EQ(kernel.walk(".."), static_cast<std::uint64_t>(FUSE_ROOT_ID));
}

TEST_F(NodeTest, ForgettingIsNotAnsweredAndChangesNothing) {
  const std::uint64_t node = blob();
  kernel.tell(FUSE_FORGET, node, bytes_of(fuse_forget_in{1'000'000}));
  kernel.tell(FUSE_FORGET, 4711, bytes_of(fuse_forget_in{1}));
  kernel.tell(FUSE_BATCH_FORGET, 0,
              bytes_of(fuse_batch_forget_in{3, 0}) + bytes_of(fuse_forget_one{node, 7}) +
                  bytes_of(fuse_forget_one{FUSE_ROOT_ID, 1}) + bytes_of(fuse_forget_one{4711, 1}));
  // The session has one thread: this comes after whatever it had to say to those.
  EXPECT_EQ(kernel.getattr(node).error, 0);
  EXPECT_THAT(kernel.strays(), IsEmpty());
  EXPECT_EQ(blob(), node);
}

TEST_F(NodeTest, TheFileSystemIsFull) {
  const fuse_kstatfs st = kernel.statfs().value.st;
  EXPECT_GT(st.blocks, 0U);
  EXPECT_GT(st.bsize, 0U);
  EXPECT_EQ(st.bfree, 0U);
  EXPECT_EQ(st.bavail, 0U);
  EXPECT_EQ(st.ffree, 0U);
  EXPECT_EQ(st.namelen, 255U);
}

TEST_F(NodeTest, AnAttributeIsMeasuredThenRead) {
  const std::string name = "user.ollamafs.digest";
  const auto size = static_cast<std::uint32_t>(weights.digest.size());
  EXPECT_EQ(decode<fuse_getxattr_out>(kernel.getxattr(blob(), name, 0).value).size, size);
  EXPECT_EQ(kernel.getxattr(blob(), name, size).value, weights.digest);
  EXPECT_EQ(kernel.getxattr(blob(), name, 4096).value, weights.digest);
  EXPECT_EQ(kernel.getxattr(blob(), name, size - 1).error, ERANGE);
  EXPECT_EQ(kernel.getxattr(blob(), name, 1).error, ERANGE);
}

TEST_F(NodeTest, AnAttributeThatANodeDoesNotHaveIsNoData) {
  for (const std::uint32_t size : {0U, 100U}) {
    EXPECT_EQ(kernel.getxattr(blob(), "user.ollamafs.name", size).error, ENODATA);  // it has many
    EXPECT_EQ(kernel.getxattr(FUSE_ROOT_ID, "user.ollamafs.digest", size).error, ENODATA);
  }
}

TEST_F(NodeTest, AnAttributeOfAnotherKindIsNotSupported) {
  for (const std::uint32_t size : {0U, 100U}) {
    for (const char* name : {"security.capability", "system.posix_acl_access", "trusted.x", ""}) {
      EXPECT_EQ(kernel.getxattr(blob(), name, size).error, EOPNOTSUPP) << name;
    }
  }
}

TEST_F(NodeTest, TheListOfAttributesIsMeasuredThenRead) {
  const std::string names{"user.ollamafs.digest\0", 21};
  EXPECT_EQ(decode<fuse_getxattr_out>(kernel.listxattr(blob(), 0).value).size, names.size());
  EXPECT_EQ(kernel.listxattr(blob(), 21).value, names);
  EXPECT_EQ(kernel.listxattr(blob(), 20).error, ERANGE);
  for (const std::uint32_t size : {0U, 100U}) {
    EXPECT_EQ(kernel.listxattr(FUSE_ROOT_ID, size).error, EOPNOTSUPP);
  }
}

TEST_F(NodeTest, AModelTellsItsNameItsIdAndItsState) {
  const Digest digest = Digest::of(manifest);
  for (const char* path : {kDirectory, kManifest, kArchive}) {
    const std::uint64_t node = kernel.walk(path);
    const auto value = [&](const std::string& name) {
      return kernel.getxattr(node, "user.ollamafs." + name, 4096).value;
    };
    EXPECT_EQ(value("digest"), "sha256:" + digest.hex());
    EXPECT_EQ(value("id"), digest.hex().substr(0, 12));
    EXPECT_EQ(value("media_type"), kManifestType);
    EXPECT_EQ(value("name"), "me/two:b");
    EXPECT_EQ(value("state"), "whole");
    const std::string names = kernel.listxattr(node, 4096).value;
    EXPECT_EQ(std::ranges::count(names, '\0'), 5);
  }
}

// `cp -r` copies in this order. Several models: of one it could be chance.
TEST(NodesOfTheSampleStore, HaveBlobsBeforeManifestsInTheOrderOfNumbers) {
  ServedStore store{write_sample_models};
  FakeKernel kernel{store.fs()};
  const auto tree = store.scan();
  EXPECT_GT(tree->catalog().models().size(), 7U);
  for (const Model& model : tree->catalog().models()) {
    const std::string directory = "models/" + model.view_name;
    EXPECT_LT(kernel.walk(directory + "/blobs"), kernel.walk(directory + "/manifests"))
        << model.shown;
  }
}

TEST(NodesOfTheSampleStore, CanAllBeKeptByTheKernelAndTellTheirTimeInEvenSeconds) {
  ServedStore store{write_sample_models};
  FakeKernel kernel{store.fs()};
  std::size_t files = 0;
  const std::function<void(std::uint64_t)> check = [&](std::uint64_t directory) {
    for (const ListedName& listed : kernel.list(directory)) {
      if (listed.name == "." || listed.name == "..") continue;
      SCOPED_TRACE(listed.name);
      const fuse_entry_out entry = kernel.lookup(directory, listed.name).value;
      const fuse_attr_out attributes = kernel.getattr(entry.nodeid).value;
      const bool is_directory = S_ISDIR(entry.attr.mode);
      EXPECT_EQ(entry.generation, 1U);  // never 0, and for ever the same
      EXPECT_GT(entry.entry_valid, kHour);
      EXPECT_GT(entry.attr_valid, kHour);
      EXPECT_GT(attributes.attr_valid, kHour);
      EXPECT_EQ(bytes_of(entry.attr), bytes_of(attributes.attr));
      EXPECT_EQ(entry.attr.ino, entry.nodeid);
      EXPECT_EQ(entry.attr.mode & 07777, is_directory ? 0755U : 0644U);
      EXPECT_EQ(entry.attr.blocks, (entry.attr.size + 511) / 512);
      EXPECT_GE(entry.attr.nlink, is_directory ? 2U : 1U);
      EXPECT_EQ(entry.attr.mtime % 2, 0U);
      EXPECT_GE(entry.attr.mtime, 1'600'000'000U);
      EXPECT_EQ(entry.attr.ctime, entry.attr.mtime);
      EXPECT_EQ(entry.attr.atime, entry.attr.mtime);
      EXPECT_EQ(entry.attr.mtimensec, 0U);
      if (is_directory) {
        check(entry.nodeid);
      } else {
        ++files;
      }
    }
  };
  check(FUSE_ROOT_ID);
  EXPECT_GT(files, 50U);
}

}  // namespace
}  // namespace ollamafs::test
