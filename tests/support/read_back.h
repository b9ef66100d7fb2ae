#pragma once

#include <cstdint>
#include <string>
#include <system_error>

#include "fs/serve/file_system.h"

namespace ollamafs::test {

// Up to `size` bytes of an open file, as a reader gets them.
inline std::string bytes_of(FileSystem& fs, OpenFile& file, std::size_t size, std::uint64_t offset,
                            std::error_code& ec) {
  Gathered gathered;
  fs.files().gather(file, gathered, size, offset, ec);
  std::string bytes;
  if (ec) return bytes;
  for (const iovec& piece : gathered.pieces()) {
    bytes.append(static_cast<const char*>(piece.iov_base), piece.iov_len);
  }
  return bytes;
}

}  // namespace ollamafs::test
