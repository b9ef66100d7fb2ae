#include "store/catalog/catalog.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <stdexcept>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

#include "store/base/text.h"
#include "store/catalog/model_query.h"
#include "tests/support/fault_texts.h"
#include "tests/support/few_descriptors.h"
#include "tests/support/sample_store.h"
#include "tests/support/store_builder.h"
#include "tests/support/temp_dir.h"

namespace ollamafs::test {
namespace {

namespace fs = std::filesystem;

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;
using ::testing::StartsWith;
using ::testing::UnorderedElementsAre;

using CatalogPtr = std::shared_ptr<const Catalog>;

// The model that is shown under this name.
const Model& find(const Catalog& catalog, std::string_view shown) {
  const Model* model = find_model(catalog, shown);
  if (!model) throw std::runtime_error{"no model " + std::string{shown}};
  return *model;
}

class CatalogTest : public ::testing::Test {
 protected:
  [[nodiscard]] CatalogPtr read(OutsideLinks outside = OutsideLinks::refuse,
                                const std::vector<fs::path>& follow = {}) const {
    return Catalog::read(StoreDir{store_.root(), outside, follow});
  }
  [[nodiscard]] static std::vector<std::string> shown(const CatalogPtr& catalog) {
    std::vector<std::string> names;
    for (const Model& model : catalog->models()) names.push_back(model.shown);
    return names;
  }
  // The problems as people read them: the path, then the reason that goes on from it.
  [[nodiscard]] static std::vector<std::string> problems(const CatalogPtr& catalog) {
    std::vector<std::string> lines;
    for (const Problem& p : catalog->problems()) lines.push_back(p.path + " " + p.text);
    return lines;
  }
  [[nodiscard]] fs::path weights_of(const ManifestSpec& spec) const {
    return store_.blob_path(*Digest::parse(spec.layers[0].digest));
  }

  TempDir dir_;
  StoreBuilder store_{dir_ / "models"};
};

// ---- what a catalog is ----

TEST_F(CatalogTest, OfAnEmptyStoreIsEmpty) {
  const auto catalog = read();
  EXPECT_THAT(catalog->models(), IsEmpty());
  EXPECT_THAT(catalog->blobs(), IsEmpty());
  EXPECT_THAT(catalog->problems(), IsEmpty());
  EXPECT_EQ(find_model(*catalog, "llama3.2:3b"), nullptr);
  fs::remove(store_.root() / "blobs");
  EXPECT_THAT(read()->models(), IsEmpty());
}

TEST_F(CatalogTest, HoldsTheModelsOfBothTreesInTheOrderOfTheirViewNames) {
  for (const char* const name : {"zeta:latest", "hf.co/a/b:q4", "alpha:2", "me/one:x"}) {
    store_.v1(name, store_.text_model(1, 100));
  }
  for (const char* const name : {"alpha:10", "localhost:5000/me/one:x", "beta:latest"}) {
    store_.v2(name, store_.text_model(1, 100));
  }
  const auto catalog = read();
  EXPECT_THAT(shown(catalog),
              UnorderedElementsAre("alpha:10", "alpha:2", "beta:latest", "hf.co/a/b:q4",
                                   "localhost:5000/me/one:x", "me/one:x", "zeta:latest"));
  EXPECT_TRUE(std::ranges::is_sorted(catalog->models(), {}, &Model::view_name));
  for (const Model& model : catalog->models()) {
    EXPECT_TRUE(model.whole()) << model.shown;
    EXPECT_EQ(model.view_name, view_name(model.shown));
    EXPECT_EQ(find_model(*catalog, model.shown), &model);
  }
  EXPECT_EQ(find_model(*catalog, "alpha"), nullptr);
  EXPECT_THAT(catalog->problems(), IsEmpty());
}

TEST_F(CatalogTest, HoldsEveryBlobOnceWithAllItsUsers) {
  const ManifestSpec one = store_.text_model(1, 100), other = store_.text_model(2, 100);
  store_.v1("a:latest", one);
  store_.v2("b:latest", one);
  store_.v1("c:latest", other);  // template, params and config as one
  store_.layer(kModelType, "nobody's");
  const auto catalog = read();
  ASSERT_THAT(catalog->blobs(), SizeIs(5));
  for (std::uint32_t i = 0; i < catalog->blobs().size(); ++i) {
    const Blob& blob = catalog->blobs()[i];
    if (blob.digest == Digest::parse(one.layers[0].digest)) {
      EXPECT_THAT(catalog->users(i), ElementsAre(0u, 1u));
    } else if (blob.digest == Digest::parse(other.layers[0].digest)) {
      EXPECT_THAT(catalog->users(i), ElementsAre(2u));
    } else {
      EXPECT_THAT(catalog->users(i), ElementsAre(0u, 1u, 2u));
    }
    EXPECT_EQ(blob.identity.size, fs::file_size(store_.root() / blob.digest.blob_path()));
  }
}

TEST_F(CatalogTest, HoldsItsBlobsInTheOrderOfTheirDigests) {
  for (const int seed : {1, 2, 3, 4, 5, 6, 7, 8}) {
    store_.v1("m:" + std::to_string(seed), store_.text_model(static_cast<unsigned>(seed), 100));
  }
  const auto catalog = read();
  ASSERT_THAT(catalog->blobs(), SizeIs(11));
  EXPECT_TRUE(std::ranges::is_sorted(catalog->blobs(), {}, &Blob::digest));
  for (const Model& model : catalog->models()) {
    ASSERT_EQ(model.blobs.size(), model.manifest->blobs.size());
    for (std::size_t i = 0; i < model.blobs.size(); ++i) {
      EXPECT_EQ(catalog->blobs()[model.blobs[i]].digest, model.manifest->blobs[i].digest);
    }
  }
}

TEST_F(CatalogTest, TellsWhenATagWasMadeAndWhoseItIs) {
  const Digest digest = store_.v2("a:latest", store_.text_model(1, 100));
  const fs::path tag = store_.v2_path(*ModelName::parse("a:latest"));
  const timespec times[] = {{1'700'000'000, 0}, {1'700'000'000, 0}};
  ASSERT_EQ(::utimensat(AT_FDCWD, tag.c_str(), times, AT_SYMLINK_NOFOLLOW), 0);
  const uid_t owner = ::geteuid() == 0 ? 4321 : ::geteuid();
  ASSERT_EQ(::chown(store_.blob_path(digest).c_str(), owner, static_cast<gid_t>(-1)), 0);
  const auto catalog = read();
  EXPECT_EQ(find(*catalog, "a:latest").mtime, 1'700'000'000);
  EXPECT_EQ(find(*catalog, "a:latest").uid, owner);
}

TEST_F(CatalogTest, CountsARepeatedBlobOnce) {
  ManifestSpec spec = store_.text_model(1, 100);
  spec.layers.push_back(spec.layers[0]);
  spec.layers.push_back(*spec.config);
  store_.v1("a:latest", spec);
  const auto catalog = read();
  EXPECT_TRUE(find(*catalog, "a:latest").whole());
  EXPECT_THAT(find(*catalog, "a:latest").blobs, SizeIs(4));
  EXPECT_THAT(catalog->blobs(), SizeIs(4));
}

TEST_F(CatalogTest, HoldsEmptyBlobs) {
  ManifestSpec spec = store_.text_model(1, 100);
  spec.layers.push_back(store_.layer(kSystemType, ""));
  store_.v1("a:latest", spec);
  EXPECT_TRUE(find(*read(), "a:latest").whole());
}

// ---- broken models: every fault names the blob and what is wrong with it (docs/view.md §4) ----

TEST_F(CatalogTest, KnowsWhatIsWrongWithABlob) {
  const ManifestSpec spec = store_.text_model(1, 100);
  const fs::path blob = weights_of(spec);
  const std::string bytes = read_file(blob);
  store_.v1("bad:latest", spec);
  store_.v1("good:latest", store_.text_model(2, 100));
  write_file(dir_ / "outside", bytes);

  const std::vector<std::pair<std::function<void()>, std::string>> faults = {
      {[] {}, "is missing"},
      {[&] { write_file(blob, bytes.substr(1)); }, "has 103 bytes, its manifest says 104"},
      {[&] { write_file(blob, bytes + "x"); }, "has 105 bytes, its manifest says 104"},
      {[&] { fs::create_directory(blob); }, "is not a regular file"},
      {[&] { ASSERT_EQ(::mkfifo(blob.c_str(), 0644), 0); }, "is not a regular file"},
      {[&] { fs::create_symlink("/dev/null", blob); }, "leads out of the store"},
      {[&] { fs::create_symlink("nowhere", blob); }, "is missing"},
      {[&] { fs::create_symlink(blob.filename(), blob); }, "leads nowhere"},
      {[&] { fs::create_symlink(dir_ / "outside", blob); }, "leads out of the store"},
      {[&] { fs::create_symlink("../../outside", blob); }, "leads out of the store"},
  };
  for (const auto& [spoil, reason] : faults) {
    fs::remove_all(blob);
    spoil();
    const auto catalog = read();
    ASSERT_THAT(shown(catalog), ElementsAre("bad:latest", "good:latest")) << reason;
    EXPECT_THAT(texts(find(*catalog, "bad:latest").faults),
                ElementsAre(AllOf(HasSubstr(blob.filename().string()), HasSubstr(reason))));
    EXPECT_TRUE(find(*catalog, "good:latest").whole()) << reason;
    EXPECT_THAT(problems(catalog), IsEmpty()) << reason;  // the model says it, and once is enough
  }
}

TEST_F(CatalogTest, BreaksEveryModelThatNeedsABadBlobAndNoOther) {
  const ManifestSpec spec = store_.text_model(1, 100);
  store_.v1("a:latest", spec);
  store_.v2("b:latest", spec);
  store_.v1("c:latest", store_.text_model(2, 100));
  fs::remove(weights_of(spec));
  const auto catalog = read();
  EXPECT_FALSE(find(*catalog, "a:latest").whole());
  EXPECT_FALSE(find(*catalog, "b:latest").whole());
  EXPECT_TRUE(find(*catalog, "c:latest").whole());
}

TEST_F(CatalogTest, IsNotMisledByADigestThatClimbs) {
  ManifestSpec spec = store_.text_model(1, 100);
  write_file(store_.root() / "x", std::string(7, 'x'));
  spec.layers.push_back({kModelType, "sha256:../../x", 7});
  store_.v1("a:latest", spec);
  const auto catalog = read();
  EXPECT_THAT(texts(find(*catalog, "a:latest").faults), ElementsAre(HasSubstr("sha256:../../x")));
  EXPECT_THAT(catalog->blobs(), SizeIs(4));
}

// ---- blobs on other disks ----

TEST_F(CatalogTest, TakesABlobLinkedInsideOfTheStore) {
  const ManifestSpec spec = store_.text_model(1, 100);
  store_.v1("a:latest", spec);
  fs::rename(weights_of(spec), store_.root() / "weights.gguf");
  for (const fs::path& target : {store_.root() / "weights.gguf", fs::path{"../weights.gguf"}}) {
    fs::remove(weights_of(spec));
    fs::create_symlink(target, weights_of(spec));
    const auto catalog = read();
    EXPECT_TRUE(find(*catalog, "a:latest").whole()) << target;
    EXPECT_THAT(problems(catalog), IsEmpty());
  }
}

TEST_F(CatalogTest, TakesBlobsLinkedAsAWholeInsideOfTheStore) {
  store_.v2("a:latest", store_.text_model(1, 100));
  fs::rename(store_.root() / "blobs", store_.root() / "big");
  fs::create_directory_symlink(store_.root() / "big", store_.root() / "blobs");
  const auto catalog = read();
  ASSERT_THAT(shown(catalog), ElementsAre("a:latest"));
  EXPECT_TRUE(find(*catalog, "a:latest").whole());
}

TEST_F(CatalogTest, TakesBlobsOnAnotherDiskOnlyWhereItMay) {
  store_.v1("a:latest", store_.text_model(1, 100));
  store_.v1("b:latest", store_.text_model(2, 100));
  fs::create_directory(dir_ / "disk");
  fs::rename(store_.root() / "blobs", dir_ / "disk/blobs");
  fs::create_directory_symlink(dir_ / "disk/blobs", store_.root() / "blobs");

  const auto refused = read();
  ASSERT_THAT(shown(refused), ElementsAre("a:latest", "b:latest"));
  for (const Model& model : refused->models()) {
    ASSERT_THAT(model.faults, SizeIs(4));
    for (const std::string& fault : texts(model.faults))
      EXPECT_THAT(fault, HasSubstr("-o follow="));
  }

  const auto named = read(OutsideLinks::refuse, {dir_ / "disk"});
  EXPECT_TRUE(find(*named, "a:latest").whole());
  EXPECT_THAT(problems(named), IsEmpty());

  const auto followed = read(OutsideLinks::follow);
  EXPECT_TRUE(find(*followed, "a:latest").whole());
  EXPECT_THAT(problems(followed), ElementsAre(AllOf(StartsWith("blobs/"), HasSubstr("followed"))));
}

// Of thousands of blobs there is one line.
TEST_F(CatalogTest, SaysOnceThatAnOrdinaryUsersLinksLeadOut) {
  for (const char* const tree : {"manifests", "manifests-v2", "blobs"}) {
    fs::create_directories(dir_ / "disk" / tree);
    fs::remove(store_.root() / tree);
    fs::create_directory_symlink(dir_ / "disk" / tree, store_.root() / tree);
  }
  store_.v1("a:latest", store_.text_model(1, 100));
  store_.v2("b:latest", store_.text_model(2, 100));
  store_.v2("c:latest", store_.text_model(3, 100), true);
  const auto catalog = read(OutsideLinks::follow);
  EXPECT_THAT(shown(catalog), ElementsAre("a:latest", "b:latest", "c:latest"));
  for (const Model& model : catalog->models()) EXPECT_THAT(texts(model.faults), IsEmpty());
  EXPECT_THAT(problems(catalog), ElementsAre(HasSubstr("followed")));
}

// ---- what may not be read ----

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

// Blobs that `ollama create` made before 0.3.7 are 0600.
TEST_F(CatalogTest, BreaksAModelWhoseBlobMayNotBeRead) {
  const ManifestSpec spec = store_.text_model(1, 100);
  store_.v1("bad:latest", spec);
  store_.v1("good:latest", store_.text_model(2, 100));
  fs::permissions(weights_of(spec), fs::perms::none);
  EXPECT_TRUE(as_nobody([&] {
    const auto catalog = read();
    return ::testing::Matches(ElementsAre(AllOf(HasSubstr(weights_of(spec).filename().string()),
                                                HasSubstr("Permission denied"))))(
               texts(find(*catalog, "bad:latest").faults)) &&
           find(*catalog, "good:latest").whole();
  }));
}

// A store that may not be read is not an empty store.
TEST_F(CatalogTest, IsNotMadeOfAStoreThatMayNotBeRead) {
  for (const char* const tree : {"manifests", "manifests-v2"}) {
    const fs::path folder = store_.root() / tree;
    fs::create_directory(folder);
    fs::permissions(folder, fs::perms::none);
    EXPECT_TRUE(as_nobody([&] {
      try {
        (void)read();
        return false;
      } catch (const std::system_error& error) {
        return error.code() == std::errc::permission_denied &&
               std::string{error.what()}.find(folder.string()) != std::string::npos;
      }
    })) << tree;
    fs::permissions(folder, fs::perms{0755});
  }
}

// Nor is one that is read in part for want of descriptors a smaller store: whatever is the first
// that cannot be opened.
TEST_F(CatalogTest, IsNotMadeOfAStoreThatTheProcessCannotRead) {
  write_sample_models(store_);
  const std::size_t models = read()->models().size();
  const StoreDir store{store_.root(), OutsideLinks::refuse};
  const auto first = static_cast<rlim_t>(::dup(0));
  ::close(static_cast<int>(first));
  int failures = 0;
  for (rlim_t limit = first; limit < first + 6; ++limit) {
    const FewDescriptors shortage{limit};
    try {
      EXPECT_THAT(Catalog::read(store)->models(), SizeIs(models)) << limit;
    } catch (const std::system_error& error) {
      EXPECT_EQ(error.code(), std::errc::too_many_files_open);
      EXPECT_THAT(error.what(), HasSubstr(store_.root().string()));
      ++failures;
    }
  }
  EXPECT_GE(failures, 2);
}

TEST_F(CatalogTest, IsNotMadeOfATreeThatLeadsInCircles) {
  store_.v1("a:b", store_.text_model(1, 100));
  fs::create_symlink("manifests-v2", store_.root() / "manifests-v2");
  EXPECT_THROW((void)read(), std::system_error);
}

// Its bytes are not those of the v2 entry for which it stands, nor is its ID.
TEST_F(CatalogTest, DoesNotTakeAV1ModelForAnEntryThatCannotBeListed) {
  ManifestSpec anchor = store_.text_model(1, 100);
  anchor.layers.push_back(store_.layer(kListType, "a list"));
  store_.v1("anchored:a", anchor);
  store_.v1("plain:a", store_.text_model(2, 100));
  store_.v1("hf.co/elsewhere/plain:a", store_.text_model(2, 100));
  store_.v2("other:a", store_.text_model(3, 100));
  EXPECT_TRUE(find(*read(), "anchored:a").whole());
  const fs::path folder = store_.root() / "manifests-v2/ollama.com/library";
  fs::permissions(folder, fs::perms::none);
  EXPECT_TRUE(as_nobody([&] {
    const auto catalog = read();
    return !find(*catalog, "anchored:a").whole() && !find(*catalog, "plain:a").whole() &&
           find(*catalog, "hf.co/elsewhere/plain:a").whole();
  }));
  fs::permissions(folder, fs::perms{0755});
}

// ---- everything at once ----

bool is_clean(const std::string& line) {
  const auto control = [](unsigned char c) { return c < 0x20 || c == 0x7F; };
  return is_valid_utf8(line) && std::ranges::none_of(line, control) &&
         line.find("\xC2\x9B") == std::string::npos;
}

TEST_F(CatalogTest, OfAHostileStoreStillHoldsTheOthers) {
  write_sample_models(store_);
  const std::vector<std::string> samples = shown(read());
  ASSERT_FALSE(samples.empty());
  write_broken_models(store_);
  const fs::path tags = store_.root() / "manifests/registry.ollama.ai/evil/model";
  const std::string bell = "\x1b]0;\x07\n\xFF";
  write_file(tags / "key", R"({"layers":[{"\u001b[31m\n":1},5]})");
  write_file(tags / "type", R"({"layers":[{"mediaType":"\u009b31m\n","digest":"\u0007"}]})");
  write_file(tags / "deep", R"({"x":)" + std::string(100'000, '['));
  write_file(tags / bell, "{}");
  write_file(store_.root() / "manifests" / bell, "");
  ASSERT_EQ(::mkfifo((tags / "fifo").c_str(), 0644), 0);
  ASSERT_EQ(::mkfifo((store_.root() / "manifests/registry.ollama.ai/fifo").c_str(), 0644), 0);
  fs::create_symlink(bell, tags / "link");

  const auto catalog = read();
  for (const std::string& name : samples) {
    const Model* model = find_model(*catalog, name);
    ASSERT_NE(model, nullptr) << name;
    EXPECT_TRUE(model->whole()) << name;
  }
  EXPECT_TRUE(std::ranges::is_sorted(catalog->problems(), {}, &Problem::path));
  for (const Problem& problem : catalog->problems()) {
    EXPECT_TRUE(is_clean(problem.text)) << problem.path << " " << printable(problem.text);
  }
  for (const Model& model : catalog->models()) {
    for (const std::string& fault : texts(model.faults))
      EXPECT_TRUE(is_clean(fault)) << printable(fault);
  }
}

}  // namespace
}  // namespace ollamafs::test
