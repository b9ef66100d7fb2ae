#include "fs/serve/file_system.h"

#include <gmock/gmock.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>

#include <algorithm>
#include <atomic>
#include <filesystem>
#include <functional>
#include <memory>
#include <random>
#include <string>
#include <thread>
#include <tuple>
#include <vector>

#include "fs/views/views.h"
#include "tests/support/process.h"
#include "tests/support/read_back.h"
#include "tests/support/store_builder.h"
#include "tests/support/temp_dir.h"
#include "tests/unit/fs/serve/listed.h"

namespace ollamafs::test {
namespace {

namespace fs = std::filesystem;
using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::StartsWith;

std::string name_of(const std::error_code& ec) {
  return ec ? ::strerrorname_np(ec.value()) : "ok";
}

Digest digest_of(const LayerSpec& layer) {
  return Digest::parse(layer.digest).value();
}

class FileSystemTest : public ::testing::Test {
 protected:
  [[nodiscard]] std::shared_ptr<const Tree> scan() const {
    return build_tree(Catalog::read(dir_), {}, {"/view", store_.root()});
  }
  void show(const BlobLimits& limits = {}) {
    fs_ = std::make_unique<FileSystem>(dir_, scan(), limits, [](const std::string& message) {
      ADD_FAILURE() << "no blob should fail: " << message;
    });
  }

  [[nodiscard]] NodeRef at(const fs::path& path) const {
    NodeRef node = fs_->find(kRootInode);
    for (const fs::path& name : path) {
      if (node) node.node = node.tree->lookup(*node, name.string());
    }
    return node;
  }
  std::unique_ptr<OpenFile> open(const fs::path& path) { return fs_->open_file(at(path), ec_); }
  std::string opened(const fs::path& path) {
    (void)open(path);
    return name_of(ec_);
  }
  std::string listed(const fs::path& path) { return listed_of(*fs_, at(path)); }
  std::string read(OpenFile& file, std::size_t size, std::uint64_t offset = 0) {
    const std::string out = bytes_of(*fs_, file, size, offset, ec_);
    return ec_ ? name_of(ec_) : out;
  }
  // A whole file of at most 10 MB.
  std::string content(const fs::path& path) {
    const auto file = open(path);
    return file ? read(*file, 10'000'000) : name_of(ec_);
  }
  std::string attribute(const fs::path& path, const std::string& name) {
    std::string value = fs_->attribute(at(path), name, ec_);
    return ec_ ? name_of(ec_) : value;
  }

  TempDir temp_;
  StoreBuilder store_{temp_ / "models"};
  StoreDir dir_{temp_ / "models", OutsideLinks::refuse};
  std::unique_ptr<FileSystem> fs_;
  std::error_code ec_;
};

constexpr const char* kManifest = "models/a+b/manifests/registry.ollama.ai/library/a/b";

TEST_F(FileSystemTest, FindsNodesByPathAndByNumber) {
  store_.v1("a:b", store_.text_model(1, 100));
  show();
  for (const char* path : {"", "README.txt", "models/a+b/blobs", kManifest, "archives/a+b.tar"}) {
    const NodeRef node = at(path);
    ASSERT_TRUE(node) << path;
    EXPECT_EQ(fs_->find(node->ino).node, node.node) << path;
  }
  EXPECT_EQ(at("models/a+b/../../archives/./a+b.tar").node, at("archives/a+b.tar").node);
  EXPECT_FALSE(at("models/a:b"));
  EXPECT_FALSE(at("archives/a+b"));
  EXPECT_FALSE(fs_->find(2));
}

TEST_F(FileSystemTest, TellsTheAttributesOfDesign2) {
  store_.v1("a:b", store_.text_model(1, 1021));  // 1025 bytes with its magic
  show();
  for (const auto& [path, mode, size, blocks] :
       std::vector<std::tuple<fs::path, mode_t, off_t, blkcnt_t>>{
           {"models/a+b/blobs" /
                fs::path{digest_of(store_.text_model(1, 1021).layers[0]).blob_name()},
            S_IFREG | 0644, 1025, 3},
           {"archives/a+b.tar", S_IFREG | 0644, 10240, 20},
           {"models/a+b", S_IFDIR | 0755, 0, 0}}) {
    const NodeRef node = at(path);
    ASSERT_TRUE(node) << path;
    const struct stat st = stat_of(*node.tree, *node);
    EXPECT_EQ(st.st_ino, node->ino);
    EXPECT_EQ(st.st_mode, mode) << path;
    EXPECT_EQ(st.st_size, size) << path;
    EXPECT_EQ(st.st_blocks, blocks) << path;
    EXPECT_EQ(st.st_nlink, node->nlink);
    EXPECT_GE(st.st_mtim.tv_sec, 1'688'169'600);
    for (const timespec& time : {st.st_mtim, st.st_ctim, st.st_atim}) {
      EXPECT_EQ(time.tv_sec, st.st_mtim.tv_sec);
      EXPECT_EQ(time.tv_nsec, 0);
    }
  }
}

TEST_F(FileSystemTest, GivesTheBytesOfEveryKindOfFile) {
  ManifestSpec manifest = store_.text_model(1, 100'000);
  manifest.end = "\n";
  const Digest digest = store_.v2("a:b", manifest);
  show();
  for (const LayerSpec& layer : manifest.layers) {
    const std::string blob = digest_of(layer).blob_name();
    EXPECT_EQ(content(fs::path{"models/a+b/blobs"} / blob),
              read_file(store_.root() / "blobs" / blob));
  }
  EXPECT_EQ(content(kManifest), manifest.json());
  EXPECT_EQ(Digest::of(content(kManifest)), digest);
  EXPECT_THAT(content("README.txt"), HasSubstr("/view/models/a+b/"));
  const std::string archive = content("archives/a+b.tar");
  EXPECT_EQ(archive.size(), at("archives/a+b.tar")->size);
  EXPECT_NE(archive.find(manifest.json()), std::string::npos);
}

// The archive and the model directory must agree: whoever unpacks one has the other.
TEST_F(FileSystemTest, HasInTheArchiveWhatTheDirectoryHas) {
  store_.v1("localhost:5000/team/a:b", store_.text_model(1, 100'000));
  show();
  write_file(temp_ / "a.tar", content("archives/localhost%3A5000/team/a+b.tar"));
  fs::create_directory(temp_ / "unpacked");
  must({"tar", "-xf", temp_ / "a.tar", "-C", temp_ / "unpacked"});
  int files = 0;
  for (const auto& entry : fs::recursive_directory_iterator{temp_ / "unpacked"}) {
    if (!entry.is_regular_file()) continue;
    ++files;
    EXPECT_EQ(content("models/localhost%3A5000/team/a+b" / fs::relative(entry, temp_ / "unpacked")),
              read_file(entry));
  }
  EXPECT_EQ(files, 5);
}

TEST_F(FileSystemTest, ReadsShortOnlyAtTheEnd) {
  store_.v1("a:b", store_.text_model(1, 996));
  show();
  const auto file = open("archives/a+b.tar");
  EXPECT_EQ(read(*file, 100, 10200).size(), 40u);
  EXPECT_EQ(read(*file, 100, 10239).size(), 1u);
  for (const std::uint64_t offset :
       {std::uint64_t{10240}, std::uint64_t{10241}, ~std::uint64_t{0}}) {
    EXPECT_EQ(read(*file, 100, offset), "");
    EXPECT_FALSE(ec_);
  }
  EXPECT_EQ(read(*file, 0, 0), "");
}

TEST_F(FileSystemTest, OpensDirectoriesAndFilesEachInTheirWay) {
  store_.v1("a:b", store_.text_model(1, 100));
  show();
  EXPECT_EQ(listed("archives/a+b.tar"), "ENOTDIR");
  EXPECT_EQ(opened("models/a+b"), "EISDIR");
  EXPECT_EQ(listed(""), "ok");
  EXPECT_EQ(listed("models/a+b/blobs"), "ok");
}

// ---- models that are broken in the store (docs/view.md §4) ----

struct Break {
  const char* name;
  std::function<void(const StoreBuilder&, const fs::path& blob)> act;
  const char* said;  // in the state
};

class BrokenInTheStore : public FileSystemTest, public ::testing::WithParamInterface<Break> {};

TEST_P(BrokenInTheStore, IsShownButNeverCopiedAsIfItWereWhole) {
  const ManifestSpec broken = store_.text_model(1, 1000), whole = store_.text_model(2, 1000);
  store_.v1("a:b", broken);
  store_.v1("whole:a", whole);
  GetParam().act(store_, store_.blob_path(digest_of(broken.layers[0])));
  show();
  for (const char* path : {"models/a+b", "models/a+b/blobs", "models/a+b/manifests",
                           "models/a+b/manifests/registry.ollama.ai",
                           "models/a+b/manifests/registry.ollama.ai/library",
                           "models/a+b/manifests/registry.ollama.ai/library/a"}) {
    ASSERT_TRUE(at(path)) << path;
    EXPECT_EQ(stat_of(*at(path).tree, *at(path)).st_mode, S_IFDIR | 0755u);
    EXPECT_EQ(listed(path), "BROKEN") << path;
  }
  EXPECT_EQ(opened(kManifest), "EIO");
  EXPECT_EQ(opened("archives/a+b.tar"), "EIO");
  for (const char* path : {"models/a+b", kManifest, "archives/a+b.tar"}) {
    EXPECT_THAT(attribute(path, "user.ollamafs.state"),
                AllOf(StartsWith("broken: "), HasSubstr(GetParam().said)));
  }
  // The other model has the same template, params and config.
  EXPECT_EQ(listed("models"), "ok");
  EXPECT_EQ(listed("models/whole+a/blobs"), "ok");
  for (const LayerSpec& layer : whole.layers) {
    EXPECT_EQ(content(fs::path{"models/whole+a/blobs"} / digest_of(layer).blob_name()),
              read_file(store_.blob_path(digest_of(layer))));
  }
  EXPECT_EQ(opened("archives/whole+a.tar"), "ok");
  EXPECT_EQ(attribute("archives/whole+a.tar", "user.ollamafs.state"), "whole");
}

INSTANTIATE_TEST_SUITE_P(
    Because, BrokenInTheStore,
    ::testing::Values(
        Break{"ABlobIsMissing", [](const auto&, const fs::path& blob) { fs::remove(blob); },
              "is missing"},
        Break{"ABlobIsShort",
              [](const auto&, const fs::path& blob) { fs::resize_file(blob, 1003); }, "1003 bytes"},
        Break{"ABlobIsLong", [](const auto&, const fs::path& blob) { fs::resize_file(blob, 1005); },
              "1005 bytes"},
        Break{"ABlobIsADirectory",
              [](const auto&, const fs::path& blob) {
                fs::remove(blob);
                fs::create_directory(blob);
              },
              "not a regular file"},
        Break{"ABlobIsAFifo",
              [](const auto&, const fs::path& blob) {
                fs::remove(blob);
                ASSERT_EQ(::mkfifo(blob.c_str(), 0644), 0);
              },
              "not a regular file"},
        Break{"ABlobLeadsOutOfTheStore",
              [](const StoreBuilder& store, const fs::path& blob) {
                fs::rename(blob, store.root().parent_path() / "outside");
                fs::create_symlink(store.root().parent_path() / "outside", blob);
              },
              "out of the store"},
        Break{"ADigestClimbs",
              [](const StoreBuilder& store, const fs::path&) {
                ManifestSpec manifest = store.text_model(1, 1000);
                manifest.layers[0].digest = "sha256:../../../../etc/passwd";
                store.v1("a:b", manifest);
              },
              "etc/passwd"}),
    [](const auto& test) { return std::string{test.param.name}; });

// ---- extended attributes ----

TEST_F(FileSystemTest, TellsInAttributesWhatAModelIs) {
  const ManifestSpec manifest = store_.text_model(1, 100);
  store_.v1("localhost:5000/team/a:b", manifest);
  show();
  const std::string digest = Digest::of(manifest.json()).hex();
  const std::string model = "models/localhost%3A5000/team/a+b";
  for (const std::string& path : {model, model + "/manifests/localhost:5000/team/a/b",
                                  std::string{"archives/localhost%3A5000/team/a+b.tar"}}) {
    EXPECT_THAT(attribute_names(at(path)),
                ElementsAre("user.ollamafs.digest", "user.ollamafs.id", "user.ollamafs.media_type",
                            "user.ollamafs.name", "user.ollamafs.state"));
    EXPECT_EQ(attribute(path, "user.ollamafs.digest"), "sha256:" + digest);
    EXPECT_EQ(attribute(path, "user.ollamafs.id"), digest.substr(0, 12));
    EXPECT_EQ(attribute(path, "user.ollamafs.media_type"), kManifestType);
    EXPECT_EQ(attribute(path, "user.ollamafs.name"), "localhost:5000/team/a:b");
    EXPECT_EQ(attribute(path, "user.ollamafs.state"), "whole");
  }
}

// A blob belongs to many models: it has no one name.
TEST_F(FileSystemTest, TellsOfABlobOnlyItsDigest) {
  const ManifestSpec manifest = store_.text_model(1, 100);
  store_.v1("a:b", manifest);
  show();
  const fs::path blob = fs::path{"models/a+b/blobs"} / digest_of(manifest.layers[0]).blob_name();
  EXPECT_THAT(attribute_names(at(blob)), ElementsAre("user.ollamafs.digest"));
  EXPECT_EQ(attribute(blob, "user.ollamafs.digest"), manifest.layers[0].digest);
  EXPECT_EQ(attribute(blob, "user.ollamafs.name"), "ENODATA");
}

TEST_F(FileSystemTest, HasNoOtherAttributes) {
  store_.v1("a:b", store_.text_model(1, 100));
  show();
  for (const char* path :
       {"", "README.txt", "models", "archives", "models/a+b/blobs", "models/a+b/manifests",
        "models/a+b/manifests/registry.ollama.ai/library/a"}) {
    EXPECT_THAT(attribute_names(at(path)), IsEmpty()) << path;
    EXPECT_EQ(attribute(path, "user.ollamafs.digest"), "ENODATA") << path;
  }
  for (const char* name :
       {"user.ollamafs.", "user.ollamafs.size", "user.ollamafs.digest2", "user.x"}) {
    EXPECT_EQ(attribute("models/a+b", name), "ENODATA") << name;
  }
  for (const char* name : {"", "digest", "security.capability", "system.posix_acl_access",
                           "trusted.overlay.opaque", "btrfs.compression"}) {
    EXPECT_EQ(attribute("models/a+b", name), "EOPNOTSUPP") << name;
  }
}

TEST_F(FileSystemTest, IsAsLargeAsTheStoresFileSystemAndFull) {
  show();
  struct statvfs expected {};
  ASSERT_EQ(::statvfs(store_.root().c_str(), &expected), 0);
  const struct statvfs st = fs_->statistics(ec_);
  EXPECT_FALSE(ec_);
  EXPECT_EQ(st.f_blocks, expected.f_blocks);
  EXPECT_EQ(st.f_frsize, expected.f_frsize);
  EXPECT_EQ(st.f_bfree, 0u);
  EXPECT_EQ(st.f_bavail, 0u);
  EXPECT_EQ(st.f_ffree, 0u);
  EXPECT_EQ(st.f_favail, 0u);
  EXPECT_EQ(st.f_namemax, 255u);
}

// ---- what is open ----

TEST_F(FileSystemTest, PutsAnArchiveTogetherOnceForAllItsOpens) {
  store_.v1("a:b", store_.text_model(1, 200'000));
  show();
  {
    const auto one = open("archives/a+b.tar"), two = open("archives/a+b.tar");
    EXPECT_EQ(one->content, two->content);
    EXPECT_EQ(fs_->usage().blobs, 4u);
    EXPECT_EQ(fs_->usage().descriptors, 1u);
    const auto blob = open(fs::path{"models/a+b/blobs"} /
                           digest_of(store_.text_model(1, 200'000).layers[0]).blob_name());
    EXPECT_EQ(fs_->usage().descriptors, 1u);  // shared with the archives
  }
  EXPECT_EQ(fs_->usage().blobs, 0u);
  EXPECT_EQ(fs_->usage().descriptors, 0u);
  EXPECT_EQ(fs_->usage().memory, 0u);
}

TEST_F(FileSystemTest, KeepsWhatIsOpenWhenTheStoreChanges) {
  const ManifestSpec manifest = store_.text_model(1, 200'000);
  store_.v1("a:b", manifest);
  show();
  const std::string whole = content("archives/a+b.tar");
  const InodeNumber ino = at("archives/a+b.tar")->ino;
  auto archive = open("archives/a+b.tar");

  fs::remove_all(store_.root() / "manifests");  // as `ollama rm` does
  fs::remove(store_.blob_path(digest_of(manifest.layers[0])));
  fs_->publish(scan());
  EXPECT_FALSE(at("archives/a+b.tar"));
  ASSERT_TRUE(fs_->find(ino)) << "fstat on an open file";
  EXPECT_EQ(stat_of(*fs_->find(ino).tree, *fs_->find(ino)).st_size,
            static_cast<off_t>(whole.size()));
  EXPECT_TRUE(read(*archive, whole.size()) == whole);

  archive.reset();
  EXPECT_FALSE(fs_->find(ino)) << "stale";
}

TEST_F(FileSystemTest, GivesEightThreadsWhatOneReads) {
  for (std::uint64_t i = 0; i < 4; ++i)
    store_.v1("a" + std::to_string(i) + ":b", store_.text_model(i, 150'000));
  show({.descriptors = 2, .memory = 1000, .small = 64 << 10});  // blobs held in all three ways
  std::vector<std::string> paths, contents;
  for (int i = 0; i < 4; ++i) {
    paths.push_back("archives/a" + std::to_string(i) + "+b.tar");
    contents.push_back(content(paths.back()));
    ASSERT_GT(contents.back().size(), 150'000u);
  }
  std::atomic<int> wrong = 0;
  std::vector<std::thread> threads;
  for (unsigned thread = 0; thread < 8; ++thread) {
    threads.emplace_back([&, thread] {
      std::mt19937_64 random{thread};
      std::string out;
      for (int i = 0; i < 10'000 / 8; ++i) {
        const std::size_t which = random() % 4;
        const std::uint64_t offset = random() % (contents[which].size() + 100);
        std::error_code ec;
        const auto file = fs_->open_file(at(paths[which]), ec);
        const std::size_t size = random() % 20'000;
        out.assign(size, '?');
        if (!ec) out = bytes_of(*fs_, *file, size, offset, ec);
        const std::string& whole = contents[which];
        if (ec || out != whole.substr(std::min(offset, whole.size()), size)) ++wrong;
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(wrong, 0);
  EXPECT_EQ(fs_->usage().blobs, 0u);
}

}  // namespace
}  // namespace ollamafs::test
