#include "fs/kernel/turns.h"

#include <utility>

namespace ollamafs {

void Turns::add(Job job) {
  std::list<Job> one;
  one.push_back(std::move(job));
  {
    const std::scoped_lock lock{mutex_};
    if (!over_) {
      if (!thread_.joinable()) thread_ = std::thread{[this] { run(); }};
      jobs_.splice(jobs_.end(), one);
      changed_.notify_one();
      return;
    }
  }
  one.front()(true);
}

void Turns::stop() {
  {
    const std::scoped_lock lock{mutex_};
    over_ = true;
    changed_.notify_one();
  }
  if (thread_.joinable()) thread_.join();
}

void Turns::run() {
  std::unique_lock lock{mutex_};
  while (true) {
    changed_.wait(lock, [this] { return over_ || !jobs_.empty(); });
    if (jobs_.empty()) return;
    std::list<Job> one;
    one.splice(one.end(), jobs_, jobs_.begin());
    const bool over = over_;
    lock.unlock();
    const bool more = one.front()(over);
    lock.lock();
    if (more) jobs_.splice(jobs_.end(), one);
  }
}

}  // namespace ollamafs
