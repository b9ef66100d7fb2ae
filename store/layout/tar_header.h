#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace ollamafs {

// The blocks that stand before a regular file's bytes in a tar (POSIX.1-2017, pax: ustar
// interchange format, with extended headers where ustar cannot express a path or a size).
// Everything but the arguments is fixed: mode 0644, uid and gid 0, uname and gname "ollama".

constexpr std::uint64_t kTarBlock = 512;
constexpr std::uint64_t kTarRecord = 20 * kTarBlock;  // an archive's size is a multiple of this

// The header of a member: a multiple of kTarBlock bytes. `path` is relative, not empty, without
// NUL; `size` is below 2^63; `mtime` is in seconds since the epoch, from 0 to 2^33 - 1.
[[nodiscard]] std::string tar_header(std::string_view path, std::uint64_t size, std::int64_t mtime);

// How many bytes tar_header returns, without making them.
[[nodiscard]] std::uint64_t tar_header_size(std::string_view path, std::uint64_t size) noexcept;

// How many zero bytes must follow the `size` bytes of a member.
[[nodiscard]] constexpr std::uint64_t tar_padding(std::uint64_t size,
                                                  std::uint64_t unit = kTarBlock) noexcept {
  return (unit - size % unit) % unit;
}

}  // namespace ollamafs
