#include "store/catalog/tag_reader.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <ctime>
#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "tests/support/process.h"
#include "tests/support/store_builder.h"
#include "tests/support/temp_dir.h"

namespace ollamafs::test {
namespace {

namespace fs = std::filesystem;

using ::testing::AllOf;
using ::testing::Field;
using ::testing::HasSubstr;
using ::testing::Property;
using ::testing::StartsWith;
using ::testing::VariantWith;

using ManifestPtr = std::shared_ptr<const StoredManifest>;

constexpr const char* kName = "llama3.2:3b";

// What the tag leads to; throws if it leads to nothing or to a list.
const StoredManifest& manifest_of(const TagResult& result) {
  if (const auto* failure = std::get_if<TagFailure>(&result))
    throw std::runtime_error{failure->text};
  return *std::get<ManifestPtr>(std::get<TagFile>(result).content);
}

// No model at all: the reason goes on from the tag's path.
auto no_model(const std::string& reason) {
  return VariantWith<TagFailure>(AllOf(Field(&TagFailure::blob, std::optional<Digest>{}),
                                       Field(&TagFailure::text, HasSubstr(reason))));
}

// A model that is broken because of its manifest's blob: the reason is a sentence about that.
auto broken(const Digest& blob, const std::string& reason, bool missing = false) {
  return VariantWith<TagFailure>(AllOf(
      Field(&TagFailure::blob, std::optional{blob}), Property(&TagFailure::is_missing, missing),
      Field(&TagFailure::text,
            AllOf(StartsWith("manifest blob " + blob.blob_name()), HasSubstr(reason)))));
}

class TagReaderTest : public ::testing::Test {
 protected:
  [[nodiscard]] Tag tag(TreeKind tree) const {
    const ModelName name = *ModelName::parse(kName);
    const fs::path path = tree == TreeKind::v1 ? store_.v1_path(name) : store_.v2_path(name);
    return {tree, fs::relative(path.parent_path(), store_.root()) / path.filename(), name};
  }
  [[nodiscard]] fs::path path(TreeKind tree) const { return store_.root() / tag(tree).path; }

  [[nodiscard]] TagResult read(TreeKind tree, OutsideLinks outside = OutsideLinks::refuse,
                               const std::vector<fs::path>& follow = {}) const {
    const StoreDir store{store_.root(), outside, follow};
    return TagReader{store}.read(tag(tree));
  }

  // Makes the tag's entry a symlink.
  void link(TreeKind tree, const fs::path& target) const {
    fs::create_directories(path(tree).parent_path());
    fs::remove(path(tree));
    fs::create_symlink(target, path(tree));
  }

  TempDir dir_;
  StoreBuilder store_{dir_ / "models"};
  ManifestSpec model_ = store_.text_model(1, 100);
  std::string json_ = model_.json();
};

void set_mtime(const fs::path& path, time_t seconds) {
  const timespec times[] = {{seconds, 0}, {seconds, 0}};
  ASSERT_EQ(::utimensat(AT_FDCWD, path.c_str(), times, AT_SYMLINK_NOFOLLOW), 0);
}

TEST_F(TagReaderTest, ReadsAFileOfTheOlderTree) {
  store_.v1(kName, model_);
  set_mtime(path(TreeKind::v1), 1'700'000'000);
  const TagResult result = read(TreeKind::v1);
  EXPECT_EQ(manifest_of(result).bytes, json_);
  EXPECT_EQ(manifest_of(result).digest, Digest::of(json_));
  EXPECT_EQ(std::get<TagFile>(result).mtime, 1'700'000'000);
  EXPECT_FALSE(std::get<TagFile>(result).outside);
}

TEST_F(TagReaderTest, ReadsALinkOfTheNewerTree) {
  const Digest digest = store_.v2(kName, model_);
  EXPECT_EQ(manifest_of(read(TreeKind::v2)).bytes, json_);
  EXPECT_EQ(manifest_of(read(TreeKind::v2)).digest, digest);
}

// On Windows, and where symlinks fail.
TEST_F(TagReaderTest, ReadsACopyOfTheNewerTree) {
  store_.v2(kName, model_, true);
  ASSERT_TRUE(fs::is_regular_file(fs::symlink_status(path(TreeKind::v2))));
  EXPECT_EQ(manifest_of(read(TreeKind::v2)).bytes, json_);
}

// MODIFIED in `ollama list` is when the tag was made, not when the blob was pulled.
TEST_F(TagReaderTest, TellsTheTimeOfTheTagAndTheOwnerOfTheBytes) {
  const Digest digest = store_.v2(kName, model_);
  set_mtime(store_.blob_path(digest), 1'600'000'000);
  set_mtime(path(TreeKind::v2), 1'700'000'000);
  const uid_t owner = ::geteuid() == 0 ? 4321 : ::geteuid();
  const gid_t group = ::geteuid() == 0 ? 8765 : ::getegid();
  ASSERT_EQ(::chown(store_.blob_path(digest).c_str(), owner, group), 0);
  const TagResult result = read(TreeKind::v2);
  const TagFile& file = std::get<TagFile>(result);
  EXPECT_EQ(file.mtime, 1'700'000'000);
  EXPECT_EQ(file.uid, owner);
  EXPECT_EQ(file.gid, group);
}

TEST_F(TagReaderTest, HoldsAManifestOnceForAllOfItsTags) {
  store_.v2(kName, model_);
  const StoreDir store{store_.root(), OutsideLinks::refuse};
  TagReader reader{store};
  set_mtime(path(TreeKind::v2), 1'700'000'000);
  const TagResult one = reader.read(tag(TreeKind::v2));
  set_mtime(path(TreeKind::v2), 1'800'000'000);
  const TagResult other = reader.read(tag(TreeKind::v2));
  EXPECT_EQ(&manifest_of(one), &manifest_of(other));
  EXPECT_EQ(std::get<TagFile>(one).mtime, 1'700'000'000);
  EXPECT_EQ(std::get<TagFile>(other).mtime, 1'800'000'000);
}

TEST_F(TagReaderTest, ReadsAList) {
  const std::string list = StoreBuilder::list_json({{Digest::of(json_), "ggml", "gguf"}});
  const Digest digest = store_.v2_bytes(kName, list);
  const TagResult result = read(TreeKind::v2);
  const auto& stored = std::get<StoredList>(std::get<TagFile>(result).content);
  EXPECT_EQ(stored.digest, digest);
  ASSERT_EQ(stored.list.entries.size(), 1u);
  EXPECT_EQ(stored.list.entries[0].runner, "ggml");
}

// ---- links of the newer tree: the manifest's own blob or nothing (docs/store-format.md §3.2) ----

TEST_F(TagReaderTest, ReadsALinkWithAnAbsolutePathIntoTheStore) {
  const Digest digest = store_.v2(kName, model_);
  link(TreeKind::v2, store_.blob_path(digest));
  EXPECT_EQ(manifest_of(read(TreeKind::v2)).digest, digest);
}

TEST_F(TagReaderTest, RefusesALinkToSomethingThatIsNoBlob) {
  store_.v1(kName, model_);
  link(TreeKind::v2, path(TreeKind::v1));
  EXPECT_THAT(read(TreeKind::v2), no_model("not a manifest blob"));
  link(TreeKind::v2, "nowhere");
  EXPECT_THAT(read(TreeKind::v2), no_model("not a manifest blob"));
  link(TreeKind::v2, "/etc/passwd");
  EXPECT_THAT(read(TreeKind::v2), no_model("not a manifest blob"));
}

TEST_F(TagReaderTest, RefusesALinkToABlobOfAnotherStore) {
  const StoreBuilder other{dir_ / "other"};
  const Digest digest = other.v2(kName, model_);
  link(TreeKind::v2, other.blob_path(digest));
  EXPECT_THAT(read(TreeKind::v2), no_model("leads out of the store"));
  EXPECT_THAT(read(TreeKind::v2, OutsideLinks::follow), no_model("not this store's"));
  // Not even if this store has the same blob, which the link does not lead to.
  write_file(store_.blob_path(digest), json_);
  EXPECT_THAT(read(TreeKind::v2, OutsideLinks::follow), no_model("not this store's"));
}

TEST_F(TagReaderTest, RefusesAFileThatOnlyHasABlobsName) {
  const Digest digest = store_.v2(kName, model_);
  write_file(store_.root() / "elsewhere" / digest.blob_name(), json_);
  link(TreeKind::v2, store_.root() / "elsewhere" / digest.blob_name());
  EXPECT_THAT(read(TreeKind::v2), no_model("not this store's"));
}

TEST_F(TagReaderTest, DoesNotBelieveABlobsName) {
  const Digest digest = store_.v2(kName, model_);
  write_file(store_.blob_path(digest), store_.text_model(2, 100).json());
  EXPECT_THAT(read(TreeKind::v2), broken(digest, "its SHA-256 is another"));
}

TEST_F(TagReaderTest, TellsThatABlobIsMissing) {
  const Digest digest = store_.v2(kName, model_);
  fs::remove(store_.blob_path(digest));
  EXPECT_THAT(read(TreeKind::v2), broken(digest, "is missing", true));
  // The blob's entry is there, but what it leads to is not.
  fs::create_symlink("nowhere", store_.blob_path(digest));
  EXPECT_THAT(read(TreeKind::v2), broken(digest, "is missing", true));
}

TEST_F(TagReaderTest, FollowsAManifestsBlobToAnotherDisk) {
  const Digest digest = store_.v2(kName, model_);
  fs::create_directory(dir_ / "disk");
  fs::rename(store_.blob_path(digest), dir_ / "disk/moved");
  fs::create_symlink(dir_ / "disk/moved", store_.blob_path(digest));
  EXPECT_THAT(read(TreeKind::v2), no_model("leads out of the store"));
  const TagResult named = read(TreeKind::v2, OutsideLinks::refuse, {dir_ / "disk"});
  EXPECT_EQ(manifest_of(named).digest, digest);
  EXPECT_FALSE(std::get<TagFile>(named).outside);
  EXPECT_TRUE(std::get<TagFile>(read(TreeKind::v2, OutsideLinks::follow)).outside);
}

// ---- links of the older tree ----

TEST_F(TagReaderTest, ReadsAnOlderLinkToAnyFileOfTheStore) {
  write_file(store_.root() / "kept/manifest.json", json_);
  link(TreeKind::v1, "../../../../kept/manifest.json");
  EXPECT_EQ(manifest_of(read(TreeKind::v1)).bytes, json_);
  link(TreeKind::v1, store_.root() / "kept/manifest.json");
  EXPECT_EQ(manifest_of(read(TreeKind::v1)).bytes, json_);
}

TEST_F(TagReaderTest, ReadsAnOlderLinkToTheManifestsOwnBlob) {
  const Digest digest = store_.v2(kName, model_);
  link(TreeKind::v1, "../../../../blobs/" + digest.blob_name());
  EXPECT_EQ(manifest_of(read(TreeKind::v1)).digest, digest);
  write_file(store_.blob_path(digest), "{\"layers\":[]}");
  EXPECT_THAT(read(TreeKind::v1), broken(digest, "its SHA-256 is another"));
}

TEST_F(TagReaderTest, RefusesAnOlderLinkThatLeadsOut) {
  write_file(dir_ / "disk/manifest.json", json_);
  link(TreeKind::v1, dir_ / "disk/manifest.json");
  EXPECT_THAT(read(TreeKind::v1), no_model("leads out of the store"));
  EXPECT_TRUE(std::get<TagFile>(read(TreeKind::v1, OutsideLinks::follow)).outside);
  EXPECT_FALSE(
      std::get<TagFile>(read(TreeKind::v1, OutsideLinks::refuse, {dir_ / "disk"})).outside);
}

TEST_F(TagReaderTest, SaysThatAnOlderLinkLeadsNowhere) {
  link(TreeKind::v1, "nowhere");
  EXPECT_THAT(read(TreeKind::v1), no_model("is a symlink that leads nowhere: remove it"));
  link(TreeKind::v1, tag(TreeKind::v1).name.tag());  // itself
  EXPECT_THAT(read(TreeKind::v1), no_model("leads nowhere"));
}

// ---- what is no manifest ----

TEST_F(TagReaderTest, SaysWhyAFileIsNoManifest) {
  for (const auto& [bytes, reason] : std::vector<std::pair<std::string, std::string>>{
           {"", "is empty"},
           {json_.substr(0, 200), "is cut short"},
           {json_ + "x", "has more behind its JSON, at byte"},
           {json_ + "\n{}", "has more behind its JSON, at byte"},
           {"{}", "names neither"},
           {"[]", "is not a JSON object"},
           {std::string(100'000, '['), "is not a JSON object"},
           {R"({"layers":[{"size":"7"}]})", "has a field \"size\""}}) {
    store_.v1_bytes(kName, bytes);
    EXPECT_THAT(read(TreeKind::v1), no_model("is not a manifest: it " + reason));
    store_.v2_bytes(kName, bytes, true);
    EXPECT_THAT(read(TreeKind::v2), no_model("is not a manifest: it " + reason));
    const Digest digest = store_.v2_bytes(kName, bytes);
    EXPECT_THAT(read(TreeKind::v2), broken(digest, "is no manifest: it " + reason));
  }
}

// Sparse, so this costs no disk; read whole it would cost memory.
TEST_F(TagReaderTest, DoesNotReadAFileTooLargeForAManifest) {
  store_.v1(kName, model_);
  fs::resize_file(path(TreeKind::v1), 64u << 20);
  EXPECT_THAT(read(TreeKind::v1), no_model("is larger than 16777216 bytes"));
  const Digest digest = store_.v2(kName, model_);
  fs::resize_file(store_.blob_path(digest), 64u << 20);
  EXPECT_THAT(read(TreeKind::v2), broken(digest, "too large"));
}

TEST_F(TagReaderTest, DoesNotWaitForAFifo) {
  fs::create_directories(path(TreeKind::v1).parent_path());
  ASSERT_EQ(::mkfifo(path(TreeKind::v1).c_str(), 0644), 0);
  EXPECT_THAT(read(TreeKind::v1), no_model("is not a regular file"));
  const Digest digest = store_.v2(kName, model_);
  fs::remove(store_.blob_path(digest));
  ASSERT_EQ(::mkfifo(store_.blob_path(digest).c_str(), 0644), 0);
  EXPECT_THAT(read(TreeKind::v2), broken(digest, "is not a regular file"));
}

TEST_F(TagReaderTest, ReadsNoDirectory) {
  fs::create_directories(path(TreeKind::v1));
  EXPECT_THAT(read(TreeKind::v1), no_model("is a directory where a manifest belongs"));
  link(TreeKind::v2, store_.root() / "blobs");
  EXPECT_THAT(read(TreeKind::v2), no_model("is a directory where a manifest belongs"));
}

TEST_F(TagReaderTest, SaysThatATagHasGone) {
  EXPECT_THAT(read(TreeKind::v1), no_model("is missing"));
}

// What `check` returns in the process of an ordinary user.
bool as_nobody(const std::function<bool()>& check) {
  if (::geteuid() != 0) return check();
  const pid_t child = ::fork();
  if (child == 0) {
    const bool changed = ::setgid(65534) == 0 && ::setuid(65534) == 0;
    ::_exit(changed && check() ? 0 : 1);
  }
  int status = -1;
  return ::waitpid(child, &status, 0) == child && status == 0;
}

TEST_F(TagReaderTest, SaysThatAManifestMayNotBeRead) {
  store_.v1(kName, model_);
  const Digest digest = store_.v2(kName, model_);
  fs::permissions(path(TreeKind::v1), fs::perms::none);
  fs::permissions(store_.blob_path(digest), fs::perms::none);
  EXPECT_TRUE(as_nobody([&] {
    return ::testing::Matches(no_model("Permission denied"))(read(TreeKind::v1)) &&
           ::testing::Matches(broken(digest, "Permission denied"))(read(TreeKind::v2));
  }));
}

// ---- a store that is read again and again ----

class PatientTagReader : public TagReaderTest {
 protected:
  // As one scan reads it.
  TagResult scan(TreeKind tree = TreeKind::v1) {
    reader_.begin();
    TagResult result = reader_.read(tag(tree));
    reader_.end();
    return result;
  }
  static ManifestPtr content(const TagResult& result) {
    return std::get<ManifestPtr>(std::get<TagFile>(result).content);
  }
  StoreDir dir_of_store_{store_.root(), OutsideLinks::refuse};
  TagReader reader_{dir_of_store_, true};
  std::string other_ = store_.text_model(2, 100).json();
};

// Not at once: two writes within a tick of the clock may look the same.
TEST_F(PatientTagReader, RemembersAFileThatDidNotChange) {
  store_.v1(kName, model_);
  ASSERT_TRUE(eventually([&] {
    const auto first = content(scan());
    return content(scan()) == first;  // not even parsed again
  }));
  write_file(path(TreeKind::v1), other_);
  EXPECT_EQ(content(scan())->bytes, other_);
}

TEST_F(PatientTagReader, ReadsAFileAgainThatWasWrittenJustNow) {
  EXPECT_TRUE(eventually([&] {  // at once, unless this machine is slow
    store_.v1(kName, model_);
    const auto first = content(scan());
    return content(scan()) != first;
  }));
}

TEST_F(PatientTagReader, ReadsAManifestBlobOncePerScan) {
  store_.v2(kName, model_);
  const Tag one = tag(TreeKind::v2);
  reader_.begin();
  const auto first = content(reader_.read(one));
  EXPECT_EQ(content(reader_.read(one)), first);
  reader_.end();
}

TEST_F(PatientTagReader, ForgetsWhatAScanDidNotRead) {
  store_.v1(kName, model_);
  const std::weak_ptr<const StoredManifest> known = content(scan());
  EXPECT_FALSE(known.expired());
  reader_.begin();
  reader_.end();
  EXPECT_TRUE(known.expired());
}

TEST_F(PatientTagReader, TakesAFileThatIsBeingWrittenForWhatItWas) {
  store_.v1(kName, model_);
  set_mtime(path(TreeKind::v1), 1'700'000'000);
  const auto before = content(scan());
  for (const std::string& part : {std::string{}, other_.substr(0, 50), std::string{"{}x"}}) {
    write_file(path(TreeKind::v1), part);
    const TagResult result = scan();
    EXPECT_EQ(content(result)->bytes, json_);
    EXPECT_EQ(std::get<TagFile>(result).mtime, 1'700'000'000);
    EXPECT_TRUE(reader_.has_pending());
  }
  write_file(path(TreeKind::v1), other_);
  EXPECT_EQ(content(scan())->bytes, other_);
  EXPECT_FALSE(reader_.has_pending());
}

TEST_F(PatientTagReader, WaitsForAFileThatItDoesNotKnow) {
  write_file(path(TreeKind::v1), "{");
  EXPECT_THAT(scan(), VariantWith<TagFailure>(Field(&TagFailure::pending, true)));
  EXPECT_TRUE(reader_.has_pending());
  write_file(path(TreeKind::v1), json_);
  EXPECT_EQ(content(scan())->bytes, json_);
  EXPECT_FALSE(reader_.has_pending());
}

TEST_F(PatientTagReader, LosesItsPatience) {
  store_.v1(kName, model_);
  (void)scan();
  write_file(path(TreeKind::v1), "{");
  set_mtime(path(TreeKind::v1), ::time(nullptr) - 3);
  EXPECT_THAT(scan(), no_model("is not a manifest"));
  EXPECT_FALSE(reader_.has_pending());
  // What it was once is forgotten then.
  write_file(path(TreeKind::v1), "{{");
  EXPECT_THAT(scan(), VariantWith<TagFailure>(Field(&TagFailure::pending, true)));
}

// A clock that was set back must not make it wait for years.
TEST_F(PatientTagReader, HasNoPatienceWithTheFuture) {
  write_file(path(TreeKind::v1), "{");
  set_mtime(path(TreeKind::v1), ::time(nullptr) + 3600);
  EXPECT_THAT(scan(), no_model("is not a manifest"));
}

// Blobs get their names when they are complete.
TEST_F(PatientTagReader, HasNoPatienceWithBlobs) {
  const Digest digest = store_.v2(kName, model_);
  write_file(store_.blob_path(digest), "{");
  EXPECT_THAT(scan(TreeKind::v2), broken(digest, "is damaged"));
  EXPECT_FALSE(reader_.has_pending());
}

TEST_F(TagReaderTest, HasNoPatienceUnlessItIsAskedFor) {
  write_file(path(TreeKind::v1), "{");
  EXPECT_THAT(read(TreeKind::v1), no_model("is not a manifest"));
}

// ---- limits ----

TEST_F(TagReaderTest, ReadsNoMoreThanTheManifestsOfAStoreMayHaveInAll) {
  store_.v1(kName, model_);
  const StoreDir store{store_.root(), OutsideLinks::refuse};
  TagReader exact{store, false, {.manifest_bytes = json_.size()}};
  TagReader less{store, false, {.manifest_bytes = json_.size() - 1}};
  for (int scan = 0; scan < 3; ++scan) {  // what is remembered counts once each time
    exact.begin();
    EXPECT_TRUE(std::holds_alternative<TagFile>(exact.read(tag(TreeKind::v1))));
    EXPECT_TRUE(std::holds_alternative<TagFile>(exact.read(tag(TreeKind::v1))));
    exact.end();
    less.begin();
    EXPECT_THROW((void)less.read(tag(TreeKind::v1)), std::length_error);
    less.end();
  }
}

}  // namespace
}  // namespace ollamafs::test
