#pragma once

#include <fcntl.h>

#include <cerrno>
#include <condition_variable>
#include <cstdint>
#include <filesystem>
#include <future>
#include <limits>
#include <map>
#include <mutex>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "fs/kernel/session.h"
#include "store/base/unique_fd.h"
#include "tests/protocol/wire.h"

namespace ollamafs::test {

// The kernel's side of a session: a real Session in a thread of its own answers over a socket pair
// what this asks, as the kernel asks it (<linux/fuse.h>), without a mount.
//
// At the end it disconnects as an unmount does. The test fails if the session does not leave
// without an error then, or if a reply came that nobody had asked for: a second one, one to a
// forget.
//
// Requests may be sent from several threads. Only one of these may exist at a time.
class FakeKernel {
 public:
  // What a current Linux offers, near enough: every flag but the reserved one.
  static constexpr std::uint32_t kOffersAll = std::numeric_limits<std::int32_t>::max();

  struct Options {
    unsigned threads = 1;   // of the session
    bool handshake = true;  // says INIT by itself
  };

  explicit FakeKernel(FileSystem& fs) : FakeKernel{fs, Options{}} {}
  FakeKernel(FileSystem& fs, const Options& options);
  ~FakeKernel();
  FakeKernel(const FakeKernel&) = delete;
  FakeKernel& operator=(const FakeKernel&) = delete;

  [[nodiscard]] Session& session() noexcept { return session_; }

  // ---- the protocol ----

  // Sends a request and waits for the answer. Throws std::runtime_error if none comes.
  Answer<std::string> ask(std::uint32_t opcode, std::uint64_t node, std::string_view body = {});

  // Sends a request and returns its number; wait() has the answer to it.
  std::uint64_t send(std::uint32_t opcode, std::uint64_t node, std::string_view body = {});
  Answer<std::string> wait(std::uint64_t unique);

  // Sends a request whose reply the kernel does not take, as when the caller was killed meanwhile.
  void send_refused(std::uint32_t opcode, std::uint64_t node, std::string_view body = {});

  // Sends a request that gets no answer.
  void tell(std::uint32_t opcode, std::uint64_t node, std::string_view body = {});

  // Sends what is no request.
  void send_garbage(std::string_view bytes);

  // Says that nobody waits for the answer to a request any more.
  void interrupt(std::uint64_t unique);

  // The number that the next request will have.
  [[nodiscard]] std::uint64_t next_unique();

  // With a session of one thread: returns when all that was asked so far is over, together with
  // what the session does after it has replied.
  void settle();

  // Closes the connection, as an unmount does: who reads from it is told ENODEV, or ECONNABORTED if
  // they were just taking a request. wait_for_end() tells how the session took it.
  void disconnect(int error = ENODEV);

  // Waits until Session::run has returned, and throws what it threw.
  void wait_for_end();

  // Replies that came without a request so far.
  [[nodiscard]] std::vector<std::string> strays();

  // ---- requests ----

  Answer<fuse_init_out> init(std::uint32_t offers);
  Answer<fuse_entry_out> lookup(std::uint64_t parent, std::string_view name);
  Answer<fuse_attr_out> getattr(std::uint64_t node);
  Answer<fuse_open_out> open(std::uint64_t node, int flags = O_RDONLY);
  Answer<std::string> read(std::uint64_t node, std::uint64_t handle, std::uint64_t offset,
                           std::uint32_t size);
  int release(std::uint64_t node, std::uint64_t handle);
  Answer<fuse_open_out> opendir(std::uint64_t node);
  Answer<std::vector<ListedName>> readdir(std::uint64_t node, std::uint64_t offset = 0,
                                          std::uint32_t size = 4096);
  Answer<std::vector<ListedName>> readdirplus(std::uint64_t node, std::uint64_t offset = 0,
                                              std::uint32_t size = 4096);
  int releasedir(std::uint64_t node);
  Answer<fuse_statfs_out> statfs();
  // With size 0 the value is a fuse_getxattr_out.
  Answer<std::string> getxattr(std::uint64_t node, const std::string& name, std::uint32_t size);
  Answer<std::string> listxattr(std::uint64_t node, std::uint32_t size);

  // ---- several requests; these throw std::runtime_error if one of them fails ----

  // The node at a path of the view, by one lookup after the other.
  std::uint64_t walk(const std::filesystem::path& path);

  // All of a directory by readdirplus, "." and ".." included.
  std::vector<ListedName> list(std::uint64_t node);

  // A whole file, opened and closed for it.
  std::string content(std::uint64_t node);

 private:
  FakeKernel(FileSystem& fs, unsigned threads);
  std::uint64_t post(std::uint32_t opcode, std::uint64_t node, std::string_view body, bool answered,
                     bool refused = false);
  void receive();
  void take(const std::string& reply);

  UniqueFd socket_;
  Session session_;
  std::future<void> running_;
  std::thread receiver_;

  std::mutex mutex_;
  std::condition_variable arrived_;
  std::uint64_t next_unique_ = 2;  // even: the lowest bit marks interrupts, as in Linux
  std::set<std::uint64_t> pending_;
  std::map<std::uint64_t, Answer<std::string>> answers_;
  std::vector<std::string> strays_;
  bool over_ = false;  // no more answers will come
};

}  // namespace ollamafs::test
