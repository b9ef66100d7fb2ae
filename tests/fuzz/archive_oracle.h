#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "store/layout/layout.h"

namespace ollamafs::test {

// The byte that the made-up content of a blob has at an offset: another for each blob, and without
// a short period, so that bytes from a wrong place are seen.
[[nodiscard]] char blob_byte(const Digest& digest, std::uint64_t offset) noexcept;

// What a reader finds in an archive.
struct Member {
  std::string path;
  std::uint64_t size = 0;
  std::int64_t mtime = 0;
  std::uint64_t data = 0;  // where its bytes begin in the archive

  bool operator==(const Member&) const = default;
};

// The members as libarchive tells them, but for where their bytes begin. Checks modes and owners,
// the content of blobs of up to 4 KiB as of blob_byte, and that of any other against `manifest`.
[[nodiscard]] std::vector<Member> read_by_libarchive(const Layout& layout,
                                                     std::string_view manifest);

// The members as their headers say, read field by field as POSIX.1-2017 has them (pax). A reader
// that knows no pax records must get every size all the same, so each header's own is checked.
// Checks that nothing but zeros follows, and that they are as many as there must be.
[[nodiscard]] std::vector<Member> read_by_headers(const Layout& layout);

// The bytes of [offset, offset + size), by for_each_in.
[[nodiscard]] std::string bytes_at(const Layout& layout, std::uint64_t offset, std::uint64_t size);

}  // namespace ollamafs::test
