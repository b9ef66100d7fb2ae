#pragma once

#include <condition_variable>
#include <functional>
#include <mutex>
#include <thread>

#include "fs/tree/cache_notice.h"

namespace ollamafs {

// Gives the kernel its notices, from one thread of its own: to take one in the kernel waits for the
// locks of requests that wait for their answers. Safe to use from several threads.
class CacheNotifier {
 public:
  // `give` hands one notice to the kernel.
  explicit CacheNotifier(std::function<void(const CacheNotice&)> give);
  ~CacheNotifier() { close(); }
  CacheNotifier(const CacheNotifier&) = delete;
  CacheNotifier& operator=(const CacheNotifier&) = delete;

  // Returns at once.
  void add(CacheNotices notices) noexcept;

  // Returns when no notice is being given any more, and none will be. To be called while requests
  // are still answered: the kernel could keep one waiting for ever, and then also this process.
  void close();

 private:
  void run();

  std::function<void(const CacheNotice&)> give_;
  std::mutex mutex_;
  std::condition_variable changed_;
  CacheNotices waiting_;
  bool closed_ = false;
  std::mutex join_mutex_;
  std::thread thread_;
};

}  // namespace ollamafs
