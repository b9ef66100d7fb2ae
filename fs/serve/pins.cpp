#include "fs/serve/pins.h"

#include <sys/eventfd.h>

#include <algorithm>
#include <cerrno>
#include <iterator>
#include <system_error>

namespace ollamafs {
namespace {

constexpr std::size_t kManyModels = 16;

// What is waited at least for the end of a use that is open, also where nothing is held.
constexpr std::chrono::milliseconds kShortestWait{500};

}  // namespace

Pins::Pins(BlobPool& pool, std::chrono::milliseconds hold)
    : pool_{pool}, hold_{hold}, any_{::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)} {
  if (!any_) throw std::system_error{errno, std::generic_category(), "eventfd"};
}

Pins::Use Pins::open(const Catalog& catalog, std::uint32_t blob) {
  if (!enabled_) return {};
  const Digest& digest = catalog.blobs()[blob].digest;
  {
    const std::scoped_lock lock{mutex_};
    if (used_.empty()) ::eventfd_write(any_.get(), 1);
    Used& used = used_[digest];
    if (used.opens++ == 0 && used.last_close == Clock::time_point{}) ++begun_;
  }
  Use use{*this, digest};
  const auto users = catalog.users(blob);
  if (hold_.count() == 0 || users.size() > kManyModels) return use;
  // Each time: since the use began, models may have come that name the blob too.
  std::vector<std::shared_ptr<const Held>> held;
  for (const std::uint32_t model : users) held.push_back(hold(catalog, catalog.models()[model]));
  const std::scoped_lock lock{mutex_};
  auto& known = used_.at(digest).held;
  for (auto& blobs : held) {
    if (std::ranges::find(known, blobs) == known.end()) known.push_back(std::move(blobs));
  }
  return use;
}

// Without the lock while the files are opened. One that cannot be opened is found missing by who
// wants to read it.
std::shared_ptr<const Pins::Held> Pins::hold(const Catalog& catalog, const Model& model) {
  const std::pair key{model.view_name, model.manifest->digest};
  {
    const std::scoped_lock lock{mutex_};
    if (const auto it = held_.find(key); it != held_.end()) {
      if (auto known = it->second.lock()) return known;
    }
  }
  Held blobs;
  for (const std::uint32_t index : model.blobs) {
    if (!catalog.blobs()[index].good()) continue;
    std::error_code ec;
    auto open = pool_.open(catalog.blobs()[index], ec);
    if (!ec) blobs.push_back(std::move(open));
  }
  auto held = std::make_shared<const Held>(std::move(blobs));
  const std::scoped_lock lock{mutex_};
  held_[key] = held;
  return held;
}

void Pins::closed(const Digest& blob) {
  Used over;  // goes behind the lock: it may close many files
  const std::scoped_lock lock{mutex_};
  const auto it = used_.find(blob);
  if (--it->second.opens > 0) return;
  it->second.last_close = Clock::now();
  if (hold_.count() > 0) return;
  over = std::move(it->second);
  used_.erase(it);
}

std::vector<std::uint32_t> Pins::pinned(const Catalog& shown) {
  std::vector<Used> over;  // as above
  std::vector<std::uint32_t> models;
  const std::scoped_lock lock{mutex_};
  const auto now = Clock::now();
  for (auto it = used_.begin(); it != used_.end();) {
    if (it->second.opens == 0 && now - it->second.last_close >= hold_) {
      over.push_back(std::move(it->second));
      it = used_.erase(it);
      continue;
    }
    if (const auto blob = shown.blob_index(it->first)) {
      const auto users = shown.users(*blob);
      // Nobody can be in the midst of one that is broken.
      std::ranges::copy_if(users, std::back_inserter(models),
                           [&](std::uint32_t model) { return shown.models()[model].whole(); });
    }
    ++it;
  }
  std::erase_if(held_, [](const auto& entry) { return entry.second.expired(); });
  std::ranges::sort(models);
  const auto [first, last] = std::ranges::unique(models);
  models.erase(first, last);
  return models;
}

std::optional<Pins::Clock::time_point> Pins::next_end() const {
  std::optional<Clock::time_point> next;
  const std::scoped_lock lock{mutex_};
  // One that is open ends with its hold if it is closed now, which nobody is told.
  const auto open_end = Clock::now() + std::max<Clock::duration>(hold_, kShortestWait);
  for (const auto& [digest, used] : used_) {
    const auto end = used.opens == 0 ? used.last_close + hold_ : open_end;
    if (!next || end < *next) next = end;
  }
  return next;
}

std::uint64_t Pins::begun() const {
  const std::scoped_lock lock{mutex_};
  return begun_;
}

bool Pins::unless_begun(std::uint64_t begun, const std::function<void()>& action) {
  const std::scoped_lock lock{mutex_};
  if (begun_ != begun) return false;
  action();
  return true;
}

}  // namespace ollamafs
