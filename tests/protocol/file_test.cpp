// How the kernel reads files, and what it gets of models that are broken or break.

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <filesystem>
#include <limits>
#include <map>
#include <random>
#include <string>
#include <vector>

#include "store/layout/tar_header.h"
#include "tests/protocol/fake_kernel.h"
#include "tests/protocol/opened.h"
#include "tests/protocol/served_store.h"
#include "tests/support/sample_store.h"

namespace ollamafs::test {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::StartsWith;
using ::testing::UnorderedElementsAre;

constexpr std::uint32_t kMiB = 1 << 20;
constexpr std::size_t kWeights = 3'000'000;

// The one answer to a range: what of it the file has.
void expect_range(OpenedFile& file, const std::string& content, std::uint64_t offset,
                  std::uint32_t size) {
  const auto answer = file.read(offset, size);
  EXPECT_EQ(answer.error, 0);
  const std::string expected = offset < content.size() ? content.substr(offset, size) : "";
  // Not EXPECT_EQ: it would print megabytes.
  EXPECT_TRUE(answer.value == expected)
      << size << " bytes at " << offset << ": got " << answer.value.size() << ", not "
      << expected.size() << " or others";
}

// Two models that share small blobs but not their weights.
class FileTest : public ::testing::Test {
 protected:
  FileTest()
      : store{[this](const StoreBuilder& builder) {
          model = builder.text_model(1, kWeights);
          builder.v1("one:a", model);
          ManifestSpec other = model;
          other.layers.push_back(builder.layer(kSystemType, "You are brief."));
          builder.v1("two:b", other);
          builder.v1("three:c", builder.text_model(3));
        }},
        kernel{store.fs()} {}

  std::string blob_path() const { return "models/one+a/blobs/" + blob_name(model.layers[0]); }

  // What is open when all that was released is closed.
  BlobPool::Usage usage() {
    kernel.settle();
    return store.fs().usage();
  }

  // A member of an archive, put together from the store's file.
  static std::string member(const std::string& path, const std::string& content,
                            const Digest& digest) {
    return tar_header(path, content.size(), content_time(digest)) + content +
           std::string(tar_padding(content.size()), '\0');
  }

  // The archive of one:a, put together by hand, and where its pieces meet.
  std::string archive() {
    std::vector<LayerSpec> blobs = model.layers;
    blobs.push_back(*model.config);
    std::ranges::sort(blobs, {}, &LayerSpec::digest);
    std::string tar;
    for (const LayerSpec& blob : blobs) {
      const std::string bytes = read_file(store.blob(blob));
      tar += member("blobs/" + blob_name(blob), bytes, *Digest::parse(blob.digest));
      borders.push_back(tar.size() - tar_padding(bytes.size()) - bytes.size());
      borders.push_back(tar.size() - tar_padding(bytes.size()));
      borders.push_back(tar.size());
    }
    const std::string json = model.json();
    tar += member("manifests/registry.ollama.ai/library/one/a", json, Digest::of(json));
    tar += std::string(2 * kTarBlock, '\0');
    return tar + std::string(tar_padding(tar.size(), kTarRecord), '\0');
  }

  ManifestSpec model;  // one:a
  std::vector<std::uint64_t> borders;
  ServedStore store;
  FakeKernel kernel;
};

constexpr const char* kManifest = "models/one+a/manifests/registry.ollama.ai/library/one/a";
constexpr const char* kArchive = "archives/one+a.tar";

// ---- opening ----

TEST_F(FileTest, OpensForReadingOnly) {
  for (const std::string& path : {blob_path(), std::string{kManifest}, std::string{kArchive}}) {
    const std::uint64_t node = kernel.walk(path);
    EXPECT_EQ(kernel.open(node, O_WRONLY).error, EROFS) << path;
    EXPECT_EQ(kernel.open(node, O_RDWR).error, EROFS) << path;
  }
  EXPECT_EQ(usage().blobs, 0U);
}

TEST_F(FileTest, OpensNoDirectory) {
  for (const char* path : {"", "models", "models/one+a", "models/one+a/blobs"}) {
    EXPECT_EQ(kernel.open(kernel.walk(path)).error, EISDIR) << path;
  }
}

// Content never changes under a number, so what the kernel has read stays true.
TEST_F(FileTest, LetsTheKernelCacheAllButArchives) {
  for (const std::string& path : {blob_path(), std::string{kManifest}, std::string{kArchive}}) {
    const std::uint64_t node = kernel.walk(path);
    const fuse_open_out opened = kernel.open(node).value;
    const bool past_it = path == kArchive;
    EXPECT_EQ((opened.open_flags & FOPEN_KEEP_CACHE) != 0, !past_it) << path;
    EXPECT_EQ((opened.open_flags & FOPEN_DIRECT_IO) != 0, past_it) << path;
    EXPECT_EQ(kernel.release(node, opened.fh), 0);
  }
}

TEST_F(FileTest, HoldsABlobOnceAndToItsLastRelease) {
  OpenedFile first{kernel, blob_path()};
  OpenedFile second{kernel, blob_path()};
  EXPECT_NE(first.handle(), second.handle());
  EXPECT_EQ(usage().descriptors, 1U);
  first.close();
  EXPECT_EQ(usage().descriptors, 1U);
  expect_range(second, read_file(store.blob(model.layers[0])), 0, 4096);
  second.close();
  EXPECT_EQ(usage().blobs, 0U);
  EXPECT_EQ(usage().descriptors, 0U);
}

TEST_F(FileTest, HoldsTheBlobsOfAnArchiveToItsRelease) {
  OpenedFile archive_file{kernel, kArchive};
  OpenedFile weights{kernel, blob_path()};
  EXPECT_EQ(usage().blobs, 4U);  // weights, template, params, config
  EXPECT_EQ(usage().descriptors, 1U);
  EXPECT_GT(usage().memory, 0U);
  weights.close();
  EXPECT_EQ(usage().blobs, 4U);
  archive_file.close();
  EXPECT_EQ(usage().blobs, 0U);
  EXPECT_EQ(usage().memory, 0U);
}

// ---- reading ----

TEST_F(FileTest, ReadsABlobWherever) {
  OpenedFile file{kernel, blob_path()};
  const std::string content = read_file(store.blob(model.layers[0]));
  const std::uint64_t end = content.size();
  for (const std::uint32_t size : {0U, 1U, 4096U, 128U << 10, kMiB}) {
    for (const std::uint64_t offset :
         {std::uint64_t{0}, std::uint64_t{1}, std::uint64_t{4095}, end - kMiB, end - 4096, end - 1,
          end, end + 1, end + kMiB, std::uint64_t{std::numeric_limits<std::int64_t>::max()}}) {
      expect_range(file, content, offset, size);
    }
  }
}

TEST_F(FileTest, ReadsGeneratedFilesWherever) {
  OpenedFile manifest{kernel, kManifest};
  const std::string content = model.json();
  for (std::uint64_t offset = 0; offset <= content.size() + 1; offset += 7) {
    expect_range(manifest, content, offset, 10);
    expect_range(manifest, content, offset, kMiB);
  }
  EXPECT_THAT(kernel.content(kernel.walk("README.txt")), HasSubstr("/view/models/one+a"));
}

TEST_F(FileTest, ReadsAnArchiveAcrossAllItsBorders) {
  const std::string content = archive();
  OpenedFile file{kernel, kArchive};
  ASSERT_EQ(kernel.getattr(file.node()).value.attr.size, content.size());
  borders.insert(borders.end(), {0, content.size()});
  for (const std::uint64_t border : borders) {
    for (const std::uint64_t before : {0u, 1u, 511u, 512u, 513u, 70'000u}) {
      const std::uint64_t offset = border - std::min(border, before);
      for (const std::uint32_t size : {1U, 2U, 1024U, 140'000U, kMiB}) {
        expect_range(file, content, offset, size);
      }
    }
  }
}

TEST_F(FileTest, ReadsAnArchiveAnywhere) {
  const std::string content = archive();
  OpenedFile file{kernel, kArchive};
  std::mt19937 random{20};
  for (int i = 0; i < 300; ++i) {
    expect_range(file, content, random() % (content.size() + 5000), random() % kMiB);
  }
}

// ---- models that are broken ----

// One file that cannot be read stands for all that is in it, and then the listing fails; no other
// name leads on (docs/view.md §4).
void expect_no_way_into(FakeKernel& kernel, std::uint64_t directory) {
  const auto listed = kernel.readdirplus(directory);
  ASSERT_EQ(listed.error, 0);
  std::vector<std::string> names;
  for (const ListedName& entry : listed.value) {
    EXPECT_EQ(entry.entry.nodeid, 0U) << entry.name;
    names.push_back(entry.name);
  }
  EXPECT_THAT(names, UnorderedElementsAre(".", "..", "BROKEN"));
  EXPECT_EQ(kernel.readdirplus(directory, listed.value.back().next).error, EIO);
  EXPECT_EQ(kernel.lookup(directory, "..").error, 0);
  EXPECT_EQ(kernel.lookup(directory, "blobs").error, EIO);
  EXPECT_EQ(kernel.lookup(directory, "manifests").error, EIO);

  const auto stand_in = kernel.lookup(directory, "BROKEN");
  ASSERT_EQ(stand_in.error, 0);
  EXPECT_TRUE(S_ISREG(stand_in.value.attr.mode));
  EXPECT_GT(stand_in.value.attr.size, 0U);
  EXPECT_EQ(kernel.open(stand_in.value.nodeid).error, EIO);
}

TEST(BrokenModel, CannotBeListedOrReadAsIfItWereWhole) {
  ServedStore store{[](const StoreBuilder& builder) {
    write_broken_models(builder);
    builder.v1("fine:latest", builder.text_model(30));
  }};
  FakeKernel kernel{store.fs()};
  for (const std::string name : {"missing", "short", "climbing"}) {
    const std::string model = "models/broken/" + name + "+latest";
    expect_no_way_into(kernel, kernel.walk(model));
    EXPECT_EQ(kernel.open(kernel.walk("archives/broken/" + name + "+latest.tar")).error, EIO);
    EXPECT_THAT(kernel.getxattr(kernel.walk(model), "user.ollamafs.state", 4096).value,
                StartsWith("broken: "));
  }
  EXPECT_EQ(kernel.list(kernel.walk("models/broken")).size(), 5U);  // it is listed all the same
}

TEST(BrokenModel, LeavesTheBlobsThatItSharesReadable) {
  ServedStore store{[](const StoreBuilder& builder) {
    write_broken_models(builder);
    builder.v1("fine:latest", builder.text_model(30));
  }};
  FakeKernel kernel{store.fs()};
  for (const ListedName& entry : kernel.list(kernel.walk("models/fine+latest/blobs"))) {
    if (entry.name.starts_with('.')) continue;
    const std::string content = kernel.content(entry.ino);
    EXPECT_EQ(Digest::of(content).blob_name(), entry.name);
  }
}

// ---- blobs that fail while they are open ----

class CutBlob : public FileTest {
 protected:
  // The nodes of a model's directories, and of its manifest behind them.
  std::vector<std::uint64_t> way_to_manifest(const std::string& directory) {
    const std::string name = directory.substr(0, directory.find('+'));
    const std::string tag = directory.substr(directory.find('+') + 1);
    std::vector<std::uint64_t> nodes{kernel.walk("models/" + directory)};
    for (const std::string& part : {std::string{"manifests"}, std::string{"registry.ollama.ai"},
                                    std::string{"library"}, name, tag}) {
      nodes.push_back(kernel.lookup(nodes.back(), part).value.nodeid);
    }
    return nodes;
  }

  void cut() { std::filesystem::resize_file(store.blob(model.layers[0]), kCut); }

  static constexpr std::uint64_t kCut = 1'500'000;
};

TEST_F(CutBlob, FailsARequestThatHoldsTheFirstMissingByteAsAWhole) {
  const std::string content = read_file(store.blob(model.layers[0]));
  OpenedFile file{kernel, blob_path()};
  cut();
  expect_range(file, content, kCut - 4096, 4096);
  EXPECT_EQ(file.read(kCut - 4095, 4096).error, EIO);
  EXPECT_EQ(file.read(kCut - kMiB / 2, kMiB).error, EIO);
  EXPECT_EQ(file.read(kCut, 1).error, EIO);
  EXPECT_EQ(file.read(content.size() - 1, 1).error, EIO);
  EXPECT_EQ(file.read(content.size(), 4096).error, 0);  // the end is where it was promised
}

TEST_F(CutBlob, FailsARequestToTheArchiveAsAWhole) {
  const std::string content = archive();
  OpenedFile file{kernel, kArchive};
  cut();
  const std::uint64_t missing =
      content.find(read_file(store.blob(model.layers[0])).substr(0, 4096)) + kCut;
  expect_range(file, content, missing - 4096, 4096);
  EXPECT_EQ(file.read(missing - 4095, 4096).error, EIO);
  EXPECT_EQ(file.read(missing - kMiB / 2, kMiB).error, EIO);
}

// Copiers read blobs first: none that met the error may get the manifest.
TEST_F(CutBlob, BreaksEveryModelThatNamesIt) {
  OpenedFile file{kernel, blob_path()};
  cut();
  std::map<std::string, std::vector<std::uint64_t>> before;  // nobody knows yet
  for (const std::string name : {"one+a", "two+b"}) before[name] = way_to_manifest(name);
  EXPECT_EQ(file.read(kCut, 4096).error, EIO);
  for (const auto& [name, nodes] : before) {
    for (std::size_t i = 0; i + 1 < nodes.size(); ++i) expect_no_way_into(kernel, nodes[i]);
    EXPECT_EQ(kernel.open(nodes.back()).error, EIO);
    EXPECT_EQ(kernel.open(kernel.walk("archives/" + name + ".tar")).error, EIO) << name;
    EXPECT_THAT(kernel.getxattr(kernel.walk("models/" + name), "user.ollamafs.state", 4096).value,
                HasSubstr(blob_name(model.layers[0])));
  }
}

TEST_F(CutBlob, LeavesOtherModelsAlone) {
  OpenedFile file{kernel, blob_path()};
  cut();
  EXPECT_EQ(file.read(kCut, 4096).error, EIO);
  EXPECT_EQ(kernel.list(kernel.walk("models/three+c")).size(), 4U);
  EXPECT_EQ(kernel.content(kernel.walk("archives/three+c.tar")).size() % kTarRecord, 0U);
}

TEST_F(CutBlob, IsReportedOnceByName) {
  OpenedFile file{kernel, blob_path()};
  OpenedFile in_archive{kernel, "archives/two+b.tar"};
  cut();
  EXPECT_EQ(file.read(kCut, 4096).error, EIO);
  EXPECT_EQ(file.read(kCut, 4096).error, EIO);
  EXPECT_THAT(store.complaints(), ElementsAre(HasSubstr(blob_name(model.layers[0]))));
}

TEST_F(CutBlob, ThatWasCutBeforeItWasOpenedCannotBeOpened) {
  EXPECT_THAT(store.complaints(), IsEmpty());
  cut();
  EXPECT_EQ(kernel.open(kernel.walk(blob_path())).error, EIO);
  expect_no_way_into(kernel, kernel.walk("models/one+a"));
  EXPECT_THAT(store.complaints(), ElementsAre(HasSubstr(blob_name(model.layers[0]))));
  EXPECT_EQ(usage().blobs, 0U);
}

}  // namespace
}  // namespace ollamafs::test
