#include "fs/kernel/cache_notifier.h"

#include <utility>

namespace ollamafs {

CacheNotifier::CacheNotifier(std::function<void(const CacheNotice&)> give)
    : give_{std::move(give)}, thread_{[this] { run(); }} {}

void CacheNotifier::add(CacheNotices notices) noexcept {
  const std::scoped_lock lock{mutex_};
  waiting_.splice(waiting_.end(), notices);
  changed_.notify_one();
}

void CacheNotifier::close() {
  {
    const std::scoped_lock lock{mutex_};
    closed_ = true;
    changed_.notify_one();
  }
  const std::scoped_lock lock{join_mutex_};  // of two who close, both wait
  if (thread_.joinable()) thread_.join();
}

void CacheNotifier::run() {
  std::unique_lock lock{mutex_};
  while (!closed_) {
    if (waiting_.empty()) {
      changed_.wait(lock);
      continue;
    }
    const CacheNotices now = std::exchange(waiting_, {});
    for (const CacheNotice& notice : now) {
      if (closed_) break;
      lock.unlock();
      give_(notice);
      lock.lock();
    }
  }
}

}  // namespace ollamafs
