// Want of memory for more threads leaves those that are there.
#include <gtest/gtest.h>

#include <cstdint>
#include <filesystem>
#include <future>
#include <string>
#include <vector>

#include "tests/faults/faulty_mount.h"
#include "tests/support/process.h"
#include "tests/support/store_builder.h"
#include "tests/support/temp_dir.h"

namespace ollamafs::test {
namespace {

namespace fs = std::filesystem;

TEST(FewThreads, AnswerEverybody) {
  constexpr std::uint64_t kLessThanAThreadTakes = 1 << 20;
  const TempDir dir;
  const StoreBuilder store{dir / "store"};
  store.v1("one:a", store.text_model(1, 3'000'000));
  FaultyMount faulty{store.root()};
  // Of which the kernel keeps nothing, so that each reader has a request of its own.
  const fs::path archive = faulty.mount / "archives/one+a.tar";
  const std::string right = read_file(archive);

  faulty.plan->largest_allocation = kLessThanAThreadTakes;
  faulty.plan->held = call::kPread;
  std::vector<std::future<Result>> readers;
  for (int i = 0; i < 12; ++i) {
    readers.push_back(std::async(std::launch::async, [&] {
      return run({"cat", archive.string()});
    }));
  }
  // Every thread that there is waits for the disk by then.
  EXPECT_TRUE(eventually([&] { return faulty.plan->allocations_failed > 0; }));
  faulty.plan->held = 0;
  // A request that needs as much memory itself fails, and is answered nevertheless.
  for (auto& reader : readers) {
    const Result result = reader.get();
    EXPECT_TRUE(result.status == 0 || result.err.find("Cannot allocate") != std::string::npos)
        << result.err;
  }
  faulty.plan->clear();
  EXPECT_TRUE(eventually([&] { return run({"cat", archive.string()}).out == right; }));
  EXPECT_FALSE(faulty.mount.daemon().ended()) << faulty.mount.log();
}

}  // namespace
}  // namespace ollamafs::test
