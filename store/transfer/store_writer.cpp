#include "store/transfer/store_writer.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <linux/magic.h>
#include <linux/openat2.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <climits>
#include <ctime>
#include <limits>
#include <system_error>
#include <utility>

#include "store/base/file_calls.h"
#include "store/base/text.h"
#include "store/folder/store_dir.h"

namespace ollamafs {
namespace {

namespace fs = std::filesystem;

constexpr int kDirectory = O_RDONLY | O_DIRECTORY | O_CLOEXEC;

// A rename that races with ".." in a link asks for another try with EAGAIN (openat2(2)).
UniqueFd open_at(int directory, const std::string& path, int flags, std::uint64_t resolve) {
  for (int tries = 0;; ++tries) {
    UniqueFd fd{FileCalls::kernel().openat2(directory, path.c_str(), flags, resolve)};
    if (fd || errno != EAGAIN || tries == 16) return fd;
  }
}

}  // namespace

StoreWriter::StoreWriter(const fs::path& path, const WriteCalls& calls)
    : calls_{calls}, is_root_{::geteuid() == 0} {
  const fs::path absolute = fs::absolute(path).lexically_normal();
  path_ = absolute;
  folder_ = open_folder(absolute);
  path_ = path_of_fd(folder_.get());
  adopt_owner();
}

// What is there of the path is opened as the user has typed it; below that nothing but what is made
// here is entered.
UniqueFd StoreWriter::open_folder(const fs::path& path) {
  UniqueFd fd{::open(path.c_str(), kDirectory)};
  if (fd) return fd;
  const fs::path name = path.filename();
  if (errno != ENOENT || !path.has_parent_path() || path.parent_path() == path) fail(errno, "");
  if (name.empty()) return open_folder(path.parent_path());
  const Directory parent = std::make_shared<const UniqueFd>(open_folder(path.parent_path()));
  struct stat st {};
  if (::fstat(parent->get(), &st) != 0) fail(errno, "");
  owner_ = {is_root_, st.st_uid, st.st_gid, 0755};
  return make_directory(parent, name, "");
}

void StoreWriter::adopt_owner() {
  struct stat st {};
  int ignored = 0;
  const UniqueFd blobs = open_directory("blobs", ignored);
  if (::fstat(blobs ? blobs.get() : folder_.get(), &st) != 0) fail(errno, "");
  owner_ = {is_root_, st.st_uid, st.st_gid, st.st_mode & 07777};
}

std::vector<fs::path> StoreWriter::places_outside() const {
  std::vector<fs::path> places;
  for (const char* const name : {"blobs", "manifests", "manifests-v2"}) {
    int ignored = 0;
    const UniqueFd fd = follow_out(name, ignored);
    if (fd) places.push_back(path_of_fd(fd.get()));
  }
  return places;
}

// By the descriptor that is written to: a path might lead elsewhere by now.
std::unique_ptr<StoreDir> StoreWriter::reader() const {
  return std::make_unique<StoreDir>(fmt::format("/proc/self/fd/{}", folder_.get()),
                                    is_root_ ? OutsideLinks::refuse : OutsideLinks::follow,
                                    places_outside());
}

// ---- directories ----

StoreWriter::Directory StoreWriter::directory(const std::string& relative) {
  if (const auto known = directories_.find(relative); known != directories_.end()) {
    return known->second;
  }
  int error = 0;
  UniqueFd fd = open_directory(relative, error);
  if (!fd) {
    if (error != ENOENT) fail(error, relative);
    const std::size_t slash = relative.rfind('/');
    const Directory parent =
        slash == relative.npos
            ? std::make_shared<const UniqueFd>(::fcntl(folder_.get(), F_DUPFD_CLOEXEC, 0))
            : directory(relative.substr(0, slash));
    fd = make_directory(parent, relative.substr(slash == relative.npos ? 0 : slash + 1), relative);
  }
  return directories_[relative] = std::make_shared<const UniqueFd>(std::move(fd));
}

UniqueFd StoreWriter::open_directory(const std::string& relative, int& error) {
  UniqueFd fd =
      open_at(folder_.get(), relative, kDirectory, RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS);
  error = fd ? 0 : errno;
  if (error != EXDEV) return fd;
  const std::size_t slash = relative.find('/');
  const std::string top = relative.substr(0, slash);
  fd = follow_out(top, error);
  if (!fd || slash == relative.npos) return fd;
  fd = open_at(fd.get(), relative.substr(slash + 1), kDirectory,
               is_root_ ? RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS : RESOLVE_NO_MAGICLINKS);
  error = fd ? 0 : errno;
  return fd;
}

// Where the link `top` of the folder leads, if it is one and may be followed. For root it must be
// root's own, and no other link may lie on the way, which somebody could change.
UniqueFd StoreWriter::follow_out(const std::string& top, int& error) const {
  const UniqueFd link =
      open_at(folder_.get(), top, O_PATH | O_NOFOLLOW | O_CLOEXEC, RESOLVE_BENEATH);
  struct stat st {};
  if (!link || ::fstat(link.get(), &st) != 0) {
    error = errno;
    return {};
  }
  error = EXDEV;
  if (!S_ISLNK(st.st_mode)) return {};
  if (!is_root_) {
    UniqueFd fd = open_at(folder_.get(), top, kDirectory, RESOLVE_NO_MAGICLINKS);
    error = fd ? 0 : errno;
    return fd;
  }
  if (st.st_uid != 0) return {};
  std::array<char, PATH_MAX> target{};
  const ssize_t length = ::readlinkat(link.get(), "", target.data(), target.size());
  if (length < 0) return {};
  const std::string to{target.data(), static_cast<std::size_t>(length)};
  UniqueFd fd = open_at(folder_.get(), to, kDirectory, RESOLVE_NO_SYMLINKS);
  error = fd ? 0 : errno == ELOOP ? EXDEV : errno;
  return fd;
}

UniqueFd StoreWriter::make_directory(const Directory& parent, const std::string& name,
                                     const std::string& shown) {
  // Another import may make the same.
  if (calls_.mkdirat(parent->get(), name.c_str(), 0755) != 0 && errno != EEXIST) fail(errno, shown);
  UniqueFd fd = open_at(parent->get(), name, kDirectory, RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS);
  struct stat st {};
  if (!fd || ::fstat(fd.get(), &st) != 0) fail(errno, shown);
  // Only what is ours to give: somebody may have put another directory there.
  if (owner_.take_over && st.st_uid == 0) {
    if ((st.st_uid != owner_.uid || st.st_gid != owner_.gid) &&
        calls_.fchown(fd.get(), owner_.uid, owner_.gid) != 0) {
      fail(errno, shown);
    }
    if ((st.st_mode & 07777) != owner_.directory &&
        calls_.fchmod(fd.get(), owner_.directory) != 0) {
      fail(errno, shown);
    }
  }
  sync_directory(parent->get(), shown);
  return fd;
}

// Some file systems cannot sync a directory, and say EINVAL.
void StoreWriter::sync_directory(int fd, const std::string& shown) {
  while (calls_.fsync(fd) != 0) {
    if (errno == EINVAL) return;
    if (errno != EINTR) fail(errno, shown);
  }
}

// ---- files ----

void StoreWriter::remove_left_behind() {
  int ignored = 0;
  const UniqueFd blobs = open_directory("blobs", ignored);
  if (blobs) ollamafs::remove_left_behind(calls_, blobs.get());
}

std::unique_ptr<NewFile> StoreWriter::new_blob() try {
  const int blobs = directory("blobs")->get();
  return std::make_unique<NewFile>(calls_, blobs, blobs, owner_);
} catch (const std::system_error& error) {
  if (error.code().category() != std::generic_category()) throw;
  fail(error.code().value(), "blobs");
}

void StoreWriter::write(NewFile& file, const Digest& digest, std::string_view bytes) const try {
  file.write(bytes);
} catch (const std::system_error& error) {
  fail(error.code().value(), digest.blob_path());
}

void StoreWriter::commit_blob(NewFile& file, const Digest& digest) try {
  (void)file.commit(digest.blob_name(), true);
} catch (const std::system_error& error) {
  fail(error.code().value(), digest.blob_path());
}

void StoreWriter::sync_blobs() {
  sync_directory(directory("blobs")->get(), "blobs");
}

void StoreWriter::touch_blob(const Digest& digest) noexcept {
  int error = 0;
  const UniqueFd blobs = open_directory("blobs", error);
  if (!blobs) return;
  const UniqueFd fd = open_at(blobs.get(), digest.blob_name(), O_RDONLY | O_NONBLOCK | O_CLOEXEC,
                              RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS);
  const timespec now[2] = {{0, UTIME_NOW}, {0, UTIME_NOW}};
  if (fd) (void)calls_.futimens(fd.get(), now);
}

bool StoreWriter::put(const std::string& relative, std::string_view bytes, bool replace) {
  const std::size_t slash = relative.rfind('/');
  const std::string shown = relative.substr(0, slash);
  const Directory parent = directory(shown);
  const Directory blobs = directory("blobs");
  bool is_new = false;
  try {
    NewFile file{calls_, parent->get(), blobs->get(), owner_};
    file.write(bytes);
    is_new = file.commit(relative.substr(slash + 1), replace);
  } catch (const std::system_error& error) {
    fail(error.code().value(), relative);
  }
  sync_directory(parent->get(), shown);
  return is_new;
}

std::uint64_t StoreWriter::room() {
  struct statvfs st {};
  int ignored = 0;
  const UniqueFd blobs = open_directory("blobs", ignored);
  if (calls_.fstatvfs(blobs ? blobs.get() : folder_.get(), st) != 0) fail(errno, "");
  // Some file systems of a network do not know: then it is seen when it is written.
  if (st.f_blocks == 0) return std::numeric_limits<std::uint64_t>::max();
  return static_cast<std::uint64_t>(is_root_ ? st.f_bfree : st.f_bavail) * st.f_frsize;
}

bool StoreWriter::is_fat() {
  struct statfs kind {};
  int ignored = 0;
  const UniqueFd blobs = open_directory("blobs", ignored);
  if (calls_.fstatfs(blobs ? blobs.get() : folder_.get(), kind) != 0) return false;
  return kind.f_type == MSDOS_SUPER_MAGIC;
}

void StoreWriter::fail(int error, const std::string& relative) const {
  throw std::system_error{error, std::generic_category(),
                          printable((relative.empty() ? path_ : path_ / relative).string())};
}

}  // namespace ollamafs
