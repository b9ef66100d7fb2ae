// Copies by the real tools while the store or the memory fails: whole, or failed and without a
// manifest that lacks a blob; and when it is over, everything can be had again.
#include <gmock/gmock.h>
#include <sys/resource.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <filesystem>
#include <iterator>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "tests/faults/faulty_mount.h"
#include "tests/mounted/broken_model.h"
#include "tests/mounted/ssh_server.h"
#include "tests/support/store_builder.h"
#include "tests/support/temp_dir.h"

namespace ollamafs::test {
namespace {

namespace fs = std::filesystem;
using ::testing::SizeIs;

constexpr std::size_t kModels = 4;

class CopyUnderFaults : public ::testing::TestWithParam<Tool> {
 protected:
  CopyUnderFaults() {
    for (std::size_t i = 0; i < kModels; ++i)
      store_.v1("m" + std::to_string(i) + ":a", store_.text_model(i / 2, 400'000));
  }

  // The models whose manifests are in a copy. Each must have all its blobs, as the store has them.
  std::size_t whole_models(const fs::path& copy) {
    const auto manifests = manifests_in(copy);
    for (const std::string& path : manifests) {
      const auto manifest = nlohmann::json::parse(read_file(copy / path));
      const fs::path blobs = copy / path.substr(0, path.find("manifests")) / "blobs";
      for (const auto& layer : manifest.at("layers")) {
        const Digest digest = Digest::parse(layer.at("digest").get<std::string>()).value();
        EXPECT_TRUE(fs::exists(blobs / digest.blob_name())) << path << " lacks a blob";
        if (!HasFailure()) {
          EXPECT_EQ(Digest::of(read_file(blobs / digest.blob_name())), digest) << path;
        }
      }
    }
    return manifests.size();
  }

  // Copies all models; tells whether the tool says that it has them.
  bool copy_all(const Mount& mount) {
    const fs::path into = dir_ / ("copy" + std::to_string(++copies_));
    const Result result = copy(GetParam(), mount / "models", into, server_.config());
    const std::size_t whole = whole_models(into);
    if (result.status == 0) {
      EXPECT_EQ(whole, kModels);
    }
    fs::remove_all(into);
    return result.status == 0;
  }

  struct Tally {
    unsigned whole = 0, failed = 0;
    std::uint64_t faults = 0;
  };

  // Some copies, with faults after `disturb`, each of a mount that nothing has befallen yet.
  template <class Disturb>
  Tally copies_among(Disturb&& disturb) {
    Tally tally;
    for (unsigned round = 0; round < 10 && !HasFailure(); ++round) {
      SCOPED_TRACE("round " + std::to_string(round));
      FaultyMount faulty{store_.root()};
      disturb(*faulty.plan.operator->(), round);
      (copy_all(faulty.mount) ? tally.whole : tally.failed) += 1;
      tally.faults += faulty.plan->injected + faulty.plan->allocations_failed;
      EXPECT_FALSE(faulty.mount.daemon().ended()) << faulty.mount.log();
    }
    RecordProperty("faults", std::to_string(tally.faults));
    RecordProperty("whole copies", std::to_string(tally.whole));
    RecordProperty("failed copies", std::to_string(tally.failed));
    EXPECT_GT(tally.faults, 0u);
    EXPECT_GT(tally.failed, 0u);
    return tally;
  }

  TempDir dir_;
  StoreBuilder store_{dir_ / "store"};
  SshServer server_;
  unsigned copies_ = 0;
};

// The tools that read the view in a way of their own. What goes through ssh reads it as these do,
// but for a server that hides that a listing failed.
std::vector<Tool> readers() {
  std::vector<Tool> tools{kLocalTools.begin(), kLocalTools.end()};
  std::ranges::copy_if(kTools, std::back_inserter(tools),
                       [](const Tool& tool) { return std::string_view{tool.name} == "SftpGet"; });
  return tools;
}

INSTANTIATE_TEST_SUITE_P(, CopyUnderFaults, ::testing::ValuesIn(readers()),
                         [](const auto& test) { return test.param.name; });

TEST_P(CopyUnderFaults, IsWholeOrFailsOnABadDisk) {
  copies_among([](FaultPlan& plan, unsigned round) {
    plan.fail(call::kOpens | call::kPread, EIO, 0, 1 + round % 3);
    plan.skip = round * round;
  });
}

TEST_P(CopyUnderFaults, IsWholeOrFailsWhereABlobEndsEarly) {
  copies_among([](FaultPlan& plan, unsigned round) {
    plan.fail(call::kPread, EIO, round, 1);
    plan.kind = FaultPlan::Kind::cut;
  });
}

TEST_P(CopyUnderFaults, IsWholeOrFailsForWantOfDescriptors) {
  copies_among([](FaultPlan& plan, unsigned round) {
    plan.fail(call::kOpens, round % 2 ? EMFILE : ENFILE);
    plan.one_in = 2 + round * 8;
  });
}

TEST_P(CopyUnderFaults, IsWholeOrFailsForWantOfMemory) {
  copies_among(
      [](FaultPlan& plan, unsigned round) { plan.allocations_to_one = 1 + (1u << round) * 4; });
}

// ---- when it is over ----

class AfterFaults : public CopyUnderFaults {};

INSTANTIATE_TEST_SUITE_P(, AfterFaults, ::testing::Values(kTools[0]),
                         [](const auto& test) { return test.param.name; });

TEST_P(AfterFaults, OfMemoryEverythingCanBeHadAgain) {
  FaultyMount faulty{store_.root()};
  faulty.plan->allocations_to_one = 3;
  for (int i = 0; i < 5; ++i) (void)copy_all(faulty.mount);
  EXPECT_GT(faulty.plan->allocations_failed, 10u);
  faulty.plan->clear();
  EXPECT_TRUE(eventually([&] { return copy_all(faulty.mount); }));
}

// The change comes while the store cannot be read.
TEST_P(AfterFaults, AChangeIsSeen) {
  FaultyMount faulty{store_.root()};
  for (const int error : {EIO, EMFILE, 0}) {
    SCOPED_TRACE(error);
    if (error == 0) {
      faulty.plan->clear();
      faulty.plan->allocations_to_one = 2;
    } else {
      faulty.plan->fail(call::kOpens, error);
    }
    const std::string name = "new" + std::to_string(error);
    store_.v1(name + ":a", store_.text_model(1, 400'000));
    EXPECT_TRUE(
        eventually([&] { return faulty.plan->injected + faulty.plan->allocations_failed > 0; }));
    EXPECT_FALSE(fs::exists(faulty.mount / "models" / (name + "+a")));
    faulty.plan->clear();
    EXPECT_TRUE(eventually([&] { return fs::exists(faulty.mount / "models" / (name + "+a")); }));
  }
}

// Which folders there are, or what their manifests are, cannot be read for a while: no model is
// taken for gone, and what came meanwhile is found when that is over, without another change.
TEST_P(AfterFaults, OfAListingEveryModelIsThereAndWhatCameMeanwhile) {
  FaultyMount faulty{store_.root()};
  for (const unsigned which : {call::kReaddir, call::kPread, call::kFstat}) {
    SCOPED_TRACE(which);
    faulty.plan->fail(which, EIO);
    const std::string name = "new" + std::to_string(which);
    const fs::path shown = faulty.mount / "models" / (name + "+a");
    store_.v1(name + ":a", store_.text_model(1, 400'000));
    EXPECT_TRUE(eventually([&] { return faulty.plan->injected > 0; }));
    std::this_thread::sleep_for(std::chrono::milliseconds{500});
    for (std::size_t i = 0; i < kModels; ++i) {
      const std::string model = "models/m" + std::to_string(i) + "+a";
      EXPECT_TRUE(fs::exists(faulty.mount / model)) << model;
    }
    faulty.plan->clear();
    EXPECT_TRUE(eventually([&] { return fs::exists(shown); })) << faulty.mount.log();
    fs::remove(store_.v1_path(*ModelName::parse(name + ":a")));
    EXPECT_TRUE(eventually([&] { return !fs::exists(shown); }));
    EXPECT_TRUE(eventually([&] { return copy_all(faulty.mount); }));
  }
}

// The limit itself, of a daemon that runs.
TEST_P(AfterFaults, OfDescriptorsEverythingCanBeHadAgain) {
  FaultyMount faulty{store_.root()};
  const pid_t daemon = faulty.mount.daemon().pid();
  rlimit before{};
  ASSERT_EQ(::prlimit(daemon, RLIMIT_NOFILE, nullptr, &before), 0);
  const rlimit none{0, before.rlim_max};
  ASSERT_EQ(::prlimit(daemon, RLIMIT_NOFILE, &none, nullptr), 0);
  EXPECT_FALSE(copy_all(faulty.mount));
  EXPECT_FALSE(faulty.mount.daemon().ended());
  ASSERT_EQ(::prlimit(daemon, RLIMIT_NOFILE, &before, nullptr), 0);
  EXPECT_TRUE(copy_all(faulty.mount));
}

}  // namespace
}  // namespace ollamafs::test
