#include "fs/turns.h"

#include <utility>

namespace ollamafs {

void Turns::add(Job job) {
  {
    const std::scoped_lock lock{mutex_};
    if (!over_) {
      if (!thread_.joinable()) thread_ = std::thread{[this] { run(); }};
      jobs_.push_back(std::move(job));
      changed_.notify_one();
      return;
    }
  }
  job(true);
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
    Job job = std::move(jobs_.front());
    jobs_.pop_front();
    const bool over = over_;
    lock.unlock();
    const bool more = job(over);
    lock.lock();
    if (more) jobs_.push_back(std::move(job));
  }
}

}  // namespace ollamafs
