// What an export holds, through a pipe and compressed, and what it is called.

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <filesystem>
#include <string>
#include <thread>
#include <vector>

#include "tests/support/process.h"
#include "tests/unit/store/transfer/export_fixture.h"

namespace ollamafs::test {
namespace {

namespace fs = std::filesystem;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using Kind = TransferError::Kind;

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
  const auto [kind, message] = export_failure([&] {
    (void)open({"me/shared:v1", "bad", "worse"});
  });
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
  const auto failure = export_failure([&] {
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
  const auto [kind, message] = export_failure([&] {
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
