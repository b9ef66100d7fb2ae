// Where an import writes: names that are taken, entries of the v2 tree, owners, links.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <string>
#include <thread>
#include <vector>

#include "store/base/text.h"
#include "tests/support/process.h"
#include "tests/support/real_store.h"
#include "tests/unit/store/transfer/import_fixture.h"

namespace ollamafs::test {
namespace {

namespace fs = std::filesystem;
using ::testing::HasSubstr;
using ::testing::SizeIs;

class ImportPlacesTest : public ImportFixture {
 protected:
  ImportPlacesTest() { digest_ = source_.v1("m", source_.text_model(1, 3000)); }

  [[nodiscard]] static std::string id_of(const fs::path& store) {
    const auto models = models_of(store);
    EXPECT_THAT(models, SizeIs(1));
    return models.empty() ? "" : models.begin()->second;
  }

  [[nodiscard]] static struct stat status(const fs::path& path) {
    struct stat st {};
    EXPECT_EQ(::stat(path.c_str(), &st), 0) << path;
    return st;
  }

  StoreBuilder source_{dir_ / "source"};
  Digest digest_;
};

TEST_F(ImportPlacesTest, KeepsAModelOfThatName) {
  const StoreBuilder there{target()};
  const Digest other = there.v1("m", there.text_model(2, 500));
  const DirectoryContent before = content_of(target());
  const auto [kind, text] = failure_of([&] { import({source_.root()}); });
  EXPECT_EQ(kind, TransferError::Kind::refused);
  EXPECT_THAT(text, HasSubstr(other.id()));
  EXPECT_THAT(text, HasSubstr("--replace"));
  EXPECT_EQ(content_of(target()), before);
  EXPECT_EQ(import({source_.root()}, {.replace = true}).models[0].state,
            ImportedModel::State::replaced);
  EXPECT_EQ(id_of(target()), digest_.id());
}

TEST_F(ImportPlacesTest, KeepsTheStoresSpellingOfAName) {
  const StoreBuilder there{target()};
  (void)there.v1("M", there.text_model(2, 500));
  EXPECT_EQ(failure_of([&] { import({source_.root()}); }).first, TransferError::Kind::refused);
  EXPECT_EQ(import({source_.root()}, {.replace = true}).models[0].name.display(), "M:latest");
  EXPECT_EQ(id_of(target()), digest_.id());
}

TEST_F(ImportPlacesTest, ReplacesTheV2EntryThatWouldHideIt) {
  for (const bool is_copy : {false, true}) {
    fs::remove_all(target());
    const StoreBuilder there{target()};
    (void)there.v2("m", there.text_model(2, 500), is_copy);
    EXPECT_EQ(failure_of([&] { import({source_.root()}); }).first, TransferError::Kind::refused);
    const ImportResult result = import({source_.root()}, {.replace = true});
    EXPECT_THAT(result.models[0].note, HasSubstr("manifests-v2"));
    EXPECT_EQ(id_of(target()), digest_.id());
    EXPECT_EQ(read_file(target() / "manifests/registry.ollama.ai/library/m/latest"),
              read_file(target() / "manifests-v2/ollama.com/library/m/latest"));
    EXPECT_TRUE(fs::exists(target() / digest_.blob_path()));
  }
}

TEST_F(ImportPlacesTest, LeavesTheV2EntryOfTheSameModel) {
  const StoreBuilder there{target()};
  (void)there.v2("m", there.text_model(1, 3000));
  const DirectoryContent before = content_of(target());
  EXPECT_EQ(import({source_.root()}).models[0].state, ImportedModel::State::there);
  EXPECT_EQ(content_of(target()), before);
}

TEST_F(ImportPlacesTest, PassesOverAV2EntryThatLeadsNowhere) {
  const StoreBuilder there{target()};
  const Digest gone = there.v2("m", there.text_model(2, 500));
  fs::remove(target() / gone.blob_path());
  const ImportResult result = import({source_.root()});
  EXPECT_EQ(result.models[0].state, ImportedModel::State::added);
  EXPECT_EQ(id_of(target()), digest_.id());
}

// Unlike a symlink that leads nowhere, a list hides the v1 tree also where it leads to no model.
TEST_F(ImportPlacesTest, ReplacesAListWithoutManifestsOnlyIfAsked) {
  const StoreBuilder there{target()};
  const std::string list =
      StoreBuilder::list_json({{Digest::of("never pulled"), "mlx", "safetensors"}});
  (void)there.v2_bytes("m", list);
  const auto [kind, text] = failure_of([&] { import({source_.root()}); });
  EXPECT_EQ(kind, TransferError::Kind::refused);
  EXPECT_THAT(text, HasSubstr("would hide it"));
  EXPECT_THAT(text, HasSubstr("--replace"));
  const ImportResult result = import({source_.root()}, {.replace = true});
  EXPECT_EQ(result.models[0].state, ImportedModel::State::replaced);
  EXPECT_THAT(result.models[0].note, HasSubstr("leads to it now"));
  EXPECT_EQ(id_of(target()), digest_.id());
}

TEST_F(ImportPlacesTest, CompletesAModelThatLacksABlob) {
  const StoreBuilder there{target()};
  (void)there.v1("m", there.text_model(1, 3000));
  fs::remove(target() / Digest::of("GGUF" + random_bytes(1, 3000)).blob_path());
  EXPECT_EQ(import({source_.root()}).blobs_written, 1U);
  EXPECT_EQ(id_of(target()), digest_.id());
}

// A server before 0.40 that was killed while it wrote.
TEST_F(ImportPlacesTest, ReplacesAnEmptyManifestOnlyIfAsked) {
  const StoreBuilder there{target()};
  (void)there.v1_bytes("m", "");
  EXPECT_EQ(failure_of([&] { import({source_.root()}); }).first, TransferError::Kind::refused);
  (void)import({source_.root()}, {.replace = true});
  EXPECT_EQ(id_of(target()), digest_.id());
}

TEST_F(ImportPlacesTest, ChoosesOneOfAListAsMountsDo) {
  const StoreBuilder source{dir_ / "list"};
  ManifestSpec child = source.text_model(4, 700);
  child.runner = "ggml";
  child.format = "gguf";
  const Digest own = source.v2("child", child);
  const std::string list = StoreBuilder::list_json(
      {{Digest::of("never pulled"), "mlx", "safetensors"}, {own, "ggml", "gguf"}});
  (void)source.v2_bytes("m", list);
  fs::remove_all(source.root() / "manifests-v2/ollama.com/library/child");
  for (const bool is_piped : {false, true}) {
    fs::remove_all(target());
    const std::string archive = make_archive(pack_directory(source.root()));
    (void)(is_piped ? import_piped(archive) : import_bytes(archive));
    EXPECT_EQ(id_of(target()), own.id());
  }
}

// The weights are sparse there and have other bytes, so only what is small arrives.
TEST_F(ImportPlacesTest, RealStoresSayWhichBlobIsNotRight) {
  unpack_real_store_v2(dir_ / "real");
  const auto [kind, text] = failure_of([&] { import({dir_ / "real"}); });
  EXPECT_EQ(kind, TransferError::Kind::broken);
  EXPECT_THAT(text, HasSubstr("other bytes than its name says"));
}

TEST_F(ImportPlacesTest, TwoAtOnceAreBothRight) {
  for (int round = 0; round < 20; ++round) {
    fs::remove_all(target());
    fs::create_directories(target() / "blobs");
    const std::string archive = make_archive(pack_directory(source_.root()));
    {
      const auto work = [&] { EXPECT_NO_THROW((void)import_piped(archive)); };
      const std::jthread one{work}, other{work};
    }
    EXPECT_EQ(id_of(target()), digest_.id());
  }
}

// ---- as root ----

TEST_F(ImportPlacesTest, GivesWhatItMakesToTheStoresOwner) {
  ASSERT_EQ(::geteuid(), 0U) << "needs root";
  const User user = User::named("games");
  fs::create_directory(target());
  ASSERT_EQ(::chown(target().c_str(), user.uid, user.gid), 0);
  ASSERT_EQ(::chmod(target().c_str(), 02750), 0);
  (void)import({source_.root()});
  std::size_t seen = 0;
  for (const auto& entry : fs::recursive_directory_iterator{target()}) {
    const struct stat st = status(entry.path());
    EXPECT_EQ(st.st_uid, user.uid) << entry.path();
    EXPECT_EQ(st.st_gid, user.gid) << entry.path();
    EXPECT_EQ(st.st_mode & 07777, entry.is_directory() ? 02750U : 0640U) << entry.path();
    ++seen;
  }
  EXPECT_GT(seen, 5U);
}

TEST_F(ImportPlacesTest, GivesAFreshStoreToTheOwnerOfTheFolderAround) {
  ASSERT_EQ(::geteuid(), 0U) << "needs root";
  const User user = User::named("games");
  fs::create_directory(dir_ / "home");
  ASSERT_EQ(::chown((dir_ / "home").c_str(), user.uid, user.gid), 0);
  const fs::path store = dir_ / "home/.ollama/models";
  (void)import_models(open_sources({source_.root()}, OutsideLinks::follow, Progress::none()), store,
                      {});
  EXPECT_EQ(status(dir_ / "home/.ollama").st_uid, user.uid);
  for (const auto& entry : fs::recursive_directory_iterator{store}) {
    EXPECT_EQ(status(entry.path()).st_uid, user.uid) << entry.path();
  }
}

TEST_F(ImportPlacesTest, DoesNotFollowSomebodysLinkOutOfTheStore) {
  ASSERT_EQ(::geteuid(), 0U) << "needs root";
  const User user = User::named("games");
  fs::create_directory(dir_ / "outside");
  for (const char* const name : {"blobs", "manifests"}) {
    fs::remove_all(target());
    fs::create_directory(target());
    fs::create_directory_symlink(dir_ / "outside", target() / name);
    ASSERT_EQ(::lchown((target() / name).c_str(), user.uid, user.gid), 0);
    const auto failure = failure_of([&] { import({source_.root()}); });
    EXPECT_EQ(failure.first, TransferError::Kind::failed);
    EXPECT_THAT(failure.second, HasSubstr((target() / name).string()));
    EXPECT_TRUE(fs::is_empty(dir_ / "outside"));
  }
}

TEST_F(ImportPlacesTest, FollowsRootsOwnLinkToAnotherDisk) {
  ASSERT_EQ(::geteuid(), 0U) << "needs root";
  fs::create_directory(dir_ / "disk");
  fs::create_directory(target());
  fs::create_directory_symlink(dir_ / "disk", target() / "blobs");
  (void)import({source_.root()});
  EXPECT_FALSE(fs::is_empty(dir_ / "disk"));
  EXPECT_TRUE(fs::is_symlink(target() / "blobs"));
  const std::string again = make_archive(pack_directory(source_.root()));
  EXPECT_EQ(import_piped(again).blobs_written, 0U);
}

TEST_F(ImportPlacesTest, FollowsLinksWithinTheStore) {
  fs::create_directories(target() / "real");
  fs::create_directory_symlink("real", target() / "blobs");
  (void)import({source_.root()});
  EXPECT_FALSE(fs::is_empty(target() / "real"));
  EXPECT_EQ(id_of(target()), digest_.id());
}

// The store's owner swaps a folder for a link and back while root imports.
TEST_F(ImportPlacesTest, WritesNothingElsewhereWhileAFolderIsSwapped) {
  ASSERT_EQ(::geteuid(), 0U) << "needs root";
  const User user = User::named("games");
  const fs::path outside = dir_ / "outside";
  fs::create_directory(outside);
  const std::string archive = make_archive(pack_directory(source_.root()));
  fs::create_directories(target() / "blobs");
  fs::create_directories(target() / "manifests/registry.ollama.ai/library");
  ASSERT_EQ(::chown(target().c_str(), user.uid, user.gid), 0);
  fs::create_directory_symlink(outside, target() / "swap");
  ASSERT_EQ(::lchown((target() / "swap").c_str(), user.uid, user.gid), 0);
  std::jthread swapper{[&](const std::stop_token& stop) {
    while (!stop.stop_requested()) {
      for (const char* const name : {"blobs", "manifests"}) {
        (void)::renameat2(AT_FDCWD, (target() / "swap").c_str(), AT_FDCWD,
                          (target() / name).c_str(), RENAME_EXCHANGE);
        (void)::renameat2(AT_FDCWD, (target() / "swap").c_str(), AT_FDCWD,
                          (target() / name).c_str(), RENAME_EXCHANGE);
      }
    }
  }};
  for (int round = 0; round < 200; ++round) {
    try {
      (void)import_piped(archive, {.replace = true});
    } catch (const std::exception&) {
    }
  }
  swapper = {};
  EXPECT_TRUE(fs::is_empty(outside));
}

}  // namespace
}  // namespace ollamafs::test
