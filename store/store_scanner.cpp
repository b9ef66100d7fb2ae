#include "store/store_scanner.h"

#include <system_error>

#include "store/tag_tree.h"

namespace ollamafs {
namespace {

namespace fs = std::filesystem;

}  // namespace

StoreScanner::StoreScanner(StoreDir& store, bool watch)
    : store_{store},
      reader_{store, true},
      watch_{watch ? std::make_unique<StoreWatch>() : nullptr} {}

std::shared_ptr<const Catalog> StoreScanner::scan() {
  if (watch_) {
    watch_->begin();
    watch_path();
  }
  std::error_code ec;
  store_.reopen(ec);
  const bool missing =
      ec == std::errc::no_such_file_or_directory || ec == std::errc::not_a_directory;
  if (ec && !missing) throw std::system_error{ec, store_.given_path().string()};
  std::shared_ptr<const Catalog> catalog;
  if (missing) {
    catalog = Catalog::empty();
  } else {
    if (watch_) {
      const StoreDir::Opened blobs = store_.open_directory("blobs", ec);
      if (!ec) watch_->add(blobs.fd.get(), StoreWatch::Kind::blobs);
    }
    catalog = Catalog::read(store_, reader_, [this](int directory) {
      if (watch_) watch_->add(directory, StoreWatch::Kind::manifests);
    });
  }
  if (watch_) watch_->end();
  return catalog;
}

// Every directory on the way, as it was given and as it really is: with any of them the store comes
// and goes. In the store itself, what it consists of.
void StoreScanner::watch_path() {
  std::error_code ec;
  const fs::path& given = store_.given_path();
  for (const fs::path& path : {given, fs::weakly_canonical(given, ec)}) {
    fs::path directory = path.root_path();
    for (const fs::path& name : path.relative_path()) {
      watch_->add_name(directory, name.string());
      directory /= name;
    }
  }
  for (const char* const name : {tree_folder(TreeKind::v1), tree_folder(TreeKind::v2), "blobs"}) {
    watch_->add_name(given, name);
  }
}

}  // namespace ollamafs
