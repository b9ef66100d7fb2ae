#pragma once

#include <cstdint>
#include <string>

#include "store/base/write_calls.h"

namespace ollamafs {

// A file that is to be written, for messages.
struct FileToWrite {
  std::string shown;  // its path, printable
  std::string name;   // its last component
};

// Throws TransferError: Kind::no_space unless the disk of `fd` has room for `bytes` more;
// Kind::refused if its file system has no files of `size` bytes.
void require_room(int fd, const FileToWrite& file, std::uint64_t bytes, std::uint64_t size,
                  const WriteCalls& calls);

}  // namespace ollamafs
