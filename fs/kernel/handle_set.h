#pragma once

#include <memory>
#include <mutex>
#include <unordered_map>
#include <utility>

namespace ollamafs {

// The objects behind the kernel's file handles. The kernel gives each back when the last user
// closes it; what is left when the connection ends goes with this. Safe to use from several
// threads.
template <class T>
class HandleSet {
 public:
  // Takes over `object` and returns its handle, which is good until close().
  T* open(std::unique_ptr<T> object) {
    T* const handle = object.get();
    const std::scoped_lock lock{mutex_};
    objects_.emplace(handle, std::move(object));
    return handle;
  }

  void close(T* handle) {
    std::unique_ptr<T> last;  // destroyed behind the lock: that may take a while
    const std::scoped_lock lock{mutex_};
    if (auto node = objects_.extract(handle)) last = std::move(node.mapped());
  }

 private:
  std::mutex mutex_;
  std::unordered_map<T*, std::unique_ptr<T>> objects_;
};

}  // namespace ollamafs
