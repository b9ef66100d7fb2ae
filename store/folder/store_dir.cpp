#include "store/folder/store_dir.h"

#include <fcntl.h>
#include <linux/openat2.h>
#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <utility>

namespace ollamafs {
namespace {

namespace fs = std::filesystem;

std::error_code last_error() noexcept {
  return {errno, std::generic_category()};
}

// A rename that races with ".." in a link asks for another try with EAGAIN (openat2(2)); a few are
// enough.
int open_beneath(const FileCalls& calls, int directory, const char* relative, int flags) noexcept {
  for (int tries = 0;; ++tries) {
    const int fd =
        calls.openat2(directory, relative, flags, RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS);
    if (fd >= 0 || errno != EAGAIN || tries == 16) return fd;
  }
}

}  // namespace

StoreDir::StoreDir(const fs::path& path, OutsideLinks outside, const std::vector<fs::path>& follow,
                   const FileCalls& calls)
    : calls_{&calls}, given_{fs::absolute(path)}, outside_{outside} {
  std::error_code ec;
  current_->root = open_root(given_, ec);
  if (ec) throw std::system_error{ec, path.string()};
  path_ = current_->root->path;
  for (const fs::path& directory : follow) follow_.push_back(fs::canonical(directory));
}

std::shared_ptr<const StoreDir::Root> StoreDir::open_root(const fs::path& path,
                                                          std::error_code& ec) const {
  ec.clear();
  UniqueFd fd{calls_->openat(AT_FDCWD, path.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC)};
  if (!fd) {
    ec = last_error();
    return nullptr;
  }
  fs::path real = path_of_fd(fd.get());
  // By another process's root: the kernel names a place there as that process sees it.
  if (is_beneath(path, "/proc")) real = path;
  if (real.empty()) {  // without it nothing could be judged to lie in the store
    throw std::system_error{ENOENT, std::generic_category(), "/proc/self/fd"};
  }
  return std::make_shared<const Root>(Root{std::move(real), std::move(fd)});
}

void StoreDir::reopen(std::error_code& ec) {
  auto root = open_root(given_, ec);
  if (ec) return;
  const std::scoped_lock lock{current_->mutex};
  current_->root.swap(root);  // the old one goes behind the lock
}

std::shared_ptr<const StoreDir::Root> StoreDir::root() const noexcept {
  const std::scoped_lock lock{current_->mutex};
  return current_->root;
}

std::shared_ptr<const UniqueFd> StoreDir::folder() const {
  auto root = this->root();
  const UniqueFd* const fd = &root->fd;
  return {std::move(root), fd};
}

StoreDir::Opened StoreDir::resolve(const std::string& relative,
                                   std::error_code& ec) const noexcept {
  return open_path(relative, O_PATH | O_CLOEXEC, ec);
}

StoreDir::Opened StoreDir::resolve_entry(const std::string& relative,
                                         std::error_code& ec) const noexcept {
  return open_path(relative, O_PATH | O_NOFOLLOW | O_CLOEXEC, ec);
}

StoreDir::Opened StoreDir::open_path(const std::string& relative, int flags,
                                     std::error_code& ec) const noexcept {
  ec.clear();
  const auto root = this->root();
  UniqueFd fd{open_beneath(*calls_, root->fd.get(), relative.c_str(), flags)};
  if (fd) return {std::move(fd)};
  // EXDEV: a link leaves the folder or is absolute. ENOSYS, EPERM: a sandbox without openat2.
  if (errno == EXDEV || errno == ENOSYS || errno == EPERM) {
    return open_path_outside(*root, relative, flags, ec);
  }
  ec = last_error();
  return {};
}

// Resolves without confinement and then judges the place that was reached, by the descriptor: what
// was judged is what is read.
StoreDir::Opened StoreDir::open_path_outside(const Root& root, const std::string& relative,
                                             int flags, std::error_code& ec) const noexcept try {
  // A magic link of /proc may lead into another mount namespace, where the same path is another
  // place.
  UniqueFd fd{calls_->openat2(root.fd.get(), relative.c_str(), flags, RESOLVE_NO_MAGICLINKS)};
  if (!fd && (errno == ENOSYS || errno == EPERM))
    fd = UniqueFd{calls_->openat(root.fd.get(), relative.c_str(), flags)};
  if (!fd) {
    ec = last_error();
    return {};
  }
  const fs::path target = path_of_fd(fd.get());
  if (!target.empty() && (is_beneath(target, root.path) || may_follow(target)))
    return {std::move(fd)};
  if (outside_ == OutsideLinks::refuse) {
    ec = {EXDEV, std::generic_category()};
    return {};
  }
  return {std::move(fd), true};
} catch (const std::bad_alloc&) {
  ec = std::make_error_code(std::errc::not_enough_memory);
  return {};
}

bool StoreDir::may_follow(const fs::path& target) const noexcept {
  return std::ranges::any_of(follow_, [&](const fs::path& dir) { return is_beneath(target, dir); });
}

StoreDir::Opened StoreDir::open_file(const std::string& relative,
                                     std::error_code& ec) const noexcept {
  const Opened path = resolve(relative, ec);
  if (!path.fd) return {};
  struct stat st {};
  if (calls_->fstat(path.fd.get(), st) != 0) {
    ec = last_error();
    return {};
  }
  if (!S_ISREG(st.st_mode)) {
    ec = std::make_error_code(std::errc::invalid_argument);
    return {};
  }
  return {reopen_for_reading(path.fd.get(), O_NONBLOCK | O_NOCTTY, ec), path.outside};
}

StoreDir::Opened StoreDir::open_directory(const std::string& relative,
                                          std::error_code& ec) const noexcept {
  const Opened path = resolve(relative, ec);
  if (!path.fd) return {};
  return {reopen_for_reading(path.fd.get(), O_DIRECTORY, ec), path.outside};
}

// Of the very file that the O_PATH descriptor stands for.
UniqueFd StoreDir::reopen_for_reading(int path_fd, int flags, std::error_code& ec) const noexcept {
  ec.clear();
  char proc[32];
  std::snprintf(proc, sizeof proc, "/proc/self/fd/%d", path_fd);
  UniqueFd fd{calls_->openat(AT_FDCWD, proc, O_RDONLY | O_CLOEXEC | flags)};
  if (!fd) ec = last_error();
  return fd;
}

fs::path path_of_fd(int fd) {
  std::error_code ec;
  fs::path path = fs::read_symlink("/proc/self/fd/" + std::to_string(fd), ec);
  return ec ? fs::path{} : path;
}

bool is_beneath(const fs::path& path, const fs::path& directory) {
  if (directory.empty()) return false;
  const auto [dir_end, path_at] =
      std::mismatch(directory.begin(), directory.end(), path.begin(), path.end());
  return dir_end == directory.end();
}

}  // namespace ollamafs
