#include "tests/soak/changing_store.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <memory>
#include <system_error>

#include "store/blobs/blob_pool.h"
#include "store/catalog/catalog.h"
#include "store/catalog/model_query.h"
#include "store/layout/archive.h"
#include "store/layout/open_layout.h"

namespace ollamafs::test {
namespace {

namespace fs = std::filesystem;

constexpr std::uint64_t kVersions = 4;

std::string name_of(std::size_t model) {
  return "m" + std::to_string(model) + ":a";
}

}  // namespace

ChangingStore::ChangingStore(const fs::path& root) : store_{root} {
  for (std::uint64_t i = 0; i < kVersions; ++i) {
    ManifestSpec version = store_.text_model(i / 2, 200'000);
    version.layers.push_back(store_.layer(kSystemType, "version " + std::to_string(i)));
    versions_.push_back(version);
  }
  for (std::size_t model = 0; model < kModels; ++model) {
    for (const ManifestSpec& version : versions_) {
      store_.v1(name_of(model), version);
      archives_.insert(archive_now(model));
    }
  }
}

std::string ChangingStore::shown(std::size_t model) {
  return "m" + std::to_string(model) + "+a";
}

void ChangingStore::change(Random& random) const {
  const std::size_t model = random() % kModels;
  const fs::path path = store_.v1_path(*ModelName::parse(name_of(model)));
  const std::string bytes = versions_[random() % kVersions].json();
  switch (random() % 4) {
    case 0:
      fs::remove(path);
      break;
    case 1:
      store_.v1(name_of(model), versions_[random() % kVersions]);
      break;
    case 2:
      write_file(path, bytes.substr(0, bytes.size() / 2));
      write_file(path, bytes);
      break;
    default:
      write_file(path.string() + ".new", bytes);
      fs::rename(path.string() + ".new", path);
      break;
  }
}

void ChangingStore::repair() const {
  for (const auto& blob : fs::directory_iterator{root() / "blobs"})
    fs::last_write_time(blob, fs::file_time_type::clock::now());
  for (std::size_t model = 0; model < kModels; ++model)
    store_.v1(name_of(model), versions_[model % kVersions]);
}

std::string ChangingStore::archive_now(std::size_t model) const {
  const StoreDir dir{store_.root(), OutsideLinks::refuse};
  const auto catalog = Catalog::read(dir);
  BlobPool pool{dir, {}};
  std::vector<std::shared_ptr<const OpenBlob>> blobs;
  const Model& found = *find_model(*catalog, name_of(model));
  std::error_code ec;
  for (const std::uint32_t blob : found.blobs)
    blobs.push_back(pool.open(catalog->blobs()[blob], ec));
  const OpenLayout layout{archive_layout(found), std::move(blobs)};
  std::string bytes(layout.layout().size(), '\0');
  EXPECT_FALSE(layout.read(bytes.data(), bytes.size(), 0));
  return bytes;
}

std::optional<std::string> try_to_read(const fs::path& file) {
  const UniqueFd fd{::open(file.c_str(), O_RDONLY | O_CLOEXEC)};
  if (!fd) return std::nullopt;
  std::string bytes;
  char buffer[100'000];
  for (ssize_t n; (n = ::read(fd.get(), buffer, sizeof buffer)) != 0;) {
    if (n < 0) return std::nullopt;
    bytes.append(buffer, static_cast<std::size_t>(n));
  }
  return bytes;
}

}  // namespace ollamafs::test
