// Models that are read while one call after the other fails: a tool gets the right bytes or an
// error, and no manifest after an error.
#include <gmock/gmock.h>

#include <cerrno>
#include <chrono>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "fs/serve/file_system.h"
#include "fs/views/views.h"
#include "store/layout/archive.h"
#include "tests/support/faulty_calls.h"
#include "tests/support/read_back.h"
#include "tests/support/store_builder.h"
#include "tests/support/temp_dir.h"

namespace ollamafs::test {
namespace {

namespace fs = std::filesystem;
using namespace std::chrono_literals;

struct Fault {
  const char* name;
  FaultPlan::Kind kind;
  int error;
  bool passes;  // who begins anew when it is over gets everything
};

constexpr Fault kFaults[] = {
    {"EIO", FaultPlan::Kind::error, EIO, false},
    {"CutShort", FaultPlan::Kind::cut, EIO, false},
    {"ENOENT", FaultPlan::Kind::error, ENOENT, false},
    {"ESTALE", FaultPlan::Kind::error, ESTALE, false},
    {"EMFILE", FaultPlan::Kind::error, EMFILE, true},
    {"ENFILE", FaultPlan::Kind::error, ENFILE, true},
    {"ENOMEM", FaultPlan::Kind::error, ENOMEM, true},
    {"EINTR", FaultPlan::Kind::error, EINTR, true},
};

struct Way {
  const char* name;
  BlobLimits limits;
  Verify verify;
};

constexpr Way kWays[] = {
    {"Open", {}, Verify::no},
    {"OpenedLate", {0, 0, 64u << 10}, Verify::no},
    {"InMemory", {256, 64u << 20, 64u << 20}, Verify::no},
    {"Verified", {}, Verify::yes},
    {"VerifiedLate", {0, 0, 64u << 10}, Verify::yes},
};

using Case = std::tuple<Fault, Way>;

constexpr Tool kTool{7};  // who reads

class ReadUnderFaults : public ::testing::TestWithParam<Case> {
 protected:
  ReadUnderFaults() { store_.v1("some:model", store_.text_model(1, 300'000)); }

  // A file system that has seen nothing yet.
  void show() {
    plan_.clear();
    fs_ = std::make_unique<FileSystem>(
        dir_, build_tree(Catalog::read(dir_), {}, {"/view", store_.root()}), way().limits,
        [](const std::string&) {}, [](const CacheNotices&) {}, 1min, way().verify);
  }
  static const Fault& fault() { return std::get<0>(GetParam()); }
  static const Way& way() { return std::get<1>(GetParam()); }

  void arm(std::uint64_t nth, std::uint64_t times) {
    plan_.fail(call::kAll, fault().error, nth, times);
    plan_.kind = fault().kind;
    if (fault().kind == FaultPlan::Kind::cut) plan_.calls = call::kPread;
  }

  // What a reader gets of a file, as the kernel passes it on: empty if anything fails.
  std::string read(const NodeRef& file) {
    std::error_code ec;
    const auto open = fs_->open_file(file, ec, kTool);
    std::string bytes;
    while (!ec && bytes.size() < file->size) {
      const std::string piece = read_range(*open, bytes.size());
      if (piece.empty()) ec = std::make_error_code(std::errc::io_error);
      bytes += piece;
    }
    if (!ec) return bytes;
    fs_->request_failed(file, kTool, ec.default_error_condition().value());
    return "";
  }

  // As the driver does it.
  std::string read_range(OpenFile& file, std::uint64_t offset) {
    constexpr std::size_t size = 128 << 10;
    std::error_code ec;
    std::string bytes = bytes_of(*fs_, file, size, offset, ec);
    while (ec == BlobFault::unverified && fs_->files().verify_on(*file.content, size, offset, ec)) {
    }
    if (!ec && bytes.empty()) bytes = bytes_of(*fs_, file, size, offset, ec);
    return bytes;
  }

  [[nodiscard]] NodeRef at(const fs::path& path) {
    NodeRef node = fs_->find(kRootInode);
    for (const fs::path& name : path) {
      std::error_code ec;
      if (node) node = fs_->lookup(node, name.string(), ec);
    }
    return node;
  }

  struct Copy {
    bool failed = false;
    std::string manifest;
    bool is_right = true;  // all that was got is what the store has
  };

  // Everything of the model's directory, in the order in which tools read it; goes on behind what
  // fails.
  Copy copy_directory() {
    Copy copy;
    for (const char* const path : {"models/some+model", "models/some+model/blobs"}) {
      NodeRef directory = at(path);
      if (!directory || !fs_->list(directory, true, kTool).is_whole()) copy.failed = true;
    }
    const auto catalog = fs_->current();
    for (const Blob& blob : catalog->catalog().blobs()) {
      const NodeRef file = at("models/some+model/blobs/" + blob.digest.blob_name());
      const std::string bytes = file ? read(file) : "";
      if (bytes.empty()) copy.failed = true;
      if (!bytes.empty() && Digest::of(bytes) != blob.digest) copy.is_right = false;
    }
    const NodeRef manifest =
        at("models/some+model/manifests/registry.ollama.ai/library/some/model");
    if (manifest) copy.manifest = read(manifest);
    if (copy.manifest.empty()) copy.failed = true;
    return copy;
  }

  void expect_sound(const Copy& copy) {
    EXPECT_TRUE(copy.is_right) << "wrong bytes";
    const std::string right = read_file(store_.v1_path(*ModelName::parse("some:model")));
    if (!copy.manifest.empty()) {
      EXPECT_EQ(copy.manifest, right);
      EXPECT_FALSE(copy.failed) << "a manifest although something is missing";
    }
  }

  TempDir tmp_;
  StoreBuilder store_{tmp_ / "store"};
  FaultPlan plan_;
  FaultyCalls calls_{plan_};
  StoreDir dir_{store_.root(), OutsideLinks::refuse, {}, calls_};
  std::unique_ptr<FileSystem> fs_;
};

// A single failure, at every call in turn.
TEST_P(ReadUnderFaults, GivesTheRightBytesOrAnErrorAndThenNoManifest) {
  unsigned failed = 0;
  for (std::uint64_t n = 0;; ++n) {
    SCOPED_TRACE("call " + std::to_string(n));
    show();
    arm(n, 1);
    const Copy copy = copy_directory();
    if (plan_.injected == 0) {
      EXPECT_FALSE(copy.failed);
      break;
    }
    expect_sound(copy);
    failed += copy.failed;
    if (HasFailure()) return;
    plan_.clear();
    const Copy again = copy_directory();
    expect_sound(again);
    if (fault().passes || !copy.failed) {
      EXPECT_FALSE(again.failed);
    }
  }
  EXPECT_GT(failed, 0u);
}

// Failures from some call on, of a disk that is gone: nothing is got that is not right.
TEST_P(ReadUnderFaults, GivesTheRightBytesOfTheArchiveOrAnError) {
  show();
  const std::string right = read(at("archives/some+model.tar"));
  ASSERT_FALSE(right.empty());
  unsigned failed = 0;
  for (std::uint64_t n = 0;; ++n) {
    SCOPED_TRACE("from call " + std::to_string(n) + " on");
    show();
    arm(n, 1000);
    const std::string bytes = read(at("archives/some+model.tar"));
    if (!bytes.empty()) {
      EXPECT_TRUE(bytes == right);
    }
    failed += bytes.empty();
    if (plan_.injected == 0 || HasFailure()) break;
  }
  EXPECT_GT(failed, 0u);
}

INSTANTIATE_TEST_SUITE_P(
    , ReadUnderFaults, ::testing::Combine(::testing::ValuesIn(kFaults), ::testing::ValuesIn(kWays)),
    [](const auto& test) {
      return std::string{std::get<0>(test.param).name} + std::get<1>(test.param).name;
    });

// What is no fault: reads that bring less than was asked for.
class SlowRead : public ReadUnderFaults {};

TEST_P(SlowRead, TakesShortReadsForWhatTheyAre) {
  show();
  plan_.kind = FaultPlan::Kind::shortened;
  plan_.skip = 0;
  plan_.one_in = 1;
  plan_.calls = call::kPread;
  const Copy copy = copy_directory();
  EXPECT_FALSE(copy.failed);
  expect_sound(copy);
  EXPECT_GT(plan_.injected, 100u);
}

INSTANTIATE_TEST_SUITE_P(
    , SlowRead, ::testing::Combine(::testing::Values(kFaults[0]), ::testing::ValuesIn(kWays)),
    [](const auto& test) { return std::string{std::get<1>(test.param).name}; });

}  // namespace
}  // namespace ollamafs::test
