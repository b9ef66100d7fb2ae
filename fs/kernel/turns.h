#pragma once

#include <condition_variable>
#include <functional>
#include <list>
#include <mutex>
#include <thread>

namespace ollamafs {

// Long jobs that are done in small parts, in turns, by one thread of their own: so that none of
// them waits for another's end, and the threads that answer the kernel wait for none. The thread
// begins with the first job. Safe to use from several threads, stop() from one.
class Turns {
 public:
  // Does a part; true: there is more. It is `over` when this stops: then it must come to its end.
  // Must not throw.
  using Job = std::function<bool(bool over)>;

  Turns() = default;
  ~Turns() { stop(); }
  Turns(const Turns&) = delete;
  Turns& operator=(const Turns&) = delete;

  // Throws if there is no memory or no thread to be had; then nothing was added.
  void add(Job job);

  // Ends all jobs, those too that are added later.
  void stop();

 private:
  void run();

  std::mutex mutex_;
  std::condition_variable changed_;
  std::list<Job> jobs_;  // so that to put one back cannot fail
  bool over_ = false;
  std::thread thread_;
};

}  // namespace ollamafs
