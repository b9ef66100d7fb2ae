#pragma once

#include <cstdint>
#include <filesystem>
#include <string>

#include "store/base/unique_fd.h"
#include "store/base/write_calls.h"

namespace ollamafs {

// A file that gets its name when it is whole. Until then it is its part, by default PATH.part,
// which one process alone writes; it is removed with this, unless keep() or commit() was called.
//
// Everything throws TransferError.
class PartFile {
 public:
  // Opens what is there of the part, or makes it. Kind::refused if there is something at `path`
  // already and `replace` is false, if another process writes the part, or if that is no regular
  // file.
  PartFile(const std::filesystem::path& path, bool replace, const WriteCalls& calls)
      : PartFile{path, path.native() + ".part", replace, calls} {}
  PartFile(const std::filesystem::path& path, const std::filesystem::path& part, bool replace,
           const WriteCalls& calls);
  ~PartFile();
  PartFile(const PartFile&) = delete;
  PartFile& operator=(const PartFile&) = delete;

  [[nodiscard]] int fd() const noexcept { return fd_.get(); }
  [[nodiscard]] const std::string& shown_part() const noexcept { return shown_part_; }
  [[nodiscard]] std::uint64_t size() const;

  // Leaves the first `size` bytes of it; what is written goes on there.
  void continue_at(std::uint64_t size);

  // As ollamafs::require_room(), for `bytes` more and `size` in all.
  void require_room(std::uint64_t bytes, std::uint64_t size) const;

  // Leaves the part, which somebody else has made, as it is. Kind::refused.
  [[noreturn]] void refuse_foreign();

  // Leaves the part for the next time, after an interruption.
  void keep() noexcept { fate_ = Fate::kept; }

  // Has all of it on the disk, and gives it its name.
  void commit();

 private:
  enum class Fate { removed, kept, named };

  [[nodiscard]] bool exists(const std::string& name) const;
  [[noreturn]] void refuse_existing() const;
  void open_part();

  std::string shown_, shown_part_;  // the paths, printable
  std::string name_, part_;         // their last components
  const bool replace_;
  const WriteCalls& calls_;
  UniqueFd folder_, part_folder_;
  UniqueFd fd_;
  Fate fate_ = Fate::kept;
};

}  // namespace ollamafs
