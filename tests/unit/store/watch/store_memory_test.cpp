// What a scanner remembers: it looks at nothing again that has not changed, and finds what a first
// look finds, whatever changed.
#include "store/watch/store_memory.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <functional>
#include <memory>
#include <random>
#include <sstream>
#include <string>
#include <vector>

#include "store/catalog/catalog.h"
#include "store/catalog/model_query.h"
#include "store/catalog/store_scanner.h"
#include "tests/support/fault_texts.h"
#include "tests/support/faulty_calls.h"
#include "tests/support/store_builder.h"
#include "tests/support/temp_dir.h"

namespace ollamafs::test {
namespace {

namespace fs = std::filesystem;

// A file that was written longer ago than this will have other times if it is written again.
// Microseconds.
constexpr useconds_t kLongAgo = 120'000;

// That its reader takes it for what it is, and not for being written.
void age(const fs::path& path) {
  std::error_code ec;
  fs::last_write_time(path, fs::file_time_type::clock::now() - std::chrono::hours{1}, ec);
}

// ---- how much is looked at ----

class Remembering : public ::testing::Test {
 protected:
  Remembering() {
    for (std::uint64_t i = 0; i < 100; ++i) {
      store_.v1("m" + std::to_string(i) + ":a", store_.text_model(i % 5, 100));
      store_.v2("n" + std::to_string(i) + ":a", store_.text_model(i % 7, 100));
    }
    usleep(kLongAgo);
    plan_.fail(call::kAll, EIO, ~std::uint64_t{0});
  }

  std::uint64_t calls_of_a_scan(StoreScanner& scanner) {
    plan_.seen = 0;
    last_ = scanner.scan();
    return plan_.seen;
  }

  TempDir temp_;
  StoreBuilder store_{temp_ / "store"};
  FaultPlan plan_;
  FaultyCalls calls_{plan_};
  StoreDir dir_{store_.root(), OutsideLinks::refuse, {}, calls_};
  std::shared_ptr<const Catalog> last_;
};

TEST_F(Remembering, LooksOnlyAtWhatChanged) {
  StoreScanner scanner{dir_, true};
  const auto first = calls_of_a_scan(scanner);
  EXPECT_GT(first, 2000u);
  const auto nothing = calls_of_a_scan(scanner);
  EXPECT_LT(nothing, 50u);
  store_.v1("new:a", store_.text_model(1, 100));
  EXPECT_LT(calls_of_a_scan(scanner), nothing + 450);  // the folder that holds the other 200, too
  EXPECT_NE(find_model(*last_, "new:a"), nullptr);
  store_.v1("m1:b", store_.text_model(1, 100));
  EXPECT_LT(calls_of_a_scan(scanner), nothing + 60);
  EXPECT_NE(find_model(*last_, "m1:b"), nullptr);
}

// By another name, or where a symlink leads.
TEST_F(Remembering, LooksAgainAtWhatMayChangeUnseen) {
  const fs::path tag = store_.v1_path(*ModelName::parse("m1:a"));
  fs::create_hard_link(tag, temp_ / "other");
  write_file(store_.root() / "target", read_file(tag));
  const fs::path link = store_.v1_path(*ModelName::parse("m2:a"));
  fs::remove(link);
  fs::create_symlink("../../../../target", link);
  StoreScanner scanner{dir_, true};
  usleep(kLongAgo);
  (void)scanner.scan();
  const std::string json = store_.text_model(4, 100).json();
  for (const fs::path& path : {temp_ / "other", store_.root() / "target"}) write_file(path, json);
  const auto now = scanner.scan();
  EXPECT_EQ(find_model(*now, "m1:a")->manifest->bytes, json);
  EXPECT_EQ(find_model(*now, "m2:a")->manifest->bytes, json);
}

// A directory of blobs that is one of manifests too.
TEST_F(Remembering, SeesBlobsWhereATagsFolderLeadsToThem) {
  fs::create_directory_symlink("../../../blobs",
                               store_.root() / "manifests/registry.ollama.ai/library/odd");
  StoreScanner scanner{dir_, true};
  (void)scanner.scan();
  ASSERT_TRUE(find_model(*scanner.scan(), "m1:a")->whole());
  fs::remove(store_.blob_path(*Digest::parse(store_.text_model(1, 100).layers[0].digest)));
  EXPECT_FALSE(find_model(*scanner.scan(), "m1:a")->whole());
}

TEST_F(Remembering, FollowsALinkThatLeadsThroughOthers) {
  const fs::path tag = store_.v2_path(*ModelName::parse("n1:a"));
  const fs::path blob = fs::read_symlink(tag).filename();
  fs::create_directory_symlink("blobs", store_.root() / "side");
  fs::remove(tag);
  fs::create_symlink("../../../../side" / blob, tag);
  usleep(kLongAgo);
  StoreScanner scanner{dir_, true};
  ASSERT_TRUE(find_model(*scanner.scan(), "n1:a")->whole());
  fs::remove(store_.root() / "side");
  EXPECT_FALSE(find_model(*scanner.scan(), "n1:a")->whole());
}

TEST_F(Remembering, LooksAtEverythingIfChangesCannotBeSeen) {
  StoreScanner scanner{dir_, false};
  const auto first = calls_of_a_scan(scanner);
  EXPECT_GT(calls_of_a_scan(scanner), first / 2);
}

TEST_F(Remembering, LooksAtEverythingAgainAfterAFailure) {
  StoreScanner scanner{dir_, true};
  const auto first = calls_of_a_scan(scanner);
  store_.v1("new:a", store_.text_model(1, 100));
  plan_.fail(call::kAll, EMFILE, 20);
  EXPECT_THROW((void)scanner.scan(), std::system_error);
  plan_.fail(call::kAll, EIO, ~std::uint64_t{0});
  EXPECT_GT(calls_of_a_scan(scanner), first / 2);
  EXPECT_NE(find_model(*last_, "new:a"), nullptr);
}

// ---- that it is right ----

// Changes a store at random, in every way that it may be changed.
class RandomStore {
 public:
  RandomStore(const StoreBuilder& store, const fs::path& outside, std::uint64_t seed)
      : store_{store}, outside_{outside}, random_{seed} {
    fs::create_directories(outside_);
  }

  // Returns what was done.
  std::string change() {
    using Way = std::pair<const char*, void (RandomStore::*)()>;
    static constexpr Way ways[] = {
        {"a model", &RandomStore::write_model},
        {"a newer model", &RandomStore::write_newer_model},
        {"a model", &RandomStore::write_model},
        {"no manifest", &RandomStore::write_rubbish},
        {"written in place", &RandomStore::write_in_place},
        {"removed", &RandomStore::remove},
        {"renamed", &RandomStore::rename},
        {"exchanged", &RandomStore::exchange},
        {"made a folder", &RandomStore::make_folder},
        {"made a symlink", &RandomStore::make_link},
        {"given another name", &RandomStore::make_hard_link},
        {"written by another name", &RandomStore::write_by_another_name},
        {"a blob cut", &RandomStore::cut_blob},
        {"a blob removed", &RandomStore::remove_blob},
        {"a blob written again", &RandomStore::restore_blob},
        {"a blob moved behind a symlink", &RandomStore::link_blob},
        {"mode", &RandomStore::change_mode},
        {"time", &RandomStore::change_time},
        {"moved behind a symlink, or back", &RandomStore::move_tree},
    };
    const auto& [what, way] = ways[random_() % std::size(ways)];
    (this->*way)();
    return std::string{what} + ": " + last_.string();
  }

 private:
  std::string name() {
    static constexpr const char* hosts[] = {"", "hf.co/ns/", "ns/"};
    return hosts[random_() % 3] + std::string{"m"} + std::to_string(random_() % 3) + ":t" +
           std::to_string(random_() % 2);
  }
  ManifestSpec model() { return store_.text_model(random_() % 4, 100); }

  // A file or folder of a tree, or nothing at a place of the store.
  fs::path any_entry() {
    std::vector<fs::path> all;
    std::error_code ec;
    for (const char* const tree : {"manifests", "manifests-v2"}) {
      for (fs::recursive_directory_iterator it{store_.root() / tree, ec}, end; it != end;
           it.increment(ec)) {
        all.push_back(it->path());
      }
    }
    return last_ = all.empty() ? store_.root() / "nothing/here" : all[random_() % all.size()];
  }
  fs::path any_blob() {
    std::vector<fs::path> all;
    std::error_code ec;
    for (const auto& entry : fs::directory_iterator{store_.root() / "blobs", ec}) {
      all.push_back(entry.path());
    }
    return last_ = all.empty() ? store_.root() / "nothing/here" : all[random_() % all.size()];
  }

  void write_model() try {
    const std::string which = name();
    last_ = store_.v1_path(*ModelName::parse(which));
    store_.v1(which, model());
    age(last_);
  } catch (const std::exception&) {  // a file where a folder belongs
  }
  void write_newer_model() try {
    const std::string which = name();
    last_ = store_.v2_path(*ModelName::parse(which));
    fs::remove_all(last_);
    store_.v2(which, model(), random_() % 3 == 0);
  } catch (const std::exception&) {
  }
  void write_rubbish() {
    const fs::path path = any_entry();
    if (std::error_code ec; !fs::is_regular_file(path, ec)) return;
    write_file(path, "{");
    age(path);
  }
  void write_in_place() {
    const fs::path path = any_entry();
    if (std::error_code ec; !fs::is_regular_file(path, ec)) return;
    write_file(path, model().json());
    age(path);
  }
  void remove() {
    std::error_code ec;
    fs::remove_all(any_entry(), ec);
  }
  void rename() {
    const fs::path from = any_entry();
    const fs::path to = any_entry();
    std::error_code ec;
    fs::rename(from, random_() % 2 ? to : to.parent_path() / "m7", ec);
  }
  void exchange() {
    const fs::path one = any_entry();
    const fs::path other = any_entry();
    (void)::renameat2(AT_FDCWD, one.c_str(), AT_FDCWD, other.c_str(), RENAME_EXCHANGE);
  }
  void make_folder() {
    std::error_code ec;
    fs::create_directory(any_entry().parent_path() / "m8", ec);
  }
  void make_link() {
    const fs::path target = any_entry();
    const fs::path place = any_entry().parent_path() / ("l" + std::to_string(random_() % 3));
    std::error_code ec;
    fs::create_symlink(fs::relative(target, place.parent_path()), place, ec);
  }
  // Outside, where nobody sees it written to. That there is one more is not seen either, but the
  // mode that is set is.
  void make_hard_link() {
    const fs::path path = random_() % 2 ? any_entry() : any_blob();
    if (::link(path.c_str(), (outside_ / std::to_string(random_() % 4)).c_str()) != 0) return;
    (void)::chmod(path.c_str(), 0644);
  }
  void write_by_another_name() {
    const fs::path path = outside_ / std::to_string(random_() % 4);
    if (std::error_code ec; !fs::is_regular_file(path, ec)) return;
    write_file(path, model().json());
    age(path);
  }
  void cut_blob() {
    std::error_code ec;
    fs::resize_file(any_blob(), random_() % 50, ec);
  }
  void remove_blob() {
    std::error_code ec;
    fs::remove(any_blob(), ec);
  }
  void restore_blob() try {
    (void)model();
    for (std::uint64_t seed = 0; seed < 4; ++seed) (void)store_.text_model(seed, 100);
  } catch (const std::exception&) {
  }
  void link_blob() {
    const fs::path blob = any_blob();
    const fs::path elsewhere = store_.root() / ("b" + std::to_string(random_() % 4));
    std::error_code ec;
    fs::rename(blob, elsewhere, ec);
    fs::create_symlink("../" + elsewhere.filename().string(), blob, ec);
  }
  void change_mode() {
    const fs::path path = random_() % 2 ? any_entry() : any_blob();
    (void)::chmod(path.c_str(), fs::is_directory(fs::symlink_status(path)) ? 0700 + random_() % 64
                                                                           : random_() % 512);
  }
  void change_time() { age(random_() % 2 ? any_entry() : any_blob()); }
  void move_tree() {
    const char* const folders[] = {"manifests", "manifests-v2", "blobs"};
    last_ = store_.root() / folders[random_() % 3];
    const fs::path away = last_.string() + "-away";
    std::error_code ec;
    if (fs::is_symlink(last_)) {
      fs::remove(last_, ec);
      fs::rename(away, last_, ec);
    } else {
      fs::rename(last_, away, ec);
      fs::create_directory_symlink(away.filename(), last_, ec);
    }
  }

  const StoreBuilder& store_;
  fs::path outside_;
  std::mt19937_64 random_;
  fs::path last_;
};

std::string described(const Catalog& catalog) {
  std::ostringstream out;
  for (const Model& model : catalog.models()) {
    out << model.shown << " " << model.tag_path << " " << model.mtime << " "
        << model.manifest->digest.hex().substr(0, 8);
    for (const std::string& fault : texts(model.faults)) out << "; " << fault;
    out << "\n";
  }
  for (const Blob& blob : catalog.blobs()) {
    out << blob.digest.hex().substr(0, 8) << " " << blob.error << " " << blob.identity.size << " "
        << blob.identity.inode << " " << blob.identity.mtime_ns << " " << blob.identity.ctime_ns
        << " " << blob.outside << "\n";
  }
  for (const Problem& problem : catalog.problems()) {
    out << problem.path << " " << problem.text << "\n";
  }
  return out.str();
}

class RandomChanges : public ::testing::TestWithParam<std::uint64_t> {};

INSTANTIATE_TEST_SUITE_P(Seeds, RandomChanges, ::testing::Range(std::uint64_t{0}, std::uint64_t{4}),
                         ::testing::PrintToStringParamName());

TEST_P(RandomChanges, AreFoundAsAFirstLookFindsThem) {
  const TempDir temp;
  const StoreBuilder builder{temp / "store"};
  RandomStore changing{builder, temp / "outside", GetParam()};
  StoreDir dir{builder.root(), OutsideLinks::refuse};
  StoreScanner scanner{dir, true};
  std::string done;
  for (int i = 0; i < 30; ++i) {
    // What was written just now is not remembered.
    if (i > 10) usleep(kLongAgo);
    (void)scanner.scan();
    for (int n = 0; n <= i % 4; ++n) done += changing.change() + "\n";
    const std::string now = described(*scanner.scan());
    if (scanner.is_unsettled()) continue;
    ASSERT_EQ(now, described(*Catalog::read(StoreDir{builder.root(), OutsideLinks::refuse})))
        << "after these changes:\n"
        << done;
  }
}

}  // namespace
}  // namespace ollamafs::test
