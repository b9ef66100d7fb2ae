#include "store/transfer/export.h"

#include <archive.h>
#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zstd.h>

#include <cerrno>
#include <csignal>
#include <filesystem>
#include <functional>
#include <memory>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include "store/catalog/model_query.h"
#include "store/transfer/transfer_error.h"
#include "tests/support/faulty_writes.h"
#include "tests/support/process.h"
#include "tests/support/store_builder.h"
#include "tests/support/temp_dir.h"

namespace ollamafs::test {
namespace {

namespace fs = std::filesystem;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using Kind = TransferError::Kind;

// Stops after so many bytes, or does something else then.
class ProgressAt final : public Progress {
 public:
  ProgressAt(std::uint64_t bytes, std::function<void()> act) : left_{bytes}, act_{std::move(act)} {}

  void expect(std::uint64_t bytes, std::uint64_t count) override {
    expected = bytes;
    expected_items = count;
  }
  void next(std::string_view /*name*/) override { ++items; }
  void add(std::uint64_t bytes) override {
    added += bytes;
    if (added >= left_ && act_) std::exchange(act_, nullptr)();
  }

  std::uint64_t expected = 0, expected_items = 0, added = 0, items = 0;

 private:
  std::uint64_t left_;
  std::function<void()> act_;
};

void interrupt() {
  throw Interrupted{};
}

// What is thrown, as "kind: message"; empty if nothing is.
template <class Work>
std::pair<std::optional<Kind>, std::string> failure_of(Work work) {
  try {
    work();
  } catch (const TransferError& error) {
    return {error.kind(), error.what()};
  }
  return {};
}

class Exporting : public ::testing::Test {
 protected:
  void SetUp() override {
    store_.v1("golden:latest", store_.text_model(1, 1000));
    store_.v1("large:latest", store_.text_model(2, 3'000'000));
    ManifestSpec shared = store_.text_model(2, 3'000'000);  // the weights of large:latest
    shared.layers.push_back(store_.layer(kLicenseType, "mine"));
    store_.v2("me/shared:v1", shared);
    fs::create_directory(out_);
  }

  // Reads the store anew, and opens these models.
  ExportSource open(const std::vector<std::string>& names, const std::set<Digest>& without = {},
                    BlobLimits limits = {}) {
    catalog_ = Catalog::read(dir_of_store_);
    pool_ = std::make_unique<BlobPool>(dir_of_store_, limits);
    models_.clear();
    for (const std::string& name : names) models_.push_back(find_model(*catalog_, name));
    return open_export(*pool_, *catalog_, models_, without);
  }

  // The bytes of the tar, read by the layout.
  static std::string bytes_of(const ExportSource& source) {
    std::string bytes(source.size(), '\0');
    EXPECT_FALSE(source.file->read(bytes.data(), bytes.size(), 0));
    return bytes;
  }

  void to_file(const ExportSource& source, const fs::path& path,
               ExportFormat format = ExportFormat::tar, bool replace = false,
               const WriteCalls& calls = WriteCalls::kernel(),
               Progress& progress = Progress::none()) {
    export_to_file(source, format, path, replace, calls, progress);
  }

  std::vector<std::string> listing() const {
    std::vector<std::string> names;
    for (const auto& entry : fs::recursive_directory_iterator{out_}) {
      if (!entry.is_directory()) names.push_back(fs::relative(entry.path(), out_).string());
    }
    std::ranges::sort(names);
    return names;
  }

  TempDir dir_;
  StoreBuilder store_{dir_ / "models"};
  StoreDir dir_of_store_{store_.root(), OutsideLinks::refuse};
  std::shared_ptr<const Catalog> catalog_;
  std::unique_ptr<BlobPool> pool_;
  std::vector<const Model*> models_;
  fs::path out_ = dir_ / "out";
  fs::path file_ = out_ / "x.tar";
  WriteFaultPlan plan_;
  FaultyWrites faulty_{plan_};
};

// The hash of archives/golden+latest.tar (archive_test.cpp), computed by another program.
TEST_F(Exporting, WritesTheVeryBytesOfTheArchive) {
  to_file(open({"golden"}), file_);
  EXPECT_EQ(Digest::of(read_file(file_)).hex(),
            "8359a9d5dc882e88647554b84321deafbb0eeb39ca5dbe80859be741c4b0fd1b");
  EXPECT_THAT(listing(), ElementsAre("x.tar"));
}

TEST_F(Exporting, HasEachBlobOfSeveralModelsOnceAndTheManifestsLast) {
  const ExportSource source = open({"me/shared:v1", "golden", "large"});
  std::vector<std::string> paths;
  for (const ArchiveMember& member : source.members) paths.push_back(member.path);
  std::vector<std::string> expected;
  for (const auto& entry : fs::directory_iterator{store_.root() / "blobs"})
    expected.push_back("blobs/" + entry.path().filename().string());
  // The v2 manifest is a blob as well, which no model needs.
  std::erase(expected,
             "blobs/" + find_model(*catalog_, "me/shared:v1")->manifest->digest.blob_name());
  std::ranges::sort(expected);
  expected.insert(expected.end(), {"manifests/registry.ollama.ai/library/golden/latest",
                                   "manifests/registry.ollama.ai/library/large/latest",
                                   "manifests/registry.ollama.ai/me/shared/v1"});
  EXPECT_EQ(paths, expected);

  to_file(source, file_);
  const fs::path there = dir_ / "there";
  fs::create_directory(there);
  must({"tar", "-xf", file_.string(), "-C", there.string()});
  for (const ArchiveMember& member : source.members)
    EXPECT_EQ(Digest::of(read_file(there / member.path)), member.digest) << member.path;
}

TEST_F(Exporting, DoesNotDependOnTheOrderOfTheModels) {
  const std::string one = bytes_of(open({"golden", "large", "me/shared:v1"}));
  EXPECT_TRUE(one == bytes_of(open({"me/shared:v1", "large", "golden"})));
}

TEST_F(Exporting, LeavesOutWhatTheTargetHas) {
  std::set<Digest> without;
  for (const ArchiveMember& member : open({"large"}).members) {
    if (!member.of_model) without.insert(member.digest);
  }
  const ExportSource source = open({"me/shared:v1"}, without);
  ASSERT_EQ(source.members.size(), 2u);
  EXPECT_EQ(source.members[0].digest, Digest::of("mine"));
  to_file(source, file_);
  EXPECT_EQ(
      must({"tar", "-tf", file_.string()}),
      "blobs/" + Digest::of("mine").blob_name() + "\nmanifests/registry.ollama.ai/me/shared/v1\n");
}

TEST_F(Exporting, RefusesABrokenModelAndNamesEachFault) {
  const ManifestSpec manifest = store_.text_model(3, 2000);
  store_.v1("bad:latest", manifest);
  for (const std::size_t layer : {0u, 1u})
    fs::remove(store_.blob_path(Digest::parse(manifest.layers[layer].digest).value()));
  ManifestSpec worse;
  worse.layers = {{kModelType, "sha256:12", 5}};
  store_.v1("worse:latest", worse);
  const auto [kind, message] = failure_of([&] { (void)open({"me/shared:v1", "bad", "worse"}); });
  EXPECT_EQ(kind, Kind::broken);
  EXPECT_THAT(message, HasSubstr("bad:latest is broken"));
  EXPECT_THAT(message, HasSubstr("worse:latest is broken"));
  for (const std::size_t layer : {0u, 1u})
    EXPECT_THAT(message, HasSubstr(Digest::parse(manifest.layers[layer].digest)->hex()));
}

// ---- to a pipe ----

// What comes out of a pipe that is read slowly.
std::string through_pipe(const ExportSource& source, ExportFormat format, bool nonblocking,
                         const WriteCalls& calls = WriteCalls::kernel()) {
  int ends[2];
  EXPECT_EQ(::pipe2(ends, O_CLOEXEC), 0);
  const UniqueFd reading{ends[0]};
  UniqueFd writing{ends[1]};
  EXPECT_EQ(::fcntl(writing.get(), F_SETFL, nonblocking ? O_NONBLOCK : 0), 0);
  std::string out;
  std::thread reader{[&] {
    std::vector<char> buffer(70'001);
    for (ssize_t got; (got = ::read(reading.get(), buffer.data(), buffer.size())) > 0;)
      out.append(buffer.data(), static_cast<std::size_t>(got));
  }};
  const auto failure = failure_of([&] {
    export_to_descriptor(source, format, writing.get(), "pipe", calls, Progress::none());
  });
  writing = UniqueFd{};
  reader.join();
  EXPECT_FALSE(failure.first) << failure.second;
  return out;
}

TEST_F(Exporting, WritesTheSameBytesToAPipe) {
  for (const BlobLimits limits : {BlobLimits{}, BlobLimits{0, 0, 0}}) {
    const ExportSource source = open({"large", "golden"}, {}, limits);
    const std::string expected = bytes_of(source);
    EXPECT_TRUE(through_pipe(source, ExportFormat::tar, false) == expected);
    EXPECT_TRUE(through_pipe(source, ExportFormat::tar, true) == expected);
    plan_.fail(write_call::kSendfile, EINVAL, 2, 1'000'000);  // where the kernel cannot
    EXPECT_TRUE(through_pipe(source, ExportFormat::tar, false, faulty_) == expected);
    plan_.shorten(1, 1'000);
    EXPECT_TRUE(through_pipe(source, ExportFormat::tar, false, faulty_) == expected);
    plan_.fail(write_call::kWrites | write_call::kSendfile, EINTR, 1, 100);
    EXPECT_TRUE(through_pipe(source, ExportFormat::tar, false, faulty_) == expected);
    plan_.clear();
  }
}

TEST_F(Exporting, SaysThatTheReaderOfThePipeHasEnded) {
  int ends[2];
  ASSERT_EQ(::pipe2(ends, O_CLOEXEC), 0);
  UniqueFd{ends[0]};
  const UniqueFd writing{ends[1]};
  const auto before = std::signal(SIGPIPE, SIG_IGN);
  const auto [kind, message] = failure_of([&] {
    export_to_descriptor(open({"large"}), ExportFormat::tar, writing.get(), "the pipe",
                         WriteCalls::kernel(), Progress::none());
  });
  std::signal(SIGPIPE, before);
  EXPECT_EQ(kind, Kind::failed);
  EXPECT_THAT(message, HasSubstr("the pipe: who was reading it has ended"));
}

// ---- compressed ----

TEST_F(Exporting, CompressesTheSameBytes) {
  const ExportSource source = open({"large", "golden"});
  const std::string expected = bytes_of(source);
  to_file(source, out_ / "x.tar.zst", ExportFormat::tar_zst);
  to_file(source, out_ / "x.tar.gz", ExportFormat::tar_gz);
  EXPECT_TRUE(must({"zstd", "-dc", (out_ / "x.tar.zst").string()}) == expected);
  EXPECT_TRUE(must({"gzip", "-dc", (out_ / "x.tar.gz").string()}) == expected);
  EXPECT_TRUE(through_pipe(source, ExportFormat::tar_zst, false) == read_file(out_ / "x.tar.zst"));
  EXPECT_TRUE(through_pipe(source, ExportFormat::tar_gz, false) == read_file(out_ / "x.tar.gz"));
}

// ---- to a file ----

TEST_F(Exporting, TellsHowFarItIs) {
  for (const ExportFormat format :
       {ExportFormat::tar, ExportFormat::tar_zst, ExportFormat::tar_gz}) {
    const ExportSource source = open({"large"});
    ProgressAt progress{0, nullptr};
    to_file(source, file_, format, true, WriteCalls::kernel(), progress);
    EXPECT_EQ(progress.expected, source.size());
    EXPECT_EQ(progress.added, source.size());
    EXPECT_EQ(progress.expected_items, 4u);
    EXPECT_EQ(progress.items, 4u);
  }
}

TEST_F(Exporting, ReplacesAFileOnlyIfItMay) {
  write_file(file_, "precious");
  const ExportSource source = open({"golden"});
  const auto [kind, message] = failure_of([&] { to_file(source, file_); });
  EXPECT_EQ(kind, Kind::refused);
  EXPECT_THAT(message, HasSubstr(file_.string()));
  EXPECT_EQ(read_file(file_), "precious");
  EXPECT_THAT(listing(), ElementsAre("x.tar"));
  to_file(source, file_, ExportFormat::tar, true);
  EXPECT_TRUE(read_file(file_) == bytes_of(source));
}

// Somebody else makes the file while this is written.
TEST_F(Exporting, DoesNotReplaceWhatCameMeanwhile) {
  const ExportSource source = open({"large"});
  ProgressAt progress{1'000'000, [&] { write_file(file_, "precious"); }};
  EXPECT_EQ(failure_of([&] {
              to_file(source, file_, ExportFormat::tar, false, WriteCalls::kernel(), progress);
            }).first,
            Kind::refused);
  EXPECT_EQ(read_file(file_), "precious");
  EXPECT_THAT(listing(), ElementsAre("x.tar"));
}

// A file system that cannot rename without replacing.
TEST_F(Exporting, GetsItsNameInTwoStepsToo) {
  plan_.fail(write_call::kRenameat2, EINVAL);
  to_file(open({"golden"}), file_, ExportFormat::tar, false, faulty_);
  EXPECT_EQ(plan_.injected, 1u);
  EXPECT_THAT(listing(), ElementsAre("x.tar"));
}

TEST_F(Exporting, RefusesToWriteWhatAnotherWrites) {
  const ExportSource source = open({"large"});
  std::optional<Kind> second;
  ProgressAt progress{1'000'000,
                      [&] { second = failure_of([&] { to_file(source, file_); }).first; }};
  to_file(source, file_, ExportFormat::tar, false, WriteCalls::kernel(), progress);
  EXPECT_EQ(second, Kind::refused);
  EXPECT_TRUE(read_file(file_) == bytes_of(source));
}

TEST_F(Exporting, GoesOnWhereItWasInterrupted) {
  std::mt19937_64 random{1};
  const ExportSource source = open({"large", "golden"});
  const std::string expected = bytes_of(source);
  for (int i = 0; i < 10; ++i) {
    ProgressAt first{random() % expected.size(), interrupt};
    EXPECT_THROW(to_file(source, file_, ExportFormat::tar, false, WriteCalls::kernel(), first),
                 Interrupted);
    ASSERT_THAT(listing(), ElementsAre("x.tar.part"));
    struct stat part {
    }, whole{};
    ASSERT_EQ(::stat((out_ / "x.tar.part").c_str(), &part), 0);
    ProgressAt second{0, nullptr};
    to_file(source, file_, ExportFormat::tar, false, WriteCalls::kernel(), second);
    ASSERT_THAT(listing(), ElementsAre("x.tar"));
    ASSERT_EQ(::stat(file_.c_str(), &whole), 0);
    EXPECT_EQ(whole.st_ino, part.st_ino);
    EXPECT_EQ(second.added, source.size());
    ASSERT_TRUE(read_file(file_) == expected);
    fs::remove(file_);
  }
}

// After a crash of the machine the part may hold anything.
TEST_F(Exporting, GoesOnFromAnyPart) {
  std::mt19937_64 random{2};
  const ExportSource source = open({"large", "golden"});
  const std::string expected = bytes_of(source);
  for (int i = 0; i < 12; ++i) {
    std::string part = expected.substr(0, random() % (expected.size() + 1));
    if (i % 3 == 1 && !part.empty()) part[random() % part.size()] ^= 1;
    if (i % 3 == 2) part += std::string(random() % 2'000'000, 'x');
    write_file(out_ / "x.tar.part", part);
    to_file(source, file_);
    ASSERT_TRUE(read_file(file_) == expected) << i;
    ASSERT_THAT(listing(), ElementsAre("x.tar"));
    fs::remove(file_);
  }
}

// Nothing is written again that is there.
TEST_F(Exporting, WritesOnlyWhatLacks) {
  const ExportSource source = open({"large"});
  write_file(out_ / "x.tar.part", bytes_of(source));
  plan_.fail(write_call::kWrites | write_call::kSendfile, EIO, 1, 1'000'000);
  to_file(source, file_, ExportFormat::tar, false, faulty_);
  EXPECT_EQ(plan_.seen, 0u);
}

TEST_F(Exporting, LeavesNoPartOfACompressedFile) {
  for (const ExportFormat format : {ExportFormat::tar_zst, ExportFormat::tar_gz}) {
    ProgressAt progress{1'000'000, interrupt};
    EXPECT_THROW(to_file(open({"large"}), file_, format, false, WriteCalls::kernel(), progress),
                 Interrupted);
    EXPECT_THAT(listing(), IsEmpty());
  }
}

TEST_F(Exporting, LeavesNoFileWhicheverCallFails) {
  using namespace write_call;
  const ExportSource source = open({"large"}, {}, {1, 0, 0});  // sent, and written
  for (const ExportFormat format :
       {ExportFormat::tar, ExportFormat::tar_zst, ExportFormat::tar_gz}) {
    for (const unsigned call : {kOpenat, kWrite, kFsync, kRenameat2}) {
      for (std::uint64_t nth = 1;; ++nth) {
        plan_.fail(call, EIO, nth);
        const auto [kind, message] =
            failure_of([&] { to_file(source, file_, format, false, faulty_); });
        if (plan_.injected == 0) break;
        EXPECT_EQ(kind, Kind::failed) << call << " " << nth;
        EXPECT_THAT(message, HasSubstr("Input/output error"));
        // The last fsync is of the folder: the file is whole, but its name may not last.
        if (call != kFsync || nth == 1) {
          EXPECT_THAT(listing(), IsEmpty());
        }
        fs::remove(file_);
      }
      EXPECT_TRUE(fs::exists(file_)) << call;
      fs::remove(file_);
    }
  }
}

TEST_F(Exporting, SaysThatTheDiskIsFull) {
  for (const unsigned call : {write_call::kWrite, write_call::kFsync}) {
    plan_.fail(call, ENOSPC, 1, 1'000);
    const auto [kind, message] =
        failure_of([&] { to_file(open({"large"}), file_, ExportFormat::tar, false, faulty_); });
    EXPECT_EQ(kind, Kind::no_space);
    EXPECT_THAT(message, HasSubstr("x.tar.part"));
    EXPECT_THAT(listing(), IsEmpty());
  }
}

// A disk with 2 MB free.
class SmallDisk final : public WriteCalls {
 public:
  [[nodiscard]] int fstatvfs(int /*fd*/, struct statvfs& room) const noexcept override {
    room = {};
    room.f_frsize = 1000;
    room.f_bavail = 2000;
    room.f_bfree = 1'000'000;
    return 0;
  }
};

TEST_F(Exporting, LooksForRoomFirst) {
  const ExportSource source = open({"large"});
  const auto [kind, message] =
      failure_of([&] { to_file(source, file_, ExportFormat::tar, false, SmallDisk{}); });
  EXPECT_EQ(kind, Kind::no_space);
  EXPECT_THAT(message, HasSubstr(std::to_string(source.size())));
  EXPECT_THAT(message, HasSubstr("2000000"));
  EXPECT_THAT(listing(), IsEmpty());
  // What is there needs no more.
  write_file(out_ / "x.tar.part", bytes_of(source).substr(0, 2'000'000));
  to_file(source, file_, ExportFormat::tar, false, SmallDisk{});
  EXPECT_THAT(listing(), ElementsAre("x.tar"));
}

// ---- a store that changes ----

TEST_F(Exporting, OfABlobThatIsCutMeanwhileLeavesNoFile) {
  for (const ExportFormat format :
       {ExportFormat::tar, ExportFormat::tar_zst, ExportFormat::tar_gz}) {
    ManifestSpec manifest = store_.text_model(9, 4'000'000);
    store_.v1("cut:latest", manifest);
    const fs::path blob = store_.blob_path(Digest::parse(manifest.layers[0].digest).value());
    ProgressAt progress{1'100'000, [&] { fs::resize_file(blob, 3'000'000); }};
    const auto [kind, message] = failure_of(
        [&] { to_file(open({"cut"}), file_, format, false, WriteCalls::kernel(), progress); });
    EXPECT_EQ(kind, Kind::broken);
    EXPECT_THAT(message, HasSubstr(blob.filename().string()));
    EXPECT_THAT(listing(), IsEmpty());
  }
}

// Acts when an item begins.
class ProgressAtItem final : public Progress {
 public:
  ProgressAtItem(unsigned item, std::function<void()> act) : left_{item}, act_{std::move(act)} {}

  void next(std::string_view /*name*/) override {
    if (--left_ == 0) act_();
  }

 private:
  unsigned left_;
  std::function<void()> act_;
};

// Found before the manifest is written, also if the blob was read whole by then.
TEST_F(Exporting, NeverWritesTheManifestOfAModelThatChanged) {
  for (unsigned item = 1; item <= 4; ++item) {
    ManifestSpec manifest = store_.text_model(item + 20, 200'000);
    store_.v1("changed:latest", manifest);
    const fs::path blob = store_.blob_path(Digest::parse(manifest.layers[0].digest).value());
    ProgressAtItem progress{item, [&] { fs::resize_file(blob, fs::file_size(blob) + 1); }};
    UniqueFd out{::open((out_ / "out").c_str(), O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600)};
    const auto [kind, message] = failure_of([&] {
      export_to_descriptor(open({"changed"}), ExportFormat::tar, out.get(), "out",
                           WriteCalls::kernel(), progress);
    });
    EXPECT_EQ(kind, Kind::broken) << item;
    EXPECT_EQ(read_file(out_ / "out").find("manifests/"), std::string::npos) << item;
  }
}

// Ollama removes a blob, or puts another file in its place: what is open is read on.
TEST_F(Exporting, ReadsOnWhatIsOpen) {
  const ExportSource source = open({"large"});
  const std::string expected = bytes_of(source);
  ProgressAt progress{1'000'000, [&] { fs::remove_all(store_.root() / "blobs"); }};
  to_file(source, file_, ExportFormat::tar, false, WriteCalls::kernel(), progress);
  EXPECT_TRUE(read_file(file_) == expected);
}

// ---- to a folder ----

TEST_F(Exporting, MakesAModelsFolder) {
  const fs::path folder = out_ / "a" / "b";
  const ExportSource source = open({"me/shared:v1", "golden"});
  export_to_folder(source, folder, false, WriteCalls::kernel(), Progress::none());
  std::vector<std::string> expected;
  for (const ArchiveMember& member : source.members) {
    expected.push_back("a/b/" + member.path);
    EXPECT_EQ(Digest::of(read_file(folder / member.path)), member.digest);
  }
  std::ranges::sort(expected);
  EXPECT_EQ(listing(), expected);
  const auto catalog = Catalog::read(StoreDir{folder, OutsideLinks::refuse});
  ASSERT_EQ(catalog->models().size(), 2u);
  for (const Model& model : catalog->models()) EXPECT_TRUE(model.whole());
}

ino_t inode_of(const fs::path& path) {
  struct stat st {};
  EXPECT_EQ(::stat(path.c_str(), &st), 0) << path;
  return st.st_ino;
}

TEST_F(Exporting, KeepsOfAFolderWhatIsRight) {
  const ExportSource source = open({"large"});
  export_to_folder(source, out_, false, WriteCalls::kernel(), Progress::none());
  std::vector<ino_t> before;
  for (const ArchiveMember& member : source.members) before.push_back(inode_of(out_ / member.path));
  const fs::path wrong = out_ / source.members[1].path;
  std::string bytes = read_file(wrong);
  bytes.back() ^= 1;
  write_file(wrong, bytes);
  export_to_folder(source, out_, false, WriteCalls::kernel(), Progress::none());
  for (std::size_t i = 0; i < source.members.size(); ++i) {
    const ArchiveMember& member = source.members[i];
    EXPECT_EQ(Digest::of(read_file(out_ / member.path)), member.digest);
    EXPECT_EQ(inode_of(out_ / member.path) == before[i], i != 1) << i;
  }
}

TEST_F(Exporting, ReplacesAManifestOfAFolderOnlyIfItMay) {
  const ExportSource source = open({"golden"});
  const fs::path manifest = out_ / source.members.back().path;
  fs::create_directories(manifest.parent_path());
  write_file(manifest, "another");
  EXPECT_EQ(failure_of([&] {
              export_to_folder(source, out_, false, WriteCalls::kernel(), Progress::none());
            }).first,
            Kind::refused);
  EXPECT_EQ(read_file(manifest), "another");
  EXPECT_EQ(listing().size(), 1u);  // and no blob
  export_to_folder(source, out_, true, WriteCalls::kernel(), Progress::none());
  EXPECT_EQ(Digest::of(read_file(manifest)), source.members.back().digest);
}

// Whatever fails, what has its name is whole, and a manifest has all its blobs.
TEST_F(Exporting, LeavesAFolderValidWhicheverCallFails) {
  using namespace write_call;
  const ExportSource source = open({"large"});
  for (std::uint64_t nth = 1;; ++nth) {
    plan_.fail(kAll & ~(kUnlinkat | kFstatvfs | kSendfile | kCopyFileRange), EIO, nth);
    const auto failure =
        failure_of([&] { export_to_folder(source, out_, false, faulty_, Progress::none()); });
    const bool failed = plan_.injected > 0;
    EXPECT_EQ(failure.first.has_value(), failed) << nth;
    std::size_t there = 0;
    for (const ArchiveMember& member : source.members) {
      if (!fs::exists(out_ / member.path)) continue;
      ++there;
      ASSERT_EQ(Digest::of(read_file(out_ / member.path)), member.digest) << nth;
      if (member.of_model) {
        ASSERT_EQ(there, source.members.size()) << nth;
      }
    }
    EXPECT_EQ(listing().size(), there) << nth;  // and no parts
    if (!failed) break;
    fs::remove_all(out_);
    fs::create_directory(out_);
  }
}

TEST_F(Exporting, TellsHowFarAFolderIs) {
  const ExportSource source = open({"large"});
  for (int again = 0; again < 2; ++again) {
    ProgressAt progress{0, nullptr};
    export_to_folder(source, out_, false, WriteCalls::kernel(), progress);
    EXPECT_EQ(progress.expected_items, 4u);
    EXPECT_EQ(progress.items, 4u);
  }
}

// The wrong bytes must not get the blob's name.
TEST_F(Exporting, GivesNoBlobOfAFolderItsNameThatChanged) {
  ManifestSpec manifest = store_.text_model(30, 200'000);
  store_.v1("changed:latest", manifest);
  const Digest weights = Digest::parse(manifest.layers[0].digest).value();
  const ExportSource source = open({"changed"});
  const auto& blobs = source.file->layout().blobs();
  const fs::path blob = store_.blob_path(weights);
  const auto item = std::ranges::find(blobs, weights) - blobs.begin() + 1;
  ProgressAtItem progress{static_cast<unsigned>(item),
                          [&] { fs::resize_file(blob, fs::file_size(blob) + 1); }};
  EXPECT_EQ(failure_of([&] {
              export_to_folder(source, out_, false, WriteCalls::kernel(), progress);
            }).first,
            Kind::broken);
  EXPECT_FALSE(fs::exists(out_ / weights.blob_path()));
  EXPECT_FALSE(fs::exists(out_ / "manifests"));
}

TEST_F(Exporting, CopiesToAFolderWhereTheKernelCannot) {
  const ExportSource source = open({"large"});
  plan_.fail(write_call::kSendfile | write_call::kCopyFileRange, EXDEV, 1, 1'000'000);
  export_to_folder(source, out_, false, faulty_, Progress::none());
  EXPECT_GT(plan_.injected, 0u);
  for (const ArchiveMember& member : source.members)
    EXPECT_EQ(Digest::of(read_file(out_ / member.path)), member.digest);
}

// ---- names ----

TEST_F(Exporting, NamesTheFileAfterTheModel) {
  store_.v1("hf.co/me/Tiny.v1:Q4_0", store_.text_model(1, 1000));
  store_.v1("localhost:5000/team/x:y", store_.text_model(1, 1000));
  (void)open({"golden", "hf.co/me/Tiny.v1:Q4_0", "localhost:5000/team/x:y"});
  EXPECT_EQ(export_name({models_[0]}, ExportFormat::tar), "golden+latest.tar");
  EXPECT_EQ(export_name({models_[0]}, ExportFormat::folder), "golden+latest");
  EXPECT_EQ(export_name({models_[1]}, ExportFormat::tar_zst), "hf.co+me+Tiny.v1+Q4_0.tar.zst");
  EXPECT_EQ(export_name({models_[2]}, ExportFormat::tar_gz), "localhost%3A5000+team+x+y.tar.gz");
  EXPECT_EQ(export_name(models_, ExportFormat::tar), "ollama-models.tar");
}

TEST(ExportFormat, IsWhatTheNameSays) {
  EXPECT_EQ(format_of("a/b.tar"), ExportFormat::tar);
  EXPECT_EQ(format_of("b.tar.zst"), ExportFormat::tar_zst);
  EXPECT_EQ(format_of("b.tzst"), ExportFormat::tar_zst);
  EXPECT_EQ(format_of("b.tar.gz"), ExportFormat::tar_gz);
  EXPECT_EQ(format_of("b.tgz"), ExportFormat::tar_gz);
  EXPECT_EQ(format_of("x.tar/b"), std::nullopt);
}

}  // namespace
}  // namespace ollamafs::test
