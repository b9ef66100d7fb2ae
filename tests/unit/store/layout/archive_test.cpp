#include "store/layout/archive.h"

#include <archive.h>
#include <archive_entry.h>
#include <gmock/gmock.h>
#include <sys/stat.h>

#include <algorithm>
#include <chrono>
#include <filesystem>
#include <fstream>
#include <limits>
#include <memory>
#include <random>
#include <stdexcept>
#include <string>
#include <variant>
#include <vector>

#include "store/catalog/model_query.h"
#include "store/layout/tar_header.h"
#include "tests/support/store_builder.h"
#include "tests/support/temp_dir.h"

namespace ollamafs::test {
namespace {

namespace fs = std::filesystem;
using ::testing::ElementsAreArray;

constexpr std::uint64_t kGiB = std::uint64_t{1} << 30;

// A store as it was when it was opened.
struct Store {
  explicit Store(const fs::path& root)
      : dir{root, OutsideLinks::refuse}, catalog{Catalog::read(dir)} {}

  [[nodiscard]] const Model& model(const std::string& shown) const {
    const Model* model = find_model(*catalog, shown);
    if (!model || !model->whole()) throw std::runtime_error{shown + " is not a whole model"};
    return *model;
  }

  StoreDir dir;
  std::shared_ptr<const Catalog> catalog;
};

// A model that is on no disk.
Model model_of(const std::string& name, const ManifestSpec& manifest) {
  const std::string json = manifest.json();
  return {.name = ModelName::parse(name).value(),
          .manifest = StoredManifest::from(json, std::get<Manifest>(parse_manifest(json)))};
}

// The bytes of [offset, offset + size) of the archive, blobs read straight from their files.
std::string bytes_of(const Layout& layout, const fs::path& blobs, std::uint64_t offset,
                     std::uint64_t size) {
  std::string out;
  layout.for_each_in(
      offset, size, [&](const Segment& segment, std::uint64_t at, std::uint64_t length) {
        if (segment.is_generated()) {
          out += layout.generated().substr(segment.source + at, length);
          return;
        }
        std::ifstream file{blobs / layout.blobs()[segment.blob].blob_name(), std::ios::binary};
        file.seekg(static_cast<std::streamoff>(segment.source + at));
        std::string piece(length, '\0');
        file.read(piece.data(), static_cast<std::streamsize>(length));
        EXPECT_EQ(static_cast<std::uint64_t>(file.gcount()), length);
        out += piece;
      });
  return out;
}

std::string whole_archive(const fs::path& store, const std::string& shown) {
  const Layout layout = archive_layout(Store{store}.model(shown));
  return bytes_of(layout, store / "blobs", 0, layout.size());
}

// What libarchive says about a member.
struct Member {
  std::string path;
  std::int64_t size = 0;
  std::int64_t mtime = 0;
  mode_t mode = 0;  // with the type
  std::string owner;
  std::string content;  // of members up to 1 MiB
};

// Lets libarchive read an archive that need not fit in memory: what it skips is not made.
class Reader {
 public:
  Reader(const Layout& layout, const fs::path& store) : layout_{layout}, blobs_{store / "blobs"} {}

  std::vector<Member> members() {
    const std::unique_ptr<archive, decltype(&archive_read_free)> tar{archive_read_new(),
                                                                     &archive_read_free};
    archive_read_support_format_tar(tar.get());
    archive_read_set_read_callback(tar.get(), on_read);
    archive_read_set_skip_callback(tar.get(), on_skip);
    archive_read_set_callback_data(tar.get(), this);
    EXPECT_EQ(archive_read_open1(tar.get()), ARCHIVE_OK);
    std::vector<Member> members;
    archive_entry* entry = nullptr;
    int status = ARCHIVE_OK;
    while ((status = archive_read_next_header(tar.get(), &entry)) == ARCHIVE_OK) {
      members.push_back({archive_entry_pathname(entry), archive_entry_size(entry),
                         archive_entry_mtime(entry), archive_entry_mode(entry),
                         std::to_string(archive_entry_uid(entry)) + ":" +
                             std::to_string(archive_entry_gid(entry)) + " " +
                             archive_entry_uname(entry) + ":" + archive_entry_gname(entry),
                         ""});
      if (members.back().size > 1 << 20) continue;
      std::string& content = members.back().content;
      content.resize(static_cast<std::size_t>(members.back().size) + 1);
      content.resize(
          static_cast<std::size_t>(archive_read_data(tar.get(), content.data(), content.size())));
    }
    EXPECT_EQ(status, ARCHIVE_EOF) << archive_error_string(tar.get());
    return members;
  }

 private:
  static la_ssize_t on_read(archive*, void* self, const void** out) {
    auto& reader = *static_cast<Reader*>(self);
    reader.buffer_ = bytes_of(reader.layout_, reader.blobs_, reader.at_, 64 << 10);
    reader.at_ += reader.buffer_.size();
    *out = reader.buffer_.data();
    return static_cast<la_ssize_t>(reader.buffer_.size());
  }
  static la_int64_t on_skip(archive*, void* self, la_int64_t count) {
    static_cast<Reader*>(self)->at_ += static_cast<std::uint64_t>(count);
    return count;
  }

  const Layout& layout_;
  fs::path blobs_;
  std::uint64_t at_ = 0;
  std::string buffer_;
};

class Archive : public ::testing::Test {
 protected:
  TempDir dir_;
  fs::path root_ = dir_ / "models";
  StoreBuilder store_{root_};
};

// Every golden hash below was computed by another program, from docs/view.md §3 alone. A hash that
// changes is an archive that users cannot resume, compare or publish by its hash any more.

TEST_F(Archive, OfATextModelIsTheSameInEveryRelease) {
  store_.v1("golden:latest", store_.text_model(1, 1000));
  EXPECT_EQ(Digest::of(whole_archive(root_, "golden:latest")).hex(),
            "8359a9d5dc882e88647554b84321deafbb0eeb39ca5dbe80859be741c4b0fd1b");
}

TEST_F(Archive, WithAPortInTheHostIsTheSameInEveryRelease) {
  ManifestSpec manifest = store_.text_model(2, 70'000);
  manifest.end = "\n";
  store_.v2("localhost:5000/team/golden:v1", manifest);
  EXPECT_EQ(Digest::of(whole_archive(root_, "localhost:5000/team/golden:v1")).hex(),
            "df17db4b89e57d07ccb7c2f84442a22047c86a6cde0c26a9710972dc7e8fcf49");
}

std::string long_name() {
  return std::string(200, 'h') + "/" + std::string(80, 'n') + "/" + std::string(80, 'm') + ":" +
         std::string(80, 't');
}

TEST_F(Archive, WithALongNameIsTheSameInEveryRelease) {
  store_.v1(long_name(), store_.text_model(3, 511));
  EXPECT_EQ(Digest::of(whole_archive(root_, long_name())).hex(),
            "9d8e60525528b82ed7b3611635a286968fb70110699d715a095508d6ed2423a4");
}

TEST_F(Archive, WithEmptyAndRepeatedBlobsIsTheSameInEveryRelease) {
  ManifestSpec manifest = store_.text_model(4, 512);
  manifest.layers.push_back(manifest.layers[0]);
  manifest.layers.push_back(store_.layer(kLicenseType, ""));
  store_.v1("golden:odd", manifest);
  EXPECT_EQ(Digest::of(whole_archive(root_, "golden:odd")).hex(),
            "2600306dac4c725b839fb7561fb805fb2161d5650d5fb47f5fd973fbe809817c");
}

TEST_F(Archive, WithoutBlobsIsTheSameInEveryRelease) {
  store_.v1("golden:none", ManifestSpec{});
  EXPECT_EQ(Digest::of(whole_archive(root_, "golden:none")).hex(),
            "7d1cf3c88491a55eef24471eae651884a8ccc557ab5f06c31887c250180d9a84");
}

// Of an archive too large to hash, all that is not the blob.
TEST_F(Archive, OfMoreThan8GiBIsTheSameInEveryRelease) {
  ManifestSpec manifest = store_.text_model(5, 1000);
  manifest.layers[0] = {kModelType, Digest::of("sparse 6").to_string(),
                        static_cast<std::int64_t>(8 * kGiB + (1 << 20))};
  const Layout layout = archive_layout(model_of("golden:big", manifest));
  EXPECT_EQ(layout.size(), 8'590'991'360u);
  std::string without_blob;
  for (const Segment& segment : layout.segments()) {
    if (segment.is_generated()) {
      without_blob += layout.generated().substr(segment.source, segment.size);
    } else if (segment.size < kGiB) {
      without_blob += read_file(store_.blob_path(layout.blobs()[segment.blob]));
    }
  }
  EXPECT_EQ(Digest::of(without_blob).hex(),
            "ffd7fb5a6bac9380ff6283db3de51392a51e70a116176c10e1088b882cd503b9");
}

TEST_F(Archive, IsTheSameFromEitherTreeOfTheStore) {
  const ManifestSpec manifest = store_.text_model(1, 3000);
  store_.v1("same:latest", manifest);
  const StoreBuilder links{dir_ / "links"}, copies{dir_ / "copies"};
  links.v2("same:latest", links.text_model(1, 3000));
  copies.v2("same:latest", copies.text_model(1, 3000), true);
  const std::string expected = whole_archive(root_, "same:latest");
  EXPECT_TRUE(whole_archive(links.root(), "same:latest") == expected);
  EXPECT_TRUE(whole_archive(copies.root(), "same:latest") == expected);
}

TEST_F(Archive, DoesNotDependOnDatesAndModesOfTheFiles) {
  store_.v1("same:latest", store_.text_model(1, 3000));
  const fs::path copy = dir_ / "copy";
  fs::copy(root_, copy, fs::copy_options::recursive);
  for (const auto& entry : fs::recursive_directory_iterator{copy}) {
    fs::last_write_time(entry, fs::file_time_type::clock::now() - std::chrono::hours{100'000});
    if (entry.is_regular_file()) fs::permissions(entry, fs::perms{0600});
  }
  EXPECT_TRUE(whole_archive(copy, "same:latest") == whole_archive(root_, "same:latest"));
}

TEST_F(Archive, TellsLibarchiveEverythingAboutItsMembers) {
  ManifestSpec manifest = store_.text_model(7, 100'000);
  manifest.layers.push_back(store_.layer(kLicenseType, ""));
  manifest.layers.push_back(manifest.layers[1]);
  for (const std::string& name :
       {std::string{"golden:latest"}, std::string{"localhost:5000/team/golden:v1"}, long_name()}) {
    store_.v1(name, manifest);
    const Store store{root_};
    const Model& model = store.model(name);
    const Layout layout = archive_layout(model);

    std::vector<std::string> expected;  // in the order of the digests, each once
    for (const auto& entry : fs::directory_iterator{root_ / "blobs"}) {
      expected.push_back("blobs/" + entry.path().filename().string());
    }
    std::ranges::sort(expected);
    expected.push_back("manifests/" + ModelName::parse(name)->v1_path());

    std::vector<std::string> paths;
    for (const Member& member : Reader{layout, root_}.members()) {
      paths.push_back(member.path);
      EXPECT_EQ(member.content, read_file(root_ / member.path)) << member.path;
      EXPECT_EQ(member.size, static_cast<std::int64_t>(fs::file_size(root_ / member.path)));
      EXPECT_EQ(member.mode, S_IFREG | 0644u) << member.path;
      EXPECT_EQ(member.owner, "0:0 ollama:ollama");
      // 2023-07-01 and two seconds for each step of the digest's first 24 bits.
      const std::string hex = Digest::of(member.content).hex();
      EXPECT_EQ(member.mtime, 1'688'169'600 + 2 * std::stoll(hex.substr(0, 6), nullptr, 16));
    }
    EXPECT_EQ(paths, expected);
  }
}

TEST_F(Archive, OfASparseBlobOfMoreThan8GiBIsReadByLibarchive) {
  ManifestSpec manifest = store_.text_model(8, 1000);
  manifest.layers[0] = store_.sparse_layer(kModelType, 8 * kGiB + (1 << 20), 9);
  manifest.layers.push_back(store_.sparse_layer(kModelType, 8 * kGiB, 10));
  manifest.layers.push_back(store_.sparse_layer(kModelType, 8 * kGiB - 1, 11));
  store_.v1("big:latest", manifest);
  const Store store{root_};
  const Layout layout = archive_layout(store.model("big:latest"));
  const std::vector<Member> members = Reader{layout, root_}.members();
  ASSERT_EQ(members.size(), 7u);
  for (const Member& member : members) {
    EXPECT_EQ(member.size, static_cast<std::int64_t>(fs::file_size(root_ / member.path)));
  }
  // Reached only if the sizes in front of it are right.
  EXPECT_EQ(members.back().content, manifest.json());
}

TEST_F(Archive, HasTheSizeThatWasFoundWithoutMakingIt) {
  std::mt19937_64 random{1};
  const auto below = [&](std::uint64_t limit) { return random() % limit; };
  const std::vector<std::string> names = {"a:b", "hf.co/someone/Model-GGUF:Q4_K_M",
                                          "localhost:5000/team/x:y", long_name()};
  for (int i = 0; i < 500; ++i) {
    ManifestSpec manifest;
    if (below(3) > 0) manifest.config = LayerSpec{kConfigType, Digest::of("c").to_string(), 486};
    for (std::uint64_t layers = below(20); layers > 0; --layers) {
      const auto size =
          static_cast<std::int64_t>(below(4) == 0 ? 512 * below(4) : random() >> (26 + below(38)));
      manifest.layers.push_back(
          {kTensorType, Digest::of(std::to_string(random())).to_string(), size});
    }
    manifest.end = std::string(below(600), '\n');  // the manifest's own padding
    const Model model = model_of(names[below(names.size())], manifest);
    const Layout layout = archive_layout(model);
    ASSERT_EQ(archive_size(model), layout.size());
    ASSERT_EQ(layout.size() % 10240, 0u);
    ASSERT_GE(layout.size(), 10240u);
  }
}

TEST_F(Archive, EndsWithTwoEmptyBlocksAtLeastAndNoMoreThanItMust) {
  for (std::int64_t blocks = 0; blocks < 25; ++blocks) {  // past a record of 20 blocks
    ManifestSpec manifest;
    manifest.layers = {{kModelType, Digest::of("x").to_string(), blocks * 512}};
    const std::uint64_t json = manifest.json().size();
    const std::uint64_t end =
        512 + static_cast<std::uint64_t>(blocks) * 512 + 512 + json + tar_padding(json);
    const Layout layout = archive_layout(model_of("a:b", manifest));
    EXPECT_EQ(layout.size(), (end + 1024 + 10239) / 10240 * 10240) << blocks;
    EXPECT_EQ(bytes_of(layout, "", end, 20480), std::string(layout.size() - end, '\0')) << blocks;
  }
}

// The size of a broken model is shown too, and its manifest may claim anything.
TEST_F(Archive, OfImpossibleSizesHasASizeThatAFileCanHave) {
  constexpr std::uint64_t max = std::numeric_limits<std::int64_t>::max();
  for (const std::int64_t size :
       {std::int64_t{1} << 61, std::int64_t{1} << 62, std::numeric_limits<std::int64_t>::max()}) {
    ManifestSpec manifest;
    for (int i = 0; i < 5; ++i) {
      manifest.layers.push_back({kModelType, Digest::of(std::to_string(i)).to_string(), size});
      EXPECT_LE(archive_size(model_of("a:b", manifest)), max) << size << " " << i;
      EXPECT_GE(archive_size(model_of("a:b", manifest)), std::uint64_t(size)) << size << " " << i;
    }
  }
}

// The most that a whole model's blobs may have together.
TEST_F(Archive, OfTheLargestWholeModelHasTheSizeOfItsLayout) {
  ManifestSpec manifest;
  manifest.layers.push_back({kModelType, Digest::of("a").to_string(), (std::int64_t{1} << 62) - 2});
  manifest.layers.push_back({kModelType, Digest::of("b").to_string(), 1});
  const Model model = model_of("a:b", manifest);
  ASSERT_THAT(model.manifest->faults, ::testing::IsEmpty());
  EXPECT_EQ(archive_size(model), archive_layout(model).size());
}

TEST_F(Archive, ListsItsBlobsAsTheModelDoes) {
  store_.v1("a:b", store_.text_model(1, 3000));
  const Store store{root_};
  const Model& model = store.model("a:b");
  std::vector<Digest> digests;
  for (const std::uint32_t blob : model.blobs)
    digests.push_back(store.catalog->blobs()[blob].digest);
  EXPECT_EQ(digests.size(), 4u);
  const Layout layout = archive_layout(model);
  EXPECT_THAT(layout.blobs(), ElementsAreArray(digests));
}

TEST(PortableManifestPath, IsTheV1PathWhicheverTreeItCameFrom) {
  const auto path = [](const std::string& name) {
    return portable_manifest_path(model_of(name, ManifestSpec{}));
  };
  EXPECT_EQ(path("deepseek-r1:8b"), "manifests/registry.ollama.ai/library/deepseek-r1/8b");
  EXPECT_EQ(path("localhost:5000/team/tiny:q8"), "manifests/localhost:5000/team/tiny/q8");
}

}  // namespace
}  // namespace ollamafs::test
