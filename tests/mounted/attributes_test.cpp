#include <gtest/gtest.h>
#include "tests/mounted/mount.h"
#include "tests/support/sample_store.h"
#include "tests/support/temp_dir.h"
namespace ollamafs::test {
TEST(Smoke, Mounts) {
  TempDir dir;
  StoreBuilder store{dir / "store"};
  write_sample_models(store);
  Mount mount{store.root()};
  EXPECT_EQ(must({"ls", mount.path().string()}), "README.txt\narchives\nmodels\n");
}
TEST(Smoke, MountsAsNobody) {
  TempDir dir;
  StoreBuilder store{dir / "store"};
  write_sample_models(store);
  Mount mount{store.root(), {.run = {.as = User::named("nobody")}}};
  EXPECT_EQ(must({"ls", mount.path().string()}, {.as = User::named("nobody")}), "README.txt\narchives\nmodels\n");
}
}
