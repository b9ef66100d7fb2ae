#pragma once

#include <cstdint>
#include <string>
#include <system_error>

#include "fs/serve/file_system.h"

namespace ollamafs::test {

// Up to `size` bytes of an open file, as a reader gets them.
inline std::string bytes_of(FileSystem& fs, OpenFile& file, std::size_t size, std::uint64_t offset,
                            std::error_code& ec) {
  std::string bytes(size, '\0');
  bytes.resize(fs.files().read(file, bytes.data(), size, offset, ec));
  return bytes;
}

}  // namespace ollamafs::test
