#include "fs/kernel/request_loop.h"

#include <linux/fuse.h>
#include <pthread.h>

#include <cerrno>
#include <chrono>
#include <csignal>
#include <exception>
#include <system_error>
#include <utility>

#include "fs/kernel/fuse.h"

namespace ollamafs {
namespace {

constexpr int kWakeSignal = SIGUSR2;
constexpr std::chrono::milliseconds kWakeAgain{10};

// What a request has before what is written.
constexpr std::size_t kHeaderRoom = 4096;
constexpr std::size_t kBufferSize = kLargestWrite + kHeaderRoom;

// A system call in progress returns EINTR; also where who began this program had the signal
// blocked. The threads to come inherit that.
void interrupt_by_wake_signal() noexcept {
  struct sigaction nothing {};
  nothing.sa_handler = [](int) {};  // and no SA_RESTART
  ::sigaction(kWakeSignal, &nothing, nullptr);
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, kWakeSignal);
  ::pthread_sigmask(SIG_UNBLOCK, &set, nullptr);
}

// Of a read: the request was taken back (ENOENT), or there is none yet.
bool is_passing(int error) noexcept {
  return error == EINTR || error == EAGAIN || error == ENOENT;
}

// The file system was unmounted: for who takes a request at that moment, a late release say,
// ECONNABORTED.
bool is_unmounted(int error) noexcept {
  return error == ENODEV || error == ECONNABORTED;
}

}  // namespace

void RequestLoop::run(fuse_session* session, Read read, unsigned threads) {
  session_ = session;
  read_ = std::move(read);
  most_ = threads;
  interrupt_by_wake_signal();
  add_server();
  std::unique_lock lock{mutex_};
  changed_.wait(lock, [this] { return over_.load(); });
  const auto have_left = [this] { return serving_ == 0; };
  while (!have_left()) {
    // A signal that comes just before the call does not interrupt it.
    if (wake_waiting()) {
      changed_.wait_for(lock, kWakeAgain, have_left);
    } else {
      changed_.wait(lock);
    }
  }
  lock.unlock();
  for (Server& server : servers_) server.thread.join();
  if (error_ != 0) {
    throw std::system_error{error_, std::generic_category(), "the connection to the kernel"};
  }
}

void RequestLoop::add_server() {
  const std::scoped_lock lock{mutex_};
  if (over_ || servers_.size() >= most_) return;
  Server& server = servers_.emplace_back();
  ++idle_;  // before it can take a request
  try {
    server.buffer = std::make_unique_for_overwrite<std::byte[]>(kBufferSize);
    server.thread = std::thread{[this, &server] { serve(server); }};
  } catch (...) {
    servers_.pop_back();
    --idle_;
    throw;
  }
  ++serving_;
}

void RequestLoop::try_to_add_server() noexcept {
  try {
    add_server();
  } catch (const std::exception&) {  // those that are there do it
  }
}

void RequestLoop::serve(Server& self) noexcept {
  take_requests(self);
  const std::scoped_lock lock{mutex_};
  --serving_;
  changed_.notify_all();
}

void RequestLoop::take_requests(Server& self) noexcept {
  while (!over_) {
    self.waits = true;
    const ssize_t size = over_ ? 0 : read_(self.buffer.get(), kBufferSize);
    const int error = errno;
    self.waits = false;
    if (over_) return;
    if (size < 0 && is_passing(error)) continue;
    if (size < 0) return end(is_unmounted(error) ? 0 : error);
    if (static_cast<std::size_t>(size) < sizeof(fuse_in_header)) return end(EIO);

    if (--idle_ == 0) try_to_add_server();
    fuse_buf request{};
    request.mem = self.buffer.get();
    request.size = static_cast<std::size_t>(size);
    fuse_session_process_buf(session_, &request);
    ++idle_;
    if (fuse_session_exited(session_)) return end(EPROTO);  // libfuse and the kernel do not agree
  }
}

void RequestLoop::end(int error) noexcept {
  const std::scoped_lock lock{mutex_};
  if (!over_) error_ = error;
  over_ = true;
  changed_.notify_all();
}

// Whether there were any. Who is at work is not to be interrupted, and leaves by himself.
bool RequestLoop::wake_waiting() noexcept {
  bool some_wait = false;
  for (Server& server : servers_) {
    if (!server.waits) continue;
    some_wait = true;
    ::pthread_kill(server.thread.native_handle(), kWakeSignal);
  }
  return some_wait;
}

}  // namespace ollamafs
