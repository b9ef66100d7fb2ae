#pragma once

#include <sys/stat.h>

#include <cstdint>

namespace ollamafs {

// What tells one state of one file from another: two equal identities are the same bytes, unless
// somebody sets the clock back or writes twice within one tick of it.
struct FileIdentity {
  std::uint64_t device = 0;
  std::uint64_t inode = 0;
  std::uint64_t size = 0;     // bytes
  std::int64_t mtime_ns = 0;  // nanoseconds since the epoch
  std::int64_t ctime_ns = 0;  // likewise; changes with every write, rename and link

  static FileIdentity of(const struct stat& st) noexcept {
    constexpr std::int64_t second = 1'000'000'000;
    return {st.st_dev, st.st_ino, static_cast<std::uint64_t>(st.st_size),
            st.st_mtim.tv_sec * second + st.st_mtim.tv_nsec,
            st.st_ctim.tv_sec * second + st.st_ctim.tv_nsec};
  }

  bool operator==(const FileIdentity&) const noexcept = default;
};

// Whether a file changes by this name only: it is no symlink, and has no other name.
inline bool is_alone(const struct stat& st) noexcept {
  return S_ISREG(st.st_mode) && st.st_nlink == 1;
}

// The same file with the same number of bytes. Times do not count: Ollama touches blobs that it
// uses again, and a hard link changes a time too.
inline bool same_file(const FileIdentity& a, const FileIdentity& b) noexcept {
  return a.device == b.device && a.inode == b.inode && a.size == b.size;
}

}  // namespace ollamafs
