#include "store/catalog/store_scanner.h"

#include <sys/stat.h>

#include <system_error>
#include <utility>
#include <vector>

#include "store/folder/read_file.h"

namespace ollamafs {
namespace {

namespace fs = std::filesystem;

// Those of the folder and of what is in it; 0 for what cannot be had.
std::vector<dev_t> devices_of(const StoreDir& store) {
  std::vector<dev_t> devices;
  const auto add = [&](const char* folder) {
    std::error_code ec;
    const StoreDir::Opened opened = store.resolve(folder, ec);
    struct stat st {};
    const bool is_known = !ec && store.calls().fstat(opened.fd.get(), st) == 0;
    devices.push_back(is_known ? st.st_dev : 0);
  };
  add(".");
  for (const char* const folder : kStoreFolders) add(folder);
  return devices;
}

bool are_others(const std::vector<dev_t>& before, const std::vector<dev_t>& now) {
  for (std::size_t i = 0; i < before.size(); ++i) {
    if (before[i] != 0 && now[i] != 0 && before[i] != now[i]) return true;
  }
  return false;
}

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
    catalog = Catalog::gone();
  } else {
    if (watch_) {
      const StoreDir::Opened blobs = store_.open_directory("blobs", ec);
      refuse_shortage(store_, "blobs", ec);
      if (!ec) memory_.watch_blobs(blobs.fd.get());
      is_blind = is_disk_failure(ec);
      if (ec == std::errc::permission_denied) watch_->cannot("blobs/ may not be listed");
    }
    catalog = unless_replaced(Catalog::read(store_, reader_));
  }
  is_provisional_ = is_blind || catalog->is_provisional();
  return catalog;
}

// A disk was unmounted, and an Ollama that goes on running has made its folders anew, in the
// directory that the disk was mounted on. They are empty: the store is gone, until there are models
// again.
std::shared_ptr<const Catalog> StoreScanner::unless_replaced(
    std::shared_ptr<const Catalog> catalog) {
  if (catalog->is_gone()) return catalog;
  const std::vector<dev_t> now = devices_of(store_);
  if (catalog->models().empty() && are_others(devices_, now)) return Catalog::gone();
  if (!catalog->models().empty()) devices_ = now;
  return catalog;
}

// The store comes and goes with the path that leads to it, and with what it consists of, each of
// which may be a symlink to elsewhere.
void StoreScanner::watch_path() {
  if (is_beneath(store_.given_path(), "/proc"))
    return watch_->cannot("the store is reached by another process");
  for (const char* const name : kStoreFolders) watch_way(store_.given_path() / name);
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
