#pragma once

#include <sys/types.h>

#include <optional>
#include <string>
#include <string_view>

#include "store/base/unique_fd.h"
#include "store/base/write_calls.h"
#include "store/blobs/blob.h"

namespace ollamafs {

// Owner and modes of what is made in a store.
struct Ownership {
  bool take_over = false;  // as root: give them; else the kernel's defaults are right
  uid_t uid = 0;
  gid_t gid = 0;
  mode_t directory = 0755;
  [[nodiscard]] mode_t file() const noexcept { return directory & 0666; }
};

// A file that is being written and gets its name when it is complete. Until then it has none
// (O_TMPFILE), or where the file system cannot do that, a temporary one. Locked by flock(2) as long
// as this lives: a temporary file that is not locked was left behind. Goes away with this, unless
// commit() has given it a name. Not for several threads at once.
class NewFile {
 public:
  // In `directory`; temporary names are made in `temporary`, both must stay open as long as this.
  // Throws std::system_error.
  NewFile(const WriteCalls& calls, int directory, int temporary, const Ownership& owner);
  ~NewFile();
  NewFile(const NewFile&) = delete;
  NewFile& operator=(const NewFile&) = delete;

  [[nodiscard]] int fd() const noexcept { return fd_.get(); }

  // Appends. Throws std::system_error.
  void write(std::string_view bytes);

  // Sees to it that the bytes are on the disk, then gives the file its name. A file that has it
  // already stays, and the result is false, unless `replace`: then this one takes its place in one
  // moment. Throws std::system_error. Call it once.
  [[nodiscard]] bool commit(const std::string& name, bool replace);

 private:
  struct Place {
    int directory;
    std::string name;
  };

  [[nodiscard]] bool open_unnamed(int directory);
  void open_named(int directory);
  [[nodiscard]] bool lock() const noexcept;
  void give_owner(const Ownership& owner);
  [[nodiscard]] std::optional<Place> link_temporary(int directory, std::string_view prefix);
  [[nodiscard]] bool rename_temporary(const std::string& name, bool replace);
  void remove_temporary() noexcept;
  void sync(const std::string& about);

  const WriteCalls& calls_;
  int directory_;
  int temporary_directory_;
  UniqueFd fd_;
  std::optional<Place> temporary_;
  std::uint64_t written_ = 0;
};

// Deletes temporary files of imports that ended without deleting them. Errors are passed over.
void remove_left_behind(const WriteCalls& calls, int directory) noexcept;

}  // namespace ollamafs
