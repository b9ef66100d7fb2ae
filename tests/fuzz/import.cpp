// Importing an archive of any bytes whatever: the store is as it was, or has some more blobs that
// are right; or models are there, and all of them are whole.
//
// The first byte of an input chooses how the archive is read, all others are the archive.
#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cstdint>
#include <memory>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

#include "store/base/text.h"
#include "store/catalog/catalog.h"
#include "store/transfer/archive_source.h"
#include "store/transfer/importer.h"
#include "store/transfer/transfer_error.h"
#include "tests/fuzz/check.h"
#include "tests/support/archive_maker.h"
#include "tests/support/store_builder.h"
#include "tests/support/temp_dir.h"

namespace ollamafs::test {
namespace {

namespace fs = std::filesystem;

// What a crash of the machine would leave is not what is tested.
class NoSyncs final : public WriteCalls {
 public:
  [[nodiscard]] int fsync(int) const noexcept override { return 0; }
  [[nodiscard]] int fdatasync(int) const noexcept override { return 0; }
};

// A file of these bytes that can be read once only, as a pipe, or in any order.
ByteStream stream_of(std::string_view bytes, bool is_piped) {
  UniqueFd file{::memfd_create("archive", MFD_CLOEXEC)};
  const std::string content = (is_piped ? "x" : "") + std::string{bytes};
  OLLAMAFS_CHECK(file && ::write(file.get(), content.data(), content.size()) ==
                             static_cast<ssize_t>(content.size()));
  OLLAMAFS_CHECK(::lseek(file.get(), is_piped ? 1 : 0, SEEK_SET) >= 0);
  std::vector<UniqueFd> parts;
  parts.push_back(std::move(file));
  return {std::move(parts), {"archive"}};
}

bool import_into(const fs::path& store, std::string_view archive, bool is_piped,
                 const ImportOptions& options) try {
  std::vector<std::unique_ptr<ImportSource>> sources;
  sources.push_back(open_archive_source(stream_of(archive, is_piped), "archive"));
  const ImportResult result =
      import_models(std::move(sources), store, options, Progress::none(), NoSyncs{});
  OLLAMAFS_CHECK(!result.models.empty());
  return !options.dry_run;
} catch (const TransferError& error) {
  OLLAMAFS_CHECK(error.what() != std::string_view{});
  return false;
} catch (const std::system_error& error) {
  // A name that is too long for the file system; nothing else can go wrong here.
  OLLAMAFS_CHECK_FOR(error.code() == std::errc::filename_too_long, error.what());
  return false;
}

void check_store(const fs::path& store, const DirectoryContent& before, bool is_taken) {
  const DirectoryContent after = content_of(store);
  for (const std::string& change : forbidden_changes(before, after)) {
    // Folders for manifests may be left; what is in them is looked at below.
    OLLAMAFS_CHECK_FOR(change.starts_with("new: manifests"), change);
  }
  const auto catalog = Catalog::read(StoreDir{store, OutsideLinks::refuse});
  for (const Model& model : catalog->models()) OLLAMAFS_CHECK_FOR(model.whole(), model.shown);
  for (const Problem& problem : catalog->problems()) OLLAMAFS_CHECK_FOR(false, problem.path);
  OLLAMAFS_CHECK(is_taken || catalog->models().size() == 1);
}

void check(std::string_view input) {
  if (input.empty()) return;
  const auto choice = static_cast<unsigned char>(input.front());
  const TempDir dir;
  const StoreBuilder there{dir / "store"};
  there.v1("there", {.config = there.layer(kConfigType, "{}"), .layers = {}, .null_layers = true});
  const DirectoryContent before = content_of(there.root());
  const ImportOptions options{.trust_existing = (choice & 2) != 0, .dry_run = (choice & 4) != 0};
  const bool is_taken = import_into(there.root(), input.substr(1), (choice & 1) != 0, options);
  check_store(there.root(), before, is_taken);
}

}  // namespace
}  // namespace ollamafs::test

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  ollamafs::test::check(ollamafs::test::as_text(data, size));
  return 0;
}
