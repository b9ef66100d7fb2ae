#pragma once

#include <filesystem>
#include <memory>
#include <mutex>
#include <string>
#include <system_error>
#include <vector>

#include "store/base/file_calls.h"
#include "store/base/unique_fd.h"

namespace ollamafs {

// What to do with a symlink in the store that leads to a place outside of it.
enum class OutsideLinks {
  refuse,  // right for whoever reads on behalf of others: root, or a mount that others may enter
  follow,  // right for users who read what they could read anyway
};

// What a models folder holds: at least one of these.
inline constexpr const char* kStoreFolders[] = {"manifests", "manifests-v2", "blobs"};

// A models folder (what OLLAMA_MODELS names), open, and the only way in which anything below it is
// reached. Nothing is believed because of its name (docs/view.md §4): a path is resolved beneath
// the folder's own descriptor, and a symlink that leaves the folder is followed only into the
// directories that were named for it, or where OutsideLinks says so.
//
// The path decides which folder that is: reopen() follows it.
//
// Safe to use from several threads.
class StoreDir {
 public:
  // Opens `path`. `follow` names the directories outside of the store into which symlinks may lead.
  // `calls` must outlive this. Throws std::system_error that names the directory which cannot be
  // opened.
  StoreDir(const std::filesystem::path& path, OutsideLinks outside,
           const std::vector<std::filesystem::path>& follow = {},
           const FileCalls& calls = FileCalls::kernel());

  // With which all that it holds is to be read.
  [[nodiscard]] const FileCalls& calls() const noexcept { return *calls_; }

  // Opens what is at the path by now. `ec` is what the kernel says; then what was open stays so.
  void reopen(std::error_code& ec);

  // The real path of the folder when it was first opened: absolute, no symlinks.
  [[nodiscard]] const std::filesystem::path& path() const noexcept { return path_; }

  // The path that was given, absolute: the one that reopen() follows.
  [[nodiscard]] const std::filesystem::path& given_path() const noexcept { return given_; }

  // A descriptor of the folder itself, for fstat and fstatvfs.
  [[nodiscard]] std::shared_ptr<const UniqueFd> folder() const;

  // A descriptor, and whether a symlink led out of the store on the way to it.
  struct Opened {
    UniqueFd fd;
    bool outside = false;
  };

  // An O_PATH descriptor of what `relative` names once its symlinks are resolved. `ec` is EXDEV if
  // that lies outside and may not be followed, else what the kernel says; then there is no fd.
  [[nodiscard]] Opened resolve(const std::string& relative, std::error_code& ec) const noexcept;

  // As resolve, but if the last component is a symlink, that symlink itself.
  [[nodiscard]] Opened resolve_entry(const std::string& relative,
                                     std::error_code& ec) const noexcept;

  // Opens for reading what `relative` names, if that is a regular file (else `ec` is EINVAL). Never
  // blocks on a FIFO and never opens a device.
  [[nodiscard]] Opened open_file(const std::string& relative, std::error_code& ec) const noexcept;

  // Opens for listing what `relative` names, if that is a directory (else `ec` is ENOTDIR).
  [[nodiscard]] Opened open_directory(const std::string& relative,
                                      std::error_code& ec) const noexcept;

 private:
  struct Root {
    std::filesystem::path path;  // real
    UniqueFd fd;
  };
  struct Current {
    std::mutex mutex;
    std::shared_ptr<const Root> root;
  };

  [[nodiscard]] Opened open_path(const std::string& relative, int flags,
                                 std::error_code& ec) const noexcept;
  [[nodiscard]] Opened open_path_outside(const Root& root, const std::string& relative, int flags,
                                         std::error_code& ec) const noexcept;
  [[nodiscard]] bool may_follow(const std::filesystem::path& target) const noexcept;

  [[nodiscard]] UniqueFd reopen_for_reading(int path_fd, int flags,
                                            std::error_code& ec) const noexcept;
  [[nodiscard]] std::shared_ptr<const Root> open_root(const std::filesystem::path& path,
                                                      std::error_code& ec) const;
  [[nodiscard]] std::shared_ptr<const Root> root() const noexcept;

  const FileCalls* calls_;
  std::filesystem::path given_;
  std::filesystem::path path_;
  std::unique_ptr<Current> current_ = std::make_unique<Current>();
  OutsideLinks outside_;
  std::vector<std::filesystem::path> follow_;  // real paths
};

// The absolute path of an open descriptor's file, as the kernel gives it; empty if it gives none.
[[nodiscard]] std::filesystem::path path_of_fd(int fd);

// True if `path` is `directory` or lies below it. Both are absolute and without symlinks.
[[nodiscard]] bool is_beneath(const std::filesystem::path& path,
                              const std::filesystem::path& directory);

}  // namespace ollamafs
