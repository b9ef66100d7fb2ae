#include "store/transfer/hash_pipe.h"

namespace ollamafs {

HashPipe::HashPipe()
    : chunks_{std::make_unique_for_overwrite<std::array<Chunk, kChunks>>()},
      thread_{[this] { work(); }} {}

HashPipe::~HashPipe() {
  {
    const std::scoped_lock lock{mutex_};
    is_ending_ = true;
    changed_.notify_all();
  }
  thread_.join();
}

void HashPipe::begin() {
  std::unique_lock lock{mutex_};
  wait_until_empty(lock);
  failure_ = nullptr;
  hasher_.emplace();
}

// One chunk is the caller's, all others may wait.
std::span<char, HashPipe::kChunk> HashPipe::next() {
  std::unique_lock lock{mutex_};
  changed_.wait(lock, [this] { return pending_.size() < kChunks - 1; });
  return (*chunks_)[at_];
}

std::string_view HashPipe::add(std::size_t size) {
  const std::string_view bytes{(*chunks_)[at_].data(), size};
  at_ = (at_ + 1) % kChunks;
  const std::scoped_lock lock{mutex_};
  pending_.push_back(bytes);
  changed_.notify_all();
  return bytes;
}

Digest HashPipe::finish() {
  std::unique_lock lock{mutex_};
  wait_until_empty(lock);
  if (failure_) std::rethrow_exception(failure_);
  return hasher_->finish();
}

void HashPipe::wait_until_empty(std::unique_lock<std::mutex>& lock) {
  changed_.wait(lock, [this] { return pending_.empty(); });
}

void HashPipe::work() {
  std::unique_lock lock{mutex_};
  for (;;) {
    changed_.wait(lock, [this] { return is_ending_ || !pending_.empty(); });
    if (pending_.empty()) return;
    const std::string_view bytes = pending_.front();
    lock.unlock();
    std::exception_ptr failure;
    try {
      hasher_->add(bytes);
    } catch (...) {
      failure = std::current_exception();
    }
    lock.lock();
    if (failure) failure_ = failure;
    pending_.pop_front();
    changed_.notify_all();
  }
}

}  // namespace ollamafs
