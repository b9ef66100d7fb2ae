#include "store/transfer/inventory.h"

#include <gtest/gtest.h>

#include <string>

#include "store/transfer/transfer_error.h"

namespace ollamafs::test {
namespace {

// As a small compressed archive may hold them.
TEST(InventoryTest, RefusesMoreMembersThanAStoreHas) {
  Inventory inventory{100};
  for (std::size_t i = 0; i < 100; ++i) {
    inventory.see("source", {.path = std::to_string(i)});
  }
  EXPECT_THROW(inventory.see("source", {.path = "one more"}), TransferError);
}

}  // namespace
}  // namespace ollamafs::test
