#include "store/transfer/new_file.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <cerrno>
#include <cstdio>
#include <system_error>

#include "store/base/dir_stream.h"

namespace ollamafs {
namespace {

[[noreturn]] void throw_errno(const std::string& about) {
  throw std::system_error{errno, std::generic_category(), about};
}

// No two files of this process get the same, and those of others are seen to exist.
std::string temporary_name(std::string_view prefix) {
  static std::atomic<unsigned> count = 0;
  return fmt::format("{}{}-{}", prefix, ::getpid(), count++);
}

// File systems without O_TMPFILE say so in several ways.
bool lacks_unnamed_files(int error) noexcept {
  return error == EOPNOTSUPP || error == EISDIR || error == EINVAL || error == ENOSYS;
}

// So much is on its way to the disk while the rest is being written: else all of it would be waited
// for at the end.
constexpr std::uint64_t kWriteBehind = 8u << 20;

}  // namespace

NewFile::NewFile(const WriteCalls& calls, int directory, int temporary, const Ownership& owner)
    : calls_{calls}, directory_{directory}, temporary_directory_{temporary} {
  if (!open_unnamed(directory)) open_named(temporary);
  try {
    give_owner(owner);
  } catch (...) {
    remove_temporary();
    throw;
  }
}

NewFile::~NewFile() {
  remove_temporary();
}

bool NewFile::open_unnamed(int directory) {
  fd_ = UniqueFd{calls_.openat(directory, ".", O_TMPFILE | O_RDWR | O_CLOEXEC, 0644)};
  if (fd_) return lock();
  if (!lacks_unnamed_files(errno)) throw_errno("a new file");
  return false;
}

void NewFile::open_named(int directory) {
  constexpr int most = 100;
  for (int i = 0; i < most; ++i) {
    const std::string name = temporary_name(kTemporaryPrefix);
    fd_ = UniqueFd{calls_.openat(directory, name.c_str(),
                                 O_CREAT | O_EXCL | O_NOFOLLOW | O_RDWR | O_CLOEXEC, 0644)};
    if (!fd_ && errno == EEXIST) continue;
    if (!fd_) throw_errno("a new file");
    // Another import may have taken it for one that was left behind before it was locked.
    struct stat st {};
    if (lock() && ::fstat(fd_.get(), &st) == 0 && st.st_nlink > 0) {
      temporary_ = Place{directory, name};
      return;
    }
  }
  errno = EEXIST;
  throw_errno("a new file");
}

// File systems that know no locks have no other import that asks for them either.
bool NewFile::lock() const noexcept {
  return ::flock(fd_.get(), LOCK_EX | LOCK_NB) == 0 || errno != EWOULDBLOCK;
}

void NewFile::give_owner(const Ownership& owner) {
  if (!owner.take_over) return;
  struct stat st {};
  if (::fstat(fd_.get(), &st) != 0) throw_errno("a new file");
  if ((st.st_uid != owner.uid || st.st_gid != owner.gid) &&
      calls_.fchown(fd_.get(), owner.uid, owner.gid) != 0) {
    throw_errno("the owner of a new file");
  }
  if ((st.st_mode & 07777) != owner.file() && calls_.fchmod(fd_.get(), owner.file()) != 0) {
    throw_errno("the mode of a new file");
  }
}

void NewFile::write(std::string_view bytes) {
  while (!bytes.empty()) {
    const ssize_t n = calls_.write(fd_.get(), bytes.data(), bytes.size());
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) throw_errno("writing");
    if (n == 0) {
      errno = EIO;
      throw_errno("writing");
    }
    bytes.remove_prefix(static_cast<std::size_t>(n));
    const std::uint64_t before = written_ / kWriteBehind;
    written_ += static_cast<std::uint64_t>(n);
    if (written_ / kWriteBehind != before) {
      ::sync_file_range(fd_.get(), static_cast<off_t>(before * kWriteBehind), kWriteBehind,
                        SYNC_FILE_RANGE_WRITE);
    }
  }
}

void NewFile::sync(const std::string& about) {
  while (calls_.fdatasync(fd_.get()) != 0) {
    if (errno != EINTR) throw_errno(about);
  }
}

bool NewFile::commit(const std::string& name, bool replace) {
  sync(name);
  if (temporary_) return rename_temporary(name, replace);
  std::array<char, 32> proc{};
  std::snprintf(proc.data(), proc.size(), "/proc/self/fd/%d", fd_.get());
  if (calls_.linkat(AT_FDCWD, proc.data(), directory_, name.c_str(), AT_SYMLINK_FOLLOW) == 0) {
    return true;
  }
  if (errno != EEXIST) throw_errno(name);
  if (!replace) return false;
  temporary_ = link_temporary(temporary_directory_, kTemporaryPrefix);
  // `blobs` may be on another disk. Ollama passes over a name such as this in the trees of
  // manifests (docs/store-format.md §5).
  if (!temporary_) temporary_ = link_temporary(directory_, ".manifest-ollamafs-");
  if (!temporary_) throw_errno(name);
  return rename_temporary(name, true);
}

// Nothing if that directory is on another file system.
std::optional<NewFile::Place> NewFile::link_temporary(int directory, std::string_view prefix) {
  std::array<char, 32> proc{};
  std::snprintf(proc.data(), proc.size(), "/proc/self/fd/%d", fd_.get());
  for (;;) {
    const std::string temporary = temporary_name(prefix);
    if (calls_.linkat(AT_FDCWD, proc.data(), directory, temporary.c_str(), AT_SYMLINK_FOLLOW) ==
        0) {
      return Place{directory, temporary};
    }
    if (errno == EXDEV) return std::nullopt;
    if (errno != EEXIST) throw_errno(temporary);
  }
}

bool NewFile::rename_temporary(const std::string& name, bool replace) {
  constexpr unsigned keep = RENAME_NOREPLACE;
  int status = calls_.renameat2(temporary_->directory, temporary_->name.c_str(), directory_,
                                name.c_str(), replace ? 0 : keep);
  if (status != 0 && !replace && errno == EINVAL) {  // a file system without this flag
    struct stat st {};
    if (::fstatat(directory_, name.c_str(), &st, AT_SYMLINK_NOFOLLOW) == 0) return false;
    status = calls_.renameat2(temporary_->directory, temporary_->name.c_str(), directory_,
                              name.c_str(), 0);
  }
  if (status == 0) {
    temporary_.reset();
    return true;
  }
  if (!replace && errno == EEXIST) return false;
  throw_errno(name);
}

void NewFile::remove_temporary() noexcept {
  if (!temporary_) return;
  // A second try, for a file that a full disk would otherwise keep.
  for (int tries = 0; tries < 2; ++tries) {
    if (calls_.unlinkat(temporary_->directory, temporary_->name.c_str(), 0) == 0) break;
  }
  temporary_.reset();
}

void remove_left_behind(const WriteCalls& calls, int directory) noexcept {
  UniqueFd copy{::openat(directory, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC)};
  if (!copy) return;
  const DirStream dir{::fdopendir(copy.get())};
  if (!dir) return;
  (void)copy.release();
  while (const dirent* entry = ::readdir(dir.get())) {
    if (!std::string_view{entry->d_name}.starts_with(kTemporaryPrefix)) continue;
    const UniqueFd file{
        ::openat(directory, entry->d_name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC)};
    if (file && ::flock(file.get(), LOCK_EX | LOCK_NB) == 0) {
      (void)calls.unlinkat(directory, entry->d_name, 0);
    }
  }
}

}  // namespace ollamafs
