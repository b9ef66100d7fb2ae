#include "tests/mounted/writing_calls.h"

#include <fcntl.h>
#include <linux/fs.h>
#include <sys/ioctl.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/time.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <sys/xattr.h>
#include <unistd.h>
#include <utime.h>

#include <cerrno>
#include <cstdio>
#include <cstring>

#include "store/base/unique_fd.h"

namespace ollamafs::test {
namespace {

template <int flags>
int opened(const Target& at) {
  const UniqueFd fd{::open(at.path.c_str(), flags | O_CLOEXEC, 0666)};
  return fd.get();
}

template <mode_t mode>
int made(const Target& at) {
  return ::mknod(at.path.c_str(), mode | 0666, makedev(1, 3));
}

// Long paths do not fit the address of a socket; one through a descriptor of its directory does.
int bound(const Target& at) {
  const auto slash = at.path.rfind('/');
  const UniqueFd parent{::open(at.path.substr(0, slash).c_str(), O_PATH | O_CLOEXEC)};
  const UniqueFd listener{::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0)};
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  const std::string place = "/proc/self/fd/" + std::to_string(parent.get()) + at.path.substr(slash);
  if (place.size() >= sizeof address.sun_path) return 0;
  std::memcpy(address.sun_path, place.c_str(), place.size());
  return ::bind(listener.get(), reinterpret_cast<sockaddr*>(&address), sizeof address);
}

template <unsigned flags>
int renamed(const Target& at) {
  return ::renameat2(AT_FDCWD, at.path.c_str(), AT_FDCWD, at.absent.c_str(), flags);
}

template <const char* const& name>
int attribute_set(const Target& at) {
  return ::setxattr(at.path.c_str(), name, "x", 1, 0);
}
constexpr const char* kOurs = "user.ollamafs.digest";
constexpr const char* kUsers = "user.mine";
constexpr const char* kTrusted = "trusted.mine";
constexpr const char* kSecurity = "security.mine";
constexpr const char* kCapability = "security.capability";

constexpr timespec kTimes[] = {{1, 0}, {2, 0}};
constexpr timespec kOmitted[] = {{0, UTIME_OMIT}, {0, UTIME_OMIT}};

constexpr WritingCall kByPath[] = {
    {"open O_WRONLY", opened<O_WRONLY>, EROFS, EISDIR, ENOENT},
    {"open O_RDWR", opened<O_RDWR>, EROFS, EISDIR, ENOENT},
    {"open O_WRONLY|O_APPEND", opened<O_WRONLY | O_APPEND>, EROFS, EISDIR, ENOENT},
    {"open O_WRONLY|O_TRUNC", opened<O_WRONLY | O_TRUNC>, EROFS, EISDIR, ENOENT},
    {"open O_RDONLY|O_TRUNC", opened<O_RDONLY | O_TRUNC>, EROFS, EISDIR, ENOENT},
    {"open O_RDWR|O_DIRECT", opened<O_RDWR | O_DIRECT>, EROFS, EISDIR, ENOENT},
    {"open O_RDWR|O_SYNC", opened<O_RDWR | O_SYNC>, EROFS, EISDIR, ENOENT},
    {"open O_RDWR|O_NOFOLLOW", opened<O_RDWR | O_NOFOLLOW>, EROFS, EISDIR, ENOENT},
    {"open O_WRONLY|O_CREAT", opened<O_WRONLY | O_CREAT>, EROFS, EISDIR, EROFS},
    {"open O_RDONLY|O_CREAT", opened<O_RDONLY | O_CREAT>, 0, EISDIR, EROFS},
    {"open O_RDWR|O_CREAT|O_EXCL", opened<O_RDWR | O_CREAT | O_EXCL>, EEXIST, EEXIST, EROFS},
    {"open O_RDWR|O_TMPFILE", opened<O_RDWR | O_TMPFILE>, ENOTDIR, EROFS, ENOENT},
    {"creat", [](const Target& at) { return UniqueFd{::creat(at.path.c_str(), 0666)}.get(); },
     EROFS, EISDIR, EROFS},
    {"mkdir", [](const Target& at) { return ::mkdir(at.path.c_str(), 0777); }, EEXIST, EEXIST,
     EROFS},
    {"mkdir below", [](const Target& at) { return ::mkdir((at.path + "/new").c_str(), 0777); },
     ENOTDIR, EROFS, ENOENT},
    {"mknod of a file", made<S_IFREG>, EEXIST, EEXIST, EROFS},
    {"mknod of a FIFO", made<S_IFIFO>, EEXIST, EEXIST, EROFS},
    {"mknod of a socket", made<S_IFSOCK>, EEXIST, EEXIST, EROFS},
    {"mknod of a device", made<S_IFCHR>, EEXIST, EEXIST, EROFS},
    {"bind", bound, EADDRINUSE, EADDRINUSE, EROFS},
    {"symlink", [](const Target& at) { return ::symlink("/", at.path.c_str()); }, EEXIST, EEXIST,
     EROFS},
    {"link from it", [](const Target& at) { return ::link(at.path.c_str(), at.absent.c_str()); },
     EROFS, EROFS, ENOENT},
    {"link to it", [](const Target& at) { return ::link(at.other.c_str(), at.path.c_str()); },
     EEXIST, EEXIST, EROFS},
    {"link out", [](const Target& at) { return ::link(at.path.c_str(), at.nowhere.c_str()); },
     EXDEV, EXDEV, ENOENT},
    {"link in", [](const Target& at) { return ::link(at.outside.c_str(), at.path.c_str()); },
     EEXIST, EEXIST, EROFS},
    {"unlink", [](const Target& at) { return ::unlink(at.path.c_str()); }, EROFS, EROFS, EROFS},
    {"rmdir", [](const Target& at) { return ::rmdir(at.path.c_str()); }, EROFS, EROFS, EROFS},
    {"remove", [](const Target& at) { return std::remove(at.path.c_str()); }, EROFS, EROFS, EROFS},
    {"rename", [](const Target& at) { return ::rename(at.path.c_str(), at.absent.c_str()); }, EROFS,
     EROFS, EROFS},
    {"rename onto another",
     [](const Target& at) { return ::rename(at.path.c_str(), at.other.c_str()); }, EROFS, EROFS,
     EROFS},
    {"rename of another onto it",
     [](const Target& at) { return ::rename(at.other.c_str(), at.path.c_str()); }, EROFS, EROFS,
     EROFS},
    {"rename out", [](const Target& at) { return ::rename(at.path.c_str(), at.nowhere.c_str()); },
     EXDEV, EXDEV, EXDEV},
    {"rename in", [](const Target& at) { return ::rename(at.outside.c_str(), at.path.c_str()); },
     EXDEV, EXDEV, EXDEV},
    {"renameat2 RENAME_NOREPLACE", renamed<RENAME_NOREPLACE>, EROFS, EROFS, EROFS},
    {"renameat2 RENAME_EXCHANGE", renamed<RENAME_EXCHANGE>, EROFS, EROFS, EROFS},
    {"renameat2 RENAME_WHITEOUT", renamed<RENAME_WHITEOUT>, EROFS, EROFS, EROFS},
    {"truncate to nothing", [](const Target& at) { return ::truncate(at.path.c_str(), 0); }, EROFS,
     EISDIR, ENOENT},
    {"truncate to more",
     [](const Target& at) { return ::truncate(at.path.c_str(), off_t{1} << 40); }, EROFS, EISDIR,
     ENOENT},
    {"chmod", [](const Target& at) { return ::chmod(at.path.c_str(), 0777); }, EROFS, EROFS,
     ENOENT},
    {"chmod to what it is", [](const Target& at) { return ::chmod(at.path.c_str(), 0644); }, EROFS,
     EROFS, ENOENT},
    {"chown", [](const Target& at) { return ::chown(at.path.c_str(), 1, 1); }, EROFS, EROFS,
     ENOENT},
    {"lchown", [](const Target& at) { return ::lchown(at.path.c_str(), 1, 1); }, EROFS, EROFS,
     ENOENT},
    {"utimensat to now",
     [](const Target& at) { return ::utimensat(AT_FDCWD, at.path.c_str(), nullptr, 0); }, EROFS,
     EROFS, ENOENT},
    {"utimensat",
     [](const Target& at) {
       return ::utimensat(AT_FDCWD, at.path.c_str(), kTimes, AT_SYMLINK_NOFOLLOW);
     },
     EROFS, EROFS, ENOENT},
    // Nothing is asked for.
    {"utimensat of UTIME_OMIT",
     [](const Target& at) { return ::utimensat(AT_FDCWD, at.path.c_str(), kOmitted, 0); }, 0, 0, 0},
    {"utime", [](const Target& at) { return ::utime(at.path.c_str(), nullptr); }, EROFS, EROFS,
     ENOENT},
    {"utimes", [](const Target& at) { return ::utimes(at.path.c_str(), nullptr); }, EROFS, EROFS,
     ENOENT},
    {"setxattr of ours", attribute_set<kOurs>, EROFS, EROFS, ENOENT},
    {"setxattr user.", attribute_set<kUsers>, EROFS, EROFS, ENOENT},
    {"setxattr trusted.", attribute_set<kTrusted>, EROFS, EROFS, ENOENT},
    {"setxattr security.", attribute_set<kSecurity>, EROFS, EROFS, ENOENT},
    {"setxattr of capabilities", attribute_set<kCapability>, EROFS, EROFS, ENOENT},
    {"lsetxattr",
     [](const Target& at) { return ::lsetxattr(at.path.c_str(), kUsers, "x", 1, XATTR_CREATE); },
     EROFS, EROFS, ENOENT},
    {"removexattr of ours", [](const Target& at) { return ::removexattr(at.path.c_str(), kOurs); },
     EROFS, EROFS, ENOENT},
    {"removexattr", [](const Target& at) { return ::removexattr(at.path.c_str(), kUsers); }, EROFS,
     EROFS, ENOENT},
    {"lremovexattr", [](const Target& at) { return ::lremovexattr(at.path.c_str(), kUsers); },
     EROFS, EROFS, ENOENT},
    {"access W_OK", [](const Target& at) { return ::access(at.path.c_str(), W_OK); }, EROFS, EROFS,
     ENOENT},
    {"faccessat R_OK|W_OK AT_EACCESS",
     [](const Target& at) {
       return ::faccessat(AT_FDCWD, at.path.c_str(), R_OK | W_OK, AT_EACCESS);
     },
     EROFS, EROFS, ENOENT},
};

template <class Call>
int on(const Target& at, Call&& call) {
  const UniqueFd fd{::open(at.path.c_str(), O_RDONLY | O_CLOEXEC)};
  return fd ? static_cast<int>(call(fd.get())) : -1;
}

template <int mode>
int allocated(const Target& at) {
  return on(at, [](int fd) { return ::fallocate(fd, mode, 0, 4096); });
}

// From a file of another file system into this.
template <class Call>
int from_outside(const Target& at, Call&& call) {
  const UniqueFd in{::open(at.outside.c_str(), O_RDONLY | O_CLOEXEC)};
  return on(at, [&](int fd) { return call(in.get(), fd); });
}

int spliced(const Target& at) {
  int ends[2];
  if (::pipe2(ends, O_CLOEXEC) != 0) return -1;
  const UniqueFd reading{ends[0]}, writing{ends[1]};
  if (::write(writing.get(), "x", 1) != 1) return -1;
  return on(at, [&](int fd) { return ::splice(reading.get(), nullptr, fd, nullptr, 1, 0); });
}

char byte = 'x';
const iovec kVector{&byte, 1};

constexpr WritingCall kByDescriptor[] = {
    {"write", [](const Target& at) { return on(at, [](int fd) { return ::write(fd, "x", 1); }); },
     EBADF, EBADF, 0},
    {"pwrite",
     [](const Target& at) { return on(at, [](int fd) { return ::pwrite(fd, "x", 1, 0); }); }, EBADF,
     EBADF, 0},
    {"pwritev2",
     [](const Target& at) {
       return on(at, [](int fd) { return ::pwritev2(fd, &kVector, 1, 0, RWF_APPEND); });
     },
     EBADF, EBADF, 0},
    {"ftruncate",
     [](const Target& at) { return on(at, [](int fd) { return ::ftruncate(fd, 0); }); }, EINVAL,
     EINVAL, 0},
    {"fallocate", allocated<0>, EBADF, EBADF, 0},
    {"fallocate FALLOC_FL_PUNCH_HOLE", allocated<FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE>, EBADF,
     EBADF, 0},
    {"fallocate FALLOC_FL_ZERO_RANGE", allocated<FALLOC_FL_ZERO_RANGE>, EBADF, EBADF, 0},
    {"copy_file_range into it",
     [](const Target& at) {
       return from_outside(
           at, [](int in, int out) { return ::copy_file_range(in, nullptr, out, nullptr, 1, 0); });
     },
     EBADF, EISDIR, 0},
    {"sendfile into it",
     [](const Target& at) {
       return from_outside(at, [](int in, int out) { return ::sendfile(out, in, nullptr, 1); });
     },
     EBADF, EBADF, 0},
    {"splice into it", spliced, EBADF, EBADF, 0},
    {"ioctl FICLONE",
     [](const Target& at) {
       return from_outside(at, [](int in, int out) { return ::ioctl(out, FICLONE, in); });
     },
     EXDEV, EXDEV, 0},
    {"fchmod", [](const Target& at) { return on(at, [](int fd) { return ::fchmod(fd, 0777); }); },
     EROFS, EROFS, 0},
    {"fchown", [](const Target& at) { return on(at, [](int fd) { return ::fchown(fd, 1, 1); }); },
     EROFS, EROFS, 0},
    {"futimens",
     [](const Target& at) { return on(at, [](int fd) { return ::futimens(fd, kTimes); }); }, EROFS,
     EROFS, 0},
    {"fsetxattr",
     [](const Target& at) {
       return on(at, [](int fd) { return ::fsetxattr(fd, kUsers, "x", 1, 0); });
     },
     EROFS, EROFS, 0},
    {"fremovexattr",
     [](const Target& at) { return on(at, [](int fd) { return ::fremovexattr(fd, kOurs); }); },
     EROFS, EROFS, 0},
    {"opened again for writing",
     [](const Target& at) {
       return on(at, [](int fd) {
         const std::string again = "/proc/self/fd/" + std::to_string(fd);
         return UniqueFd{::open(again.c_str(), O_RDWR | O_CLOEXEC)}.get();
       });
     },
     EROFS, EISDIR, 0},
};

}  // namespace

std::span<const WritingCall> calls_by_path() {
  return kByPath;
}

std::span<const WritingCall> calls_by_descriptor() {
  return kByDescriptor;
}

}  // namespace ollamafs::test
