#pragma once

#include <sys/types.h>

#include <atomic>
#include <condition_variable>
#include <cstddef>
#include <functional>
#include <list>
#include <memory>
#include <mutex>
#include <thread>

struct fuse_session;

namespace ollamafs {

// The largest write that a session may agree to, in bytes: the kernel gives no request to a reader
// who has not room for one, although it sends none to a file system that is read-only. What may be
// read at once follows from it too. libfuse's own choice where pages have 4 KiB.
inline constexpr unsigned kLargestWrite = 1 << 20;

// Takes the requests of a session and has them answered: by one thread, and by one more whenever
// all are at work. What a thread needs it has before it begins, so that want of memory later makes
// fewer threads and nothing else. (libfuse's own loop ends the session then; and it cancels its
// threads, one of which may hold the lock of stderr, for which the end of the program waits.)
class RequestLoop {
 public:
  // Puts a request into a buffer as read(2) of /dev/fuse does: its size, or -1 and errno.
  using Read = std::function<ssize_t(void* buffer, std::size_t size)>;

  RequestLoop() = default;
  RequestLoop(const RequestLoop&) = delete;
  RequestLoop& operator=(const RequestLoop&) = delete;

  // Serves with at most so many threads until the connection ends or stop() is called, and returns
  // when all of them have left. Throws std::system_error if the connection breaks, and that or
  // std::bad_alloc if not one thread can be had. Once only. Takes SIGUSR2 for the whole process, to
  // wake who waits in `read`.
  void run(fuse_session* session, Read read, unsigned threads);

  // Makes run() return as soon as no request is at work, also if it has yet to be called. Safe from
  // any thread.
  void stop() noexcept { end(0); }

 private:
  struct Server {
    std::unique_ptr<std::byte[]> buffer;
    std::atomic<bool> waits = false;  // for a request
    std::thread thread;
  };

  void add_server();
  void try_to_add_server() noexcept;
  void serve(Server& self) noexcept;
  void take_requests(Server& self) noexcept;
  void end(int error) noexcept;
  bool wake_waiting() noexcept;

  fuse_session* session_ = nullptr;
  Read read_;
  unsigned most_ = 0;
  std::atomic<unsigned> idle_ = 0;
  std::atomic<bool> over_ = false;

  std::mutex mutex_;  // of all below
  std::condition_variable changed_;
  std::list<Server> servers_;
  unsigned serving_ = 0;
  int error_ = 0;  // errno of a connection that broke
};

}  // namespace ollamafs
