// Archives that are broken or evil: whatever they are, the store is as it was, or has some more
// blobs with the right bytes.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>
#include <random>
#include <string>
#include <vector>

#include "store/base/text.h"
#include "store/layout/tar_header.h"
#include "tests/unit/store/transfer/import_fixture.h"

namespace ollamafs::test {
namespace {

namespace fs = std::filesystem;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

// The sweeps make thousands of stores, which need not survive a crash of the machine.
class NoSyncs final : public WriteCalls {
 public:
  [[nodiscard]] int fsync(int) const noexcept override { return 0; }
  [[nodiscard]] int fdatasync(int) const noexcept override { return 0; }
};

const std::string kManifestPath = "manifests/registry.ollama.ai/library/m/latest";

class ImportBrokenTest : public ImportFixture {
 protected:
  ImportBrokenTest() {
    source_.v1("m", source_.text_model(1, 3000));
    members_ = pack_directory(source_.root());
    // A store with a model of its own, which must stay, and shares no blob.
    const StoreBuilder there{target()};
    there.v1("other", {.config = there.layer(kConfigType, "{\"a\":1}"),
                       .layers = {there.layer(kModelType, random_bytes(2, 2000))}});
    before_ = content_of(target());
  }

  // Either it is refused, or the model is as it was packed; both ways, the store is right.
  void expect_refused(const std::string& archive, const std::string& about,
                      const std::string& says = "") {
    for (const bool is_piped : {false, true}) {
      const auto [kind, text] = failure_of([&] {
        (void)(is_piped ? import_piped(archive, {}, calls_) : import_bytes(archive, {}, calls_));
      });
      EXPECT_EQ(kind, TransferError::Kind::broken) << about << ": " << text;
      EXPECT_THAT(text, HasSubstr(says)) << about;
      EXPECT_THAT(forbidden_changes(before_, content_of(target())), IsEmpty()) << about;
    }
  }

  // The archive may be taken, if what arrives is right.
  void expect_harmless(const std::string& archive, const std::string& about) {
    bool is_taken = true;
    try {
      (void)import_bytes(archive, {}, calls_);
    } catch (const TransferError&) {
      is_taken = false;
    }
    const DirectoryContent after = content_of(target());
    if (is_taken) {
      const auto manifest = after.find(kManifestPath);
      ASSERT_NE(manifest, after.end()) << about;
      EXPECT_EQ(manifest->second, "f" + read_file(source_.root() / kManifestPath)) << about;
      (void)models_of(target());
      fs::remove_all(target() / "manifests/registry.ollama.ai/library/m");
    }
    EXPECT_THAT(forbidden_changes(before_, content_of(target())), IsEmpty()) << about;
  }

  // As the archives of this program, whose manifest is proved by its time.
  [[nodiscard]] std::string own_archive() const {
    std::string tar;
    for (const Packed& member : members_) {
      tar += tar_header(member.path, member.bytes.size(), content_time(Digest::of(member.bytes)));
      tar += member.bytes;
      tar.append(tar_padding(member.bytes.size()), '\0');
    }
    tar.append(2 * kTarBlock, '\0');
    tar.append(tar_padding(tar.size(), kTarRecord), '\0');
    return tar;
  }

  [[nodiscard]] std::vector<Packed> with(const Packed& member) const {
    auto members = members_;
    members.push_back(member);
    return members;
  }

  NoSyncs calls_;
  StoreBuilder source_{dir_ / "source"};
  std::vector<Packed> members_;
  DirectoryContent before_;
};

TEST_F(ImportBrokenTest, EveryByteFlipped) {
  const std::string archive = own_archive();
  std::mt19937 random{7};
  // Every byte of headers and small members, some of the large ones.
  for (std::size_t at = 0; at < archive.size(); at += 1 + random() % 7) {
    std::string flipped = archive;
    flipped[at] = static_cast<char>(flipped[at] ^ (1 << random() % 8));
    expect_harmless(flipped, "byte " + std::to_string(at));
    if (HasFailure()) return;
  }
}

TEST_F(ImportBrokenTest, CutAnywhere) {
  const std::string archive = own_archive();
  for (std::size_t size = 0; size < archive.size() - kTarRecord + 2 * kTarBlock; size += 512) {
    expect_harmless(archive.substr(0, size), "cut at " + std::to_string(size));
    if (HasFailure()) return;
  }
}

TEST_F(ImportBrokenTest, CutBetweenMembers) {
  const std::string whole = make_archive(members_, "ustar");
  std::size_t size = 0;
  for (std::size_t count = 0; count <= members_.size(); ++count) {
    const std::string tar = whole.substr(0, size);
    expect_refused(tar, "behind " + std::to_string(count));
    for (const char* const filter : {"gzip", "zstd"}) {
      expect_refused(make_archive({{"tar", tar}}, "raw", filter),
                     filter + (" behind " + std::to_string(count)));
    }
    if (count == members_.size()) break;
    size += kTarBlock + members_[count].bytes.size() + tar_padding(members_[count].bytes.size());
  }
  (void)import_bytes(make_archive({{"tar", whole}}, "raw", "gzip"));
}

TEST_F(ImportBrokenTest, CompressedAndCut) {
  for (const char* const filter : {"gzip", "zstd"}) {
    const std::string archive = make_archive(members_, "pax", filter);
    for (std::size_t size = 1; size + 16 < archive.size(); size += 97) {
      expect_refused(archive.substr(0, size), std::string{filter} + " " + std::to_string(size));
      if (HasFailure()) return;
    }
  }
}

TEST_F(ImportBrokenTest, AMemberTwice) {
  for (const Packed& member : members_) {
    expect_refused(make_archive(with(member)), member.path, member.path);
  }
}

TEST_F(ImportBrokenTest, PathsThatLeadOut) {
  for (const std::string& path :
       std::vector<std::string>{"/etc/evil", "../evil", "blobs/../../evil", "..", "a/.."}) {
    expect_refused(make_archive(with({path, "x"}), "ustar"), path, path);
  }
  EXPECT_FALSE(fs::exists(dir_ / "evil"));
}

TEST_F(ImportBrokenTest, LinksAndDevices) {
  const std::string hex(64, 'a');
  for (const Packed& member : std::vector<Packed>{
           {"blobs/sha256-" + hex, "/etc/passwd", Packed::Type::symlink},
           {"blobs", "/tmp", Packed::Type::symlink},
           {"manifests/registry.ollama.ai/library/n/t", "../x", Packed::Type::symlink},
           {"manifests-v2/ollama.com/library/n/t", "/etc/passwd", Packed::Type::symlink},
           {"readme", "x", Packed::Type::symlink},
           {"blobs/sha256-" + hex, "blobs/other", Packed::Type::hardlink},
           {"blobs/sha256-" + hex, "/etc/passwd", Packed::Type::hardlink},
           {"manifests/registry.ollama.ai/library/n/t", members_[0].path, Packed::Type::hardlink},
           {"null", "", Packed::Type::device},
           {"blobs/sha256-" + hex, "", Packed::Type::device},
           {"fifo", "", Packed::Type::fifo}}) {
    expect_refused(make_archive(with(member), "gnutar"), member.path, member.path);
  }
}

TEST_F(ImportBrokenTest, AHardLinkWithoutItsBlob) {
  const std::string path = "blobs/sha256-" + std::string(64, 'a');
  auto members = members_;
  members.insert(members.begin(), {"top/" + path, path, Packed::Type::hardlink});
  expect_refused(make_archive(members, "gnutar"), "link", "top/" + path);
}

TEST_F(ImportBrokenTest, ADigestThatLies) {
  for (Packed& member : members_) {
    if (!member.path.starts_with("blobs/")) continue;
    auto members = members_;
    const std::string path = member.path;
    for (Packed& lying : members) {
      if (lying.path == path) lying.bytes.back() = static_cast<char>(~lying.bytes.back());
    }
    expect_refused(make_archive(members), path, path);
  }
}

TEST_F(ImportBrokenTest, ABlobThatLacks) {
  for (const Packed& member : members_) {
    if (!member.path.starts_with("blobs/")) continue;
    auto members = members_;
    std::erase_if(members, [&](const Packed& other) { return other.path == member.path; });
    const auto failure = failure_of([&] { import_bytes(make_archive(members)); });
    EXPECT_EQ(failure.first, TransferError::Kind::broken);
    EXPECT_THAT(failure.second, HasSubstr(member.path.substr(6)));
    EXPECT_THAT(failure.second, HasSubstr(std::to_string(member.bytes.size()) + " bytes"));
    // Known before anything is written.
    EXPECT_EQ(content_of(target()), before_);
  }
}

TEST_F(ImportBrokenTest, NoManifest) {
  auto members = members_;
  std::erase_if(members, [](const Packed& member) { return member.path == kManifestPath; });
  expect_refused(make_archive(members), "without manifest", "no manifest");
}

TEST_F(ImportBrokenTest, ManifestsThatAreNone) {
  for (const std::string& bytes : std::vector<std::string>{"", "{}", "x", "[]", "{\"layers\":1}"}) {
    expect_refused(make_archive(with({"manifests/registry.ollama.ai/library/n/t", bytes})), bytes,
                   "library/n/t");
  }
  expect_refused(make_archive(with({"manifests/registry.ollama.ai/library/n/t",
                                    R"({"layers":[{"digest":"../../etc/passwd","size":1}]})"})),
                 "a digest that is none", "library/n/t");
}

TEST_F(ImportBrokenTest, AManifestThatIsTooLarge) {
  const std::string bytes(kMaxManifestBytes + 1, ' ');
  expect_refused(make_archive(with({"manifests/registry.ollama.ai/library/n/t", bytes})), "large",
                 "library/n/t");
}

TEST_F(ImportBrokenTest, ASizeThatLies) {
  for (Packed& member : members_) {
    if (member.path != kManifestPath) continue;
    const auto at = member.bytes.find("\"size\":3004");
    ASSERT_NE(at, std::string::npos);
    member.bytes[at + 7] = '4';
  }
  expect_refused(make_archive(members_), "size", "4004 bytes");
}

TEST_F(ImportBrokenTest, ATarInATar) {
  expect_refused(make_archive({{"m.tar", make_archive(members_)}}), "tar in tar", "no manifest");
}

// 1 GiB of zeros in a few kilobytes, as a blob and as something else.
TEST_F(ImportBrokenTest, ABomb) {
  const std::string zeros(std::size_t{64} << 20, '\0');
  const std::string lying = "blobs/sha256-" + std::string(64, 'a');
  expect_refused(make_archive(with({lying, zeros}), "pax", "gzip"), "bomb", lying);
  auto members = members_;
  members.insert(members.begin(), {"zeros", zeros});
  std::erase_if(members, [](const Packed& member) { return member.path == kManifestPath; });
  expect_refused(make_archive(members, "pax", "zstd"), "bomb beside", "no manifest");
}

TEST_F(ImportBrokenTest, ManyMembers) {
  std::vector<Packed> many;
  for (int i = 0; i < 100'000; ++i) many.push_back({"blobs/x" + std::to_string(i)});
  expect_refused(make_archive(many, "ustar"), "many", "no manifest");
  many.insert(many.end(), members_.begin(), members_.end());
  (void)import_piped(make_archive(many, "ustar"));
  EXPECT_EQ(models_of(target()).size(), 2U);
}

TEST_F(ImportBrokenTest, TwoManifestsOfOneModel) {
  const std::string other =
      read_file(target() / "manifests/registry.ollama.ai/library/other/latest");
  expect_refused(make_archive(with({"top/" + kManifestPath, other})), "two", "two manifests");
}

TEST_F(ImportBrokenTest, OneBadModelKeepsAllOut) {
  source_.v1("n", source_.text_model(3, 1000));
  auto members = pack_directory(source_.root());
  const auto weights = Digest::of("GGUF" + random_bytes(3, 1000));
  std::erase_if(members, [&](const Packed& member) { return member.path == weights.blob_path(); });
  const auto failure = failure_of([&] { import_bytes(make_archive(members)); });
  EXPECT_EQ(failure.first, TransferError::Kind::broken);
  EXPECT_EQ(content_of(target()), before_);
}

}  // namespace
}  // namespace ollamafs::test
