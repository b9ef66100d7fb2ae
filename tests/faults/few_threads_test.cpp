// Want of memory for more threads leaves those that are there.
#include <gtest/gtest.h>

#include <cstdint>
#include <filesystem>
#include <future>
#include <string>
#include <vector>

#include "tests/faults/faulty_mount.h"
#include "tests/support/store_builder.h"
#include "tests/support/temp_dir.h"

namespace ollamafs::test {
namespace {

namespace fs = std::filesystem;

TEST(FewThreads, AnswerEverybody) {
  constexpr std::uint64_t kLessThanAThreadTakes = 512 << 10;
  const TempDir dir;
  const StoreBuilder store{dir / "store"};
  const ManifestSpec model = store.text_model(1, 3'000'000);
  store.v1("one:a", model);
  FaultyMount faulty{store.root()};
  const Digest weights = *Digest::parse(model.layers[0].digest);
  const std::string right = read_file(store.blob_path(weights));
  const fs::path shown = faulty.mount / "models/one+a/blobs" / weights.blob_name();

  faulty.plan->largest_allocation = kLessThanAThreadTakes;
  std::vector<std::future<int>> readers;
  for (int i = 0; i < 8; ++i) {
    readers.push_back(std::async(std::launch::async, [&] {
      int whole = 0;
      for (int n = 0; n < 5; ++n) {
        whole += read_file(shown) == right;
        if (run({"cat", (faulty.mount / "archives/one+a.tar").string()}).status != 0) --whole;
      }
      return whole;
    }));
  }
  for (auto& reader : readers) EXPECT_EQ(reader.get(), 5);
  EXPECT_GT(faulty.plan->allocations_failed, 0u) << "it had all its threads";
  EXPECT_FALSE(faulty.mount.daemon().ended()) << faulty.mount.log();
}

}  // namespace
}  // namespace ollamafs::test
