// Want of memory for what a reader asks for fails that request, and nothing else.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <cerrno>
#include <filesystem>
#include <string>

#include "store/base/unique_fd.h"
#include "tests/faults/faulty_mount.h"
#include "tests/support/store_builder.h"
#include "tests/support/temp_dir.h"

namespace ollamafs::test {
namespace {

namespace fs = std::filesystem;

TEST(ReadMemory, ThatLacksFailsTheRequestsThatNeedIt) {
  constexpr std::size_t kMiB = 1 << 20;
  const TempDir dir;
  const StoreBuilder store{dir / "store"};
  store.v1("one:a", store.text_model(1, 3'000'000));
  FaultyMount faulty{store.root()};
  // Of which each read is a request of its own.
  const UniqueFd archive{::open((faulty.mount / "archives/one+a.tar").c_str(), O_RDONLY)};
  ASSERT_TRUE(archive);
  std::string bytes(kMiB, '\0');
  const auto read = [&](std::size_t size) { return ::pread(archive.get(), bytes.data(), size, 0); };

  faulty.plan->largest_allocation = kMiB / 2;
  for (int i = 0; i < 20; ++i) {  // more than there are threads
    EXPECT_EQ(read(kMiB), -1);
    EXPECT_EQ(errno, ENOMEM);
    EXPECT_EQ(read(kMiB / 4), ssize_t{kMiB / 4});
  }
  EXPECT_GE(faulty.plan->allocations_failed, 20u);
  faulty.plan->clear();
  EXPECT_EQ(read(kMiB), ssize_t{kMiB});
}

}  // namespace
}  // namespace ollamafs::test
