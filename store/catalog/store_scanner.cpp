#include "store/catalog/store_scanner.h"

#include <system_error>
#include <utility>
#include <vector>

#include "store/catalog/tag_tree.h"
#include "store/folder/read_file.h"

namespace ollamafs {
namespace {

namespace fs = std::filesystem;

}  // namespace

StoreScanner::StoreScanner(StoreDir& store, bool watch)
    : store_{store},
      watch_{watch ? std::make_unique<StoreWatch>() : nullptr},
      memory_{watch_.get()},
      reader_{store, true, {}, &memory_} {}

std::shared_ptr<const Catalog> StoreScanner::scan() try {
  memory_.begin();
  if (watch_) watch_path();
  auto catalog = read();
  memory_.end();
  return catalog;
} catch (...) {
  memory_.forget();
  throw;
}

std::shared_ptr<const Catalog> StoreScanner::read() {
  std::error_code ec;
  store_.reopen(ec);
  const bool missing =
      ec == std::errc::no_such_file_or_directory || ec == std::errc::not_a_directory;
  if (ec && !missing) throw std::system_error{ec, store_.given_path().string()};
  std::shared_ptr<const Catalog> catalog;
  bool is_blind = false;
  if (missing) {
    catalog = Catalog::empty();
  } else {
    if (watch_) {
      const StoreDir::Opened blobs = store_.open_directory("blobs", ec);
      refuse_shortage(store_, "blobs", ec);
      if (!ec) memory_.watch_blobs(blobs.fd.get());
      is_blind = is_disk_failure(ec);
      if (ec == std::errc::permission_denied) watch_->cannot("blobs/ may not be listed");
    }
    catalog = Catalog::read(store_, reader_);
  }
  is_provisional_ = is_blind || catalog->is_provisional();
  return catalog;
}

// The store comes and goes with the path that leads to it, and with what it consists of, each of
// which may be a symlink to elsewhere.
void StoreScanner::watch_path() {
  for (const char* const name : {tree_folder(TreeKind::v1), tree_folder(TreeKind::v2), "blobs"}) {
    watch_way(store_.given_path() / name);
  }
}

// Watches every directory on the way to `path` for the name by which the way goes on, through all
// symlinks, also where there is nothing yet; and what is mounted where it ends.
void StoreScanner::watch_way(const fs::path& path) {
  constexpr int kMostLinks = 40;  // as the kernel (path_resolution(7))
  fs::path directory = path.root_path();
  std::vector<fs::path> ahead;  // the names from `directory` on, the next one at the end
  const auto go_on_by = [&](const fs::path& way) {
    const auto names = way.relative_path();
    const std::vector<fs::path> in_order{names.begin(), names.end()};
    ahead.insert(ahead.end(), in_order.rbegin(), in_order.rend());
  };
  go_on_by(path);
  for (int links = 0; !ahead.empty() && links <= kMostLinks;) {
    const fs::path name = std::move(ahead.back());
    ahead.pop_back();
    if (name.empty() || name == ".") continue;
    if (name == "..") {
      directory = directory.parent_path();
      continue;
    }
    watch_->add_name(directory, name.string());
    std::error_code ec;
    const fs::path target = fs::read_symlink(directory / name, ec);
    if (ec) {
      directory /= name;
      continue;
    }
    ++links;
    if (target.is_absolute()) directory = target.root_path();
    go_on_by(target);
  }
  watch_->add_tree(directory);
}

}  // namespace ollamafs
