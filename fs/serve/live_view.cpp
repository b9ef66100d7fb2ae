#include "fs/serve/live_view.h"

#include <fmt/format.h>
#include <malloc.h>
#include <poll.h>
#include <sys/eventfd.h>

#include <algorithm>
#include <cerrno>
#include <set>
#include <system_error>
#include <utility>

#include "store/base/text.h"

namespace ollamafs {
namespace {

using namespace std::chrono_literals;

constexpr auto kReadAgain = 250ms;     // while something is being written
constexpr auto kRetry = 2s;            // after the store could not be read
constexpr int kTries = 4;              // to find no use that has begun meanwhile
constexpr auto kLongestPause = 1min;   // after the disk has failed: that alone makes reading slow
constexpr int kReadingsPerPause = 20;  // a poller takes no more than a twentieth of a processor

int milliseconds_until(std::chrono::steady_clock::time_point then) {
  const auto left = then - std::chrono::steady_clock::now();
  const auto ms = std::chrono::ceil<std::chrono::milliseconds>(left).count();
  return static_cast<int>(std::clamp<long>(ms, 0, 1 << 30));
}

}  // namespace

LiveView::LiveView(StoreScanner& scanner, FileSystem& fs, std::shared_ptr<const Catalog> first,
                   Calls calls, const Options& options)
    : scanner_{scanner},
      fs_{fs},
      scanned_{std::move(first)},
      calls_{std::move(calls)},
      options_{options},
      stop_{::eventfd(0, EFD_CLOEXEC)} {
  if (!stop_) throw std::system_error{errno, std::generic_category(), "eventfd"};
  thread_ = std::thread{[this] { run(); }};
}

LiveView::~LiveView() {
  ::eventfd_write(stop_.get(), 1);
  thread_.join();
}

// What comes out of a step is want of memory: for a note, say, or for what has changed.
void LiveView::run() {
  for (bool goes_on = true; goes_on;) {
    try {
      goes_on = step();
    } catch (const std::exception&) {
      owes_reading_ = true;
      goes_on = wait(Clock::now() + kRetry, false);
    }
  }
}

// False: this must end.
bool LiveView::step() {
  note_watch_trouble();
  const auto reading = next_reading();
  const auto next_end = fs_.pins().next_end();
  if (next_end && (!unpinning_ || *next_end < *unpinning_)) unpinning_ = next_end;
  auto until = last_look_ + options_.look_again;
  for (const auto& due : {reading, unpinning_}) {
    if (due) until = std::min(until, *due);
  }
  if (!wait(until, true)) return false;

  eventfd_t news = 0;
  if (::eventfd_read(fs_.pins().descriptor(), &news) == 0) {
    if (fs_.pins().take_released()) try_to([this] { show(); });
    return true;
  }
  if (::eventfd_read(fs_.wanted_views().descriptor(), &news) == 0) {
    try_to([this] { show(); });
    return true;
  }
  const auto now = Clock::now();
  if (now >= last_look_ + options_.look_again) {
    last_look_ = now;
    scanner_.forget();
    read_store();
  } else if (store_has_changed() || (reading && now >= *reading)) {
    read_store();
  } else if (unpinning_ && now >= *unpinning_) {
    unpinning_.reset();
    try_to([this] { show(); });
  } else {
    return wait(now + options_.quiet, false);  // a download writes all the time
  }
  return true;
}

void LiveView::note_watch_trouble() {
  const StoreWatch* const watch = scanner_.watch();
  if (!watch) return;
  if (!watch->failure()) {
    watch_trouble_.clear();
    return;
  }
  note_once(watch_trouble_,
            fmt::format("changes of the store are seen within {} s only: {}",
                        std::chrono::ceil<std::chrono::seconds>(options_.poll).count(),
                        *watch->failure()));
}

// When the store must be read although nothing was seen to change.
std::optional<LiveView::Clock::time_point> LiveView::next_reading() const {
  if (owes_reading_) return last_reading_ + kRetry;
  if (scanner_.is_unsettled()) return last_reading_ + kReadAgain;
  const StoreWatch* const watch = scanner_.watch();
  const bool sees_changes = watch && !watch->failure() && !options_.always_poll;
  if (sees_changes && !scanner_.is_provisional()) return std::nullopt;
  const auto pause = std::max<Clock::duration>(options_.poll, kReadingsPerPause * reading_took_);
  return last_reading_ + (sees_changes ? std::min<Clock::duration>(pause, kLongestPause) : pause);
}

// Waits until then, or, `for_change`, until the store may have changed or uses began. False: this
// must end.
bool LiveView::wait(Clock::time_point until, bool for_change) {
  const StoreWatch* const watch = scanner_.watch();
  pollfd fds[] = {{stop_.get(), POLLIN, 0},
                  {for_change && watch ? watch->descriptor() : -1, POLLIN, 0},
                  {for_change ? fs_.pins().descriptor() : -1, POLLIN, 0},
                  {for_change ? fs_.wanted_views().descriptor() : -1, POLLIN, 0}};
  while (::poll(fds, std::size(fds), milliseconds_until(until)) < 0 && errno == EINTR) {
  }
  return fds[0].revents == 0;
}

// If so, returns when it has come to rest.
bool LiveView::store_has_changed() {
  StoreWatch* const watch = scanner_.watch();
  if (!watch || !watch->has_changed()) return false;
  const auto latest = Clock::now() + options_.patience;
  for (auto next = Clock::now() + options_.quiet; next < latest;
       next = Clock::now() + options_.quiet) {
    if (!wait(next, false) || !watch->has_changed()) break;
  }
  return true;
}

void LiveView::read_store() {
  const auto begin = Clock::now();
  try_to([&] {
    auto now = Catalog::keep_unread(scanner_.scan(), *scanned_);
    const bool is_same = *now == *scanned_;
    if (!is_same) {
      calls_.changed(*scanned_, *now);
      scanned_ = std::move(now);
    }
    // What was read before may not be shown yet, if that failed.
    const bool is_outdated = calls_.is_outdated(*fs_.current());
    if (!is_same || owes_reading_ || is_outdated) show(is_outdated);
    owes_reading_ = false;
    read_trouble_.clear();
  });
  last_reading_ = Clock::now();
  reading_took_ = last_reading_ - begin;
}

// What fails is done again by a later reading.
void LiveView::try_to(const std::function<void()>& action) {
  try {
    action();
  } catch (const std::exception& error) {
    owes_reading_ = true;
    note_once(read_trouble_,
              fmt::format("the store cannot be read, what it held before is shown: {}",
                          printable(error.what())));
  }
}

void LiveView::note_once(std::string& last, const std::string& text) const {
  if (last != text) calls_.note(text);
  last = text;
}

// What was read, but for the models that are in use. Again, if one came into use meanwhile: it must
// not change under a tool that has just begun. But not for ever, if one tool after the other
// begins: those are left to the guard of manifests.
void LiveView::show(bool anyhow) {
  for (int tries = 1;; ++tries) {
    const auto begun = fs_.pins().begun();
    const auto current = fs_.current();
    const auto next = with_pinned(current->catalog());
    if (!anyhow && *next == current->catalog() && *scanned_ == current->stored() &&
        current->awake() == fs_.wanted_views().all()) {
      return;
    }
    const auto tree = calls_.make_tree(next, scanned_, current.get());
    if (fs_.pins().unless_begun(begun, [&] { fs_.publish(tree); })) break;
    if (tries < kTries) continue;
    fs_.publish(tree);
    break;
  }
  // What went with the old tree and with the making of the new one is more than the rest of this
  // program has: the C library would keep it.
  ::malloc_trim(0);
}

std::shared_ptr<const Catalog> LiveView::with_pinned(const Catalog& shown) {
  // Of a store that is gone nothing can be read on but what is open.
  const auto pinned = scanned_->is_gone() ? std::vector<std::uint32_t>{} : fs_.pins().pinned(shown);
  std::set<std::string> outdated;
  for (const std::uint32_t index : pinned) {
    const Model& model = shown.models()[index];
    const Model* const now = scanned_->at_view_name(model.view_name);
    if (!now || now->manifest->digest != model.manifest->digest) outdated.insert(model.view_name);
  }
  fs_.set_outdated(std::move(outdated));
  return pinned.empty() ? scanned_ : Catalog::keep(*scanned_, shown, pinned);
}

}  // namespace ollamafs
