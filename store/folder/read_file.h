#pragma once

// Room store/folder: The models folder, open: the only way in which a file below it is reached
// and read.

#include <sys/stat.h>

#include <cstdint>
#include <string>
#include <system_error>

#include "store/folder/store_dir.h"

namespace ollamafs {

// A small file, read whole.
struct FileContent {
  std::string bytes;
  struct stat st {};     // as it was when the file was opened
  bool outside = false;  // a symlink led out of the store
};

// Reads the regular file `relative` of `store`. `ec` is what StoreDir::open_file says, EFBIG if the
// file has more than `limit` bytes, or the error of reading; then there is no content.
[[nodiscard]] FileContent read_file(const StoreDir& store, const std::string& relative,
                                    std::uint64_t limit, std::error_code& ec);

// As above, of a file of `store` that is open; `known`, if it still is that file unchanged, has no
// bytes read.
struct FileIdentity;
[[nodiscard]] FileContent read_file(const StoreDir& store, const StoreDir::Opened& file,
                                    std::uint64_t limit, const FileIdentity* known,
                                    std::error_code& ec);

// Reads into `buffer` what `fd` holds from `offset` on, until `size` bytes are there or the file
// ends. Returns the number of bytes read.
[[nodiscard]] std::size_t read_fully(const FileCalls& calls, int fd, char* buffer, std::size_t size,
                                     std::uint64_t offset, std::error_code& ec) noexcept;

// Whether a call failed for want of descriptors or memory, or because it was interrupted: troubles
// of this process, which say nothing about the file.
[[nodiscard]] bool is_shortage(const std::error_code& ec) noexcept;

// Throws std::system_error that names the path if `ec` is a shortage: a store that is half read
// must not be taken for a smaller one.
void refuse_shortage(const StoreDir& store, const std::string& relative, const std::error_code& ec);

// Whether a call failed in a way that says nothing about what the store holds, as for an error of
// the disk or of the server behind it: what there is is unknown, and may be had again without any
// change.
[[nodiscard]] bool is_disk_failure(const std::error_code& ec) noexcept;

// Why a file of the store could not be had, going on from its name: "is missing".
[[nodiscard]] std::string open_failure(const std::error_code& ec);

}  // namespace ollamafs
