#pragma once

#include <sys/types.h>

#include <filesystem>
#include <memory>
#include <string>

#include "fs/kernel/passthrough.h"
#include "fs/kernel/request_loop.h"
#include "fs/serve/file_system.h"
#include "fs/tree/cache_notice.h"
#include "store/base/unique_fd.h"

struct fuse_session;
struct fuse_custom_io;

namespace ollamafs {

struct Driver;

struct SessionOptions {
  std::string fsname;  // what `mount` and `df` show as the source
  bool allow_other =
      false;           // others than the mounting user may enter, as far as the modes let them
  bool debug = false;  // libfuse logs every request
  const BackingCalls* backing = backing_calls();                   // nullptr: no passthrough
  BlobAccess::Way without_backing = BlobAccess::Way::no_library;   // why there is none
  std::function<void(BlobAccess)> on_refusal = [](BlobAccess) {};  // see Passthrough
};

// A connection between a FileSystem and the kernel. Mounted read-only, nosuid, nodev, noexec, as
// fuse.ollamafs, with the kernel checking the modes. The end of the session is the end of the
// connection, whatever is open. It does not take the mount out of the tree: who has mounted must do
// that first, because something else may be at that path by now.
class Session {
 public:
  // `fs` must outlive the session. Throws std::runtime_error if libfuse refuses the options.
  Session(FileSystem& fs, const SessionOptions& options);
  ~Session();
  Session(const Session&) = delete;
  Session& operator=(const Session&) = delete;

  // Mounts at an absolute path. Throws std::runtime_error; what libfuse or fusermount3 had to say
  // about it they have said themselves.
  void mount(const std::filesystem::path& mountpoint);

  // Takes requests from `fd` by `io` instead of from a mount: for tests that play the kernel. `fd`
  // is the session's from then on.
  void attach(const fuse_custom_io& io, int fd);

  // Makes the kernel forget something. What it does not know, or a session that is not mounted, is
  // no error. From one thread, and not from handlers, see CacheNotifier.
  void forget(const CacheNotice& notice) noexcept;

  // Who reads the blobs; settled by the first that is opened.
  [[nodiscard]] BlobAccess blob_access() const;

  // Answers requests until the file system is unmounted or stop() is called, with at most so many
  // threads. Throws as RequestLoop::run does. Once only.
  void run(unsigned threads = 10);

  // Whether the mount's connection lives: the kernel ends it with the last place of the mount, or
  // earlier, if it is told to.
  [[nodiscard]] bool is_connected() const noexcept;

  // Ends the connection as soon as no thread waits for requests: who waits for an answer gets
  // ENOTCONN. After run() or stop().
  void disconnect() noexcept;

  // Makes run() return without waiting for what is open, but for requests that are being answered.
  // Safe from any thread.
  void stop() noexcept { loop_.stop(); }

 private:
  struct Destroy {
    void operator()(fuse_session* session) const noexcept;
  };

  std::unique_ptr<Driver> driver_;  // outlives session_, which uses it to its end
  std::unique_ptr<fuse_session, Destroy> session_;
  RequestLoop::Read read_;  // of a session that is attached
  RequestLoop loop_;
  UniqueFd ended_;  // what libfuse is shown in the end
  bool mounted_ = false;
  bool untold_ = false;  // the kernel could not take a notice in; of the thread of forget()
};

// The version of libfuse that this process runs with.
[[nodiscard]] std::string version_of_libfuse();

// Hands every message of libfuse to `sink` (a printable line without a newline; `error` tells its
// gravity) instead of printing it. For the whole process, because libfuse knows only one.
void set_libfuse_log(void (*sink)(bool error, const std::string& line));

}  // namespace ollamafs
