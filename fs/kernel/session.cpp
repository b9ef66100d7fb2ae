#include "fs/kernel/session.h"

#include <fcntl.h>
#include <poll.h>
#include <unistd.h>

#include <cerrno>
#include <cstdarg>
#include <cstdio>
#include <stdexcept>
#include <system_error>

#include "fs/kernel/fuse_driver.h"
#include "store/base/text.h"

namespace ollamafs {
namespace {

// libfuse's argument list, freed with this.
class Arguments {
 public:
  Arguments() { add("ollamafs"); }
  ~Arguments() { fuse_opt_free_args(&args_); }
  Arguments(const Arguments&) = delete;
  Arguments& operator=(const Arguments&) = delete;

  void add(const std::string& argument) {
    if (fuse_opt_add_arg(&args_, argument.c_str()) != 0) throw std::bad_alloc{};
  }

  // As one word of a comma-separated list: commas and backslashes of its own must be escaped.
  void add_option(const std::string& option) {
    std::string escaped = "-o";
    for (const char c : option) {
      if (c == ',' || c == '\\') escaped += '\\';
      escaped += c;
    }
    add(escaped);
  }

  fuse_args* get() noexcept { return &args_; }

 private:
  fuse_args args_ = FUSE_ARGS_INIT(0, nullptr);
};

// libfuse's log function has no place for a pointer of ours.
void (*libfuse_sink)(bool error, const std::string& line) = nullptr;

void pass_on_log(fuse_log_level level, const char* format, va_list arguments) {
  char line[1024];
  std::vsnprintf(line, sizeof line, format, arguments);
  std::string text{line};
  while (!text.empty() && text.back() == '\n') text.pop_back();
  // A refusal of passthrough is said in our own words, with its reason.
  const bool known = text.starts_with("fuse: passthrough_open");
  libfuse_sink(level <= FUSE_LOG_WARNING && !known, printable(text));
}

}  // namespace

void Session::Destroy::operator()(fuse_session* session) const noexcept {
  fuse_session_destroy(session);
}

Session::Session(FileSystem& fs, const SessionOptions& options)
    : driver_{std::make_unique<Driver>(fs, options.backing, options.on_refusal,
                                       options.without_backing)} {
  Arguments arguments;
  for (const char* option : {"ro", "nosuid", "nodev", "noexec", "default_permissions"}) {
    arguments.add_option(option);
  }
  arguments.add_option("subtype=ollamafs");
  arguments.add_option("fsname=" + options.fsname);
  if (options.allow_other) arguments.add_option("allow_other");
  if (options.debug) arguments.add_option("debug");
  const fuse_lowlevel_ops& operations = fuse_operations();
  session_.reset(fuse_session_new(arguments.get(), &operations, sizeof operations, driver_.get()));
  if (!session_) throw std::runtime_error{"libfuse does not take the mount options"};
}

// libfuse would unmount by path, unless it sees that the connection has ended (POLLERR). So what it
// sees is a pipe that nobody reads, put into the connection's place, which ends that.
Session::~Session() {
  driver_->verifications.stop();  // with the last answers
  if (!mounted_) return;
  disconnect();
  fuse_session_unmount(session_.get());
}

bool Session::is_connected() const noexcept {
  pollfd connection{fuse_session_fd(session_.get()), 0, 0};  // errors are always told
  return mounted_ && ::poll(&connection, 1, 0) == 0;
}

void Session::disconnect() noexcept {
  if (mounted_) ::dup2(ended_.get(), fuse_session_fd(session_.get()));
}

void Session::mount(const std::filesystem::path& mountpoint) {
  int ends[2];
  if (::pipe2(ends, O_CLOEXEC) != 0) {
    throw std::system_error{errno, std::generic_category(), "pipe"};
  }
  ended_ = UniqueFd{ends[1]};
  ::close(ends[0]);
  if (fuse_session_mount(session_.get(), mountpoint.c_str()) != 0) {
    throw std::runtime_error{"cannot mount at " + printable(mountpoint.string())};
  }
  mounted_ = true;
}

void Session::attach(const fuse_custom_io& io, int fd) {
  if (const int error = fuse_session_custom_io(session_.get(), &io, fd); error != 0) {
    throw std::system_error{-error, std::generic_category(), "fuse_session_custom_io"};
  }
  read_ = [this, fd, read = io.read](void* buffer, std::size_t size) {
    return read(fd, buffer, size, driver_.get());
  };
}

void Session::forget(const CacheNotice& notice) noexcept {
  int error = 0;
  switch (notice.what) {
    case CacheNotice::What::entry:
      error = fuse_lowlevel_notify_inval_entry(session_.get(), notice.node, notice.name.data(),
                                               notice.name.size());
      break;
    case CacheNotice::What::attributes:  // an offset below 0 leaves the content alone
      error = fuse_lowlevel_notify_inval_inode(session_.get(), notice.node, -1, 0);
      break;
    case CacheNotice::What::content:  // a length of 0 is all of it
      error = fuse_lowlevel_notify_inval_inode(session_.get(), notice.node, 0, 0);
      break;
    case CacheNotice::What::told:  // else everybody counts as one who was there before
      if (!untold_) driver_->file_system.kernel_was_told(notice.node);
      untold_ = false;
      break;
  }
  if (error != 0 && error != -ENOENT) untold_ = true;
}

BlobAccess Session::blob_access() const {
  return driver_->passthrough.access();
}

void Session::run(unsigned threads) {
  const auto read_from_mount = [fd = fuse_session_fd(session_.get())](void* buffer,
                                                                      std::size_t size) {
    return ::read(fd, buffer, size);
  };
  loop_.run(session_.get(), read_ ? read_ : read_from_mount, threads);
}

std::string version_of_libfuse() {
  return fuse_pkgversion();
}

void set_libfuse_log(void (*sink)(bool error, const std::string& line)) {
  libfuse_sink = sink;
  fuse_set_log_func(pass_on_log);
}

}  // namespace ollamafs
