#include "fs/serve/pins.h"

#include <sys/eventfd.h>

#include <algorithm>
#include <cerrno>
#include <system_error>

namespace ollamafs {
namespace {

constexpr std::size_t kManyModels = 16;

// What is waited at least for the end of a use that is open, also with a short hold.
constexpr std::chrono::milliseconds kShortestWait{500};

}  // namespace

Pins::Pins(BlobPool& pool, std::chrono::milliseconds hold)
    : pool_{pool}, hold_{hold}, news_{::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)} {
  if (!news_) throw std::system_error{errno, std::generic_category(), "eventfd"};
}

Pins::Use Pins::open(const Catalog& catalog, std::uint32_t blob, pid_t process) {
  const auto users = catalog.users(blob);
  if (!enabled_ || users.size() > kManyModels) return {};
  Use use{*this, {}};
  use.of_.reserve(users.size());
  for (const std::uint32_t index : users) {
    const Model& model = catalog.models()[index];
    if (!model.whole()) continue;  // nobody can be in the midst of one that is broken
    use.of_.push_back(pin(catalog, model, process));
  }
  return use;
}

Pins::InUsePtr Pins::pin(const Catalog& catalog, const Model& model, pid_t process) {
  const Version version{model.view_name, model.manifest->digest};
  if (InUsePtr known = use_known(version, process)) return known;
  InUsePtr fresh = open_blobs(catalog, model);
  const std::scoped_lock lock{mutex_};
  const bool is_first = uses_.empty();
  const auto [it, is_new] = uses_.try_emplace(version, std::move(fresh));
  begin(*it->second, process);
  if (is_new && it->second->is_held) ++begun_;
  if (is_first) ::eventfd_write(news_.get(), 1);
  return it->second;
}

Pins::InUsePtr Pins::use_known(const Version& version, pid_t process) {
  const std::scoped_lock lock{mutex_};
  const auto it = uses_.find(version);
  if (it == uses_.end()) return nullptr;
  begin(*it->second, process);
  return it->second;
}

void Pins::begin(InUse& pin, pid_t process) {
  pin.opened.note(process);
  ++pin.opens;
}

// Without the lock, since it may take a while. What could not be held is not tried again for each
// of thousands of blobs.
Pins::InUsePtr Pins::open_blobs(const Catalog& catalog, const Model& model) {
  auto pin = std::make_shared<InUse>();
  if (hold_.count() == 0) return pin;  // who has opened a blob has it
  pin->blobs.reserve(model.blobs.size());
  for (const std::uint32_t index : model.blobs) {
    std::error_code ec;
    auto open = pool_.open(catalog.blobs()[index], ec);
    if (ec || !open->is_held()) {
      pin->is_held = false;
      pin->blobs.clear();
      break;
    }
    pin->blobs.push_back(std::move(open));
  }
  return pin;
}

void Pins::closed(const std::vector<InUsePtr>& pins) {
  std::vector<InUsePtr> over;
  const std::scoped_lock lock{mutex_};
  for (const InUsePtr& pin : pins) {
    if (--pin->opens == 0) pin->last_close = Clock::now();
  }
  if (hold_.count() == 0) over = take_over();
}

// What is over goes behind the lock: that may close many files.
std::vector<Pins::InUsePtr> Pins::take_over() {
  std::vector<InUsePtr> over;
  const auto now = Clock::now();
  std::erase_if(uses_, [&](const auto& entry) {
    if (is_over(*entry.second, now)) over.push_back(entry.second);
    return is_over(*entry.second, now);
  });
  return over;
}

std::vector<std::uint32_t> Pins::pinned(const Catalog& shown) {
  std::vector<InUsePtr> over;
  std::vector<std::uint32_t> models;
  const std::scoped_lock lock{mutex_};
  over = take_over();
  for (const auto& [version, pin] : uses_) {
    const auto& [view_name, digest] = version;
    if (!pin->is_held) continue;
    const Model* const model = shown.at_view_name(view_name);
    if (model && model->manifest->digest == digest && model->whole())
      models.push_back(static_cast<std::uint32_t>(model - shown.models().data()));
  }
  return models;
}

std::optional<Pins::Clock::time_point> Pins::next_end() const {
  std::optional<Clock::time_point> next;
  const std::scoped_lock lock{mutex_};
  // One that is open ends with its hold if it is closed now, which nobody is told.
  const auto open_end = Clock::now() + std::max<Clock::duration>(hold_, kShortestWait);
  for (const auto& [version, pin] : uses_) {
    const auto end = pin->opens == 0 ? pin->last_close + hold_ : open_end;
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

void Pins::set_outdated(std::set<std::string> models) {
  std::set<std::string, std::less<>> now;
  now.merge(models);
  const std::scoped_lock lock{mutex_};
  outdated_.swap(now);
  any_outdated_ = !outdated_.empty();
}

bool Pins::is_outdated(std::string_view model) const {
  if (!any_outdated_) return false;
  const std::scoped_lock lock{mutex_};
  return outdated_.contains(model);
}

bool Pins::release(std::string_view model) {
  if (!any_outdated_) return false;
  std::vector<InUsePtr> over;  // as in take_over()
  const std::scoped_lock lock{mutex_};
  if (!outdated_.contains(model)) return false;
  const auto is_of_it = [&](const auto& entry) { return entry.first.first == model; };
  const auto is_needed = [&](const auto& entry) {
    return is_of_it(entry) && (entry.second->opens > 0 || !entry.second->opened.all_have_ended());
  };
  if (std::ranges::any_of(uses_, is_needed)) return false;
  over.reserve(uses_.size());
  std::erase_if(uses_, [&](const auto& entry) {
    if (is_of_it(entry)) over.push_back(entry.second);
    return is_of_it(entry);
  });
  released_ = true;
  ::eventfd_write(news_.get(), 1);
  return true;
}

}  // namespace ollamafs
