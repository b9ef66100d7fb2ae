// Catalog::read of any directory tree whatever (see ScriptedStore for the form of the inputs).
#include <string>
#include <system_error>

#include "store/catalog/catalog.h"
#include "store/folder/store_dir.h"
#include "tests/fuzz/check.h"
#include "tests/fuzz/scripted_store.h"
#include "tests/fuzz/store_oracle.h"

namespace ollamafs::test {
namespace {

// Null if it cannot be listed at all; any exception but std::system_error is a failure.
std::shared_ptr<const Catalog> catalog_of(const StoreDir& dir, const ScriptedStore& store) try {
  return Catalog::read(dir);
} catch (const std::system_error& error) {
  // Every file here can be read: a tree that is a link into a loop, or into nowhere, is all.
  OLLAMAFS_CHECK_FOR(std::string{error.what()}.find(store.root().string()) != std::string::npos,
                     error.what());
  OLLAMAFS_CHECK_FOR(error.code() == std::errc::too_many_symbolic_link_levels ||
                         error.code() == std::errc::filename_too_long,
                     error.what());
  return nullptr;
}

void check(std::string_view script) {
  const ScriptedStore store{script};
  const StoreDir dir{store.root(), store.outside_links(), store.follow()};
  const auto catalog = catalog_of(dir, store);
  const auto again = catalog_of(dir, store);
  OLLAMAFS_CHECK((catalog == nullptr) == (again == nullptr));
  if (!catalog) return;
  check_catalog(*catalog, store);
  check_complete(*catalog, store);
  check_same(*catalog, *again);
}

}  // namespace
}  // namespace ollamafs::test

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  ollamafs::test::check(ollamafs::test::as_text(data, size));
  return 0;
}
