#include "store/transfer/part_file.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <linux/fs.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <system_error>

#include "store/base/text.h"
#include "store/transfer/byte_sink.h"
#include "store/transfer/room.h"
#include "store/transfer/transfer_error.h"

namespace ollamafs {

namespace fs = std::filesystem;

namespace {

UniqueFd open_folder_of(const fs::path& path, const WriteCalls& calls) {
  const fs::path folder = path.has_parent_path() ? path.parent_path() : fs::path{"."};
  UniqueFd fd{calls.openat(AT_FDCWD, folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC, 0)};
  if (!fd) throw_write_failure(printable(folder.native()), errno);
  return fd;
}

}  // namespace

PartFile::PartFile(const fs::path& path, const fs::path& part, bool replace,
                   const WriteCalls& calls)
    : shown_{printable(path.native())},
      shown_part_{printable(part.native())},
      name_{path.filename().native()},
      part_{part.filename().native()},
      replace_{replace},
      calls_{calls},
      folder_{open_folder_of(path, calls)},
      part_folder_{open_folder_of(part, calls)} {
  if (!replace_ && exists(name_)) refuse_existing();
  open_part();
  fate_ = Fate::removed;
}

PartFile::~PartFile() {
  if (fate_ != Fate::removed) return;
  [[maybe_unused]] const int status = calls_.unlinkat(part_folder_.get(), part_.c_str(), 0);
}

bool PartFile::exists(const std::string& name) const {
  return ::faccessat(folder_.get(), name.c_str(), F_OK, AT_SYMLINK_NOFOLLOW) == 0;
}

void PartFile::refuse_existing() const {
  throw TransferError{TransferError::Kind::refused,
                      fmt::format("{} is there already\nname another with -o, or give --force to "
                                  "have it replaced",
                                  shown_)};
}

void PartFile::refuse_foreign() {
  keep();
  throw TransferError{TransferError::Kind::refused,
                      fmt::format("{} is there already, and is no beginning of {} that could be "
                                  "gone on with\nremove it, name another file with -o, or give "
                                  "--force to have it replaced",
                                  shown_part_, shown_)};
}

void PartFile::open_part() {
  fd_ = UniqueFd{calls_.openat(part_folder_.get(), part_.c_str(),
                               O_RDWR | O_CREAT | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC, 0666)};
  if (!fd_) throw_write_failure(shown_part_, errno);
  struct stat st {
  }, named{};
  if (::fstat(fd_.get(), &st) != 0) throw_write_failure(shown_part_, errno);
  if (!S_ISREG(st.st_mode))
    throw TransferError{TransferError::Kind::refused,
                        fmt::format("{} is no regular file; remove it", shown_part_)};
  // Who had the lock before may have given the file its name meanwhile.
  if ((::flock(fd_.get(), LOCK_EX | LOCK_NB) != 0 && errno == EWOULDBLOCK) ||
      ::fstatat(part_folder_.get(), part_.c_str(), &named, AT_SYMLINK_NOFOLLOW) != 0 ||
      named.st_ino != st.st_ino || named.st_dev != st.st_dev) {
    throw TransferError{TransferError::Kind::refused,
                        fmt::format("{} is being written by another export", shown_part_)};
  }
}

std::uint64_t PartFile::size() const {
  struct stat st {};
  if (::fstat(fd_.get(), &st) != 0) throw_write_failure(shown_part_, errno);
  return static_cast<std::uint64_t>(st.st_size);
}

void PartFile::continue_at(std::uint64_t size) {
  const auto offset = static_cast<off_t>(size);
  if (::ftruncate(fd_.get(), offset) != 0 || ::lseek(fd_.get(), offset, SEEK_SET) != offset)
    throw_write_failure(shown_part_, errno);
}

void PartFile::require_room(std::uint64_t bytes, std::uint64_t size) const {
  ollamafs::require_room(fd_.get(), {shown_, name_}, bytes, size, calls_);
}

void PartFile::commit() {
  if (calls_.fsync(fd_.get()) != 0) throw_write_failure(shown_part_, errno);
  const auto rename = [&](unsigned flags) {
    return calls_.renameat2(part_folder_.get(), part_.c_str(), folder_.get(), name_.c_str(), flags);
  };
  int status = rename(replace_ ? 0 : RENAME_NOREPLACE);
  // Not every file system can do that in one step.
  if (status != 0 && !replace_ && (errno == EINVAL || errno == ENOSYS)) {
    if (exists(name_)) refuse_existing();
    status = rename(0);
  }
  if (status != 0 && errno == EEXIST) refuse_existing();
  if (status != 0) throw_write_failure(shown_, errno);
  fate_ = Fate::named;
  // The name as well. Not every file system has that for folders.
  if (calls_.fsync(folder_.get()) != 0 && errno != EINVAL && errno != ENOTSUP)
    throw_write_failure(shown_, errno);
}

}  // namespace ollamafs
