#include "store/transfer/room.h"

#include <fmt/format.h>
#include <linux/magic.h>
#include <sys/vfs.h>

#include "store/transfer/transfer_error.h"

namespace ollamafs {

void require_room(int fd, const FileToWrite& file, std::uint64_t bytes, std::uint64_t size,
                  const WriteCalls& calls) {
  constexpr std::uint64_t fat_limit = (std::uint64_t{1} << 32) - 1;
  struct statfs kind {};
  if (size > fat_limit && calls.fstatfs(fd, kind) == 0 && kind.f_type == MSDOS_SUPER_MAGIC) {
    throw TransferError{
        TransferError::Kind::refused,
        fmt::format("{} would have {} bytes, and its file system (FAT) takes no file "
                    "of 4 GiB or more\nformat it as exFAT, or split the export: "
                    "`ollamafs export … -o - | split -b 4000M - {}.`",
                    file.shown, size, file.name)};
  }
  struct statvfs room {};
  // Some network file systems tell nothing; then it is seen when it is written.
  if (calls.fstatvfs(fd, room) != 0 || room.f_blocks == 0) return;
  const std::uint64_t free = std::uint64_t{room.f_bavail} * room.f_frsize;
  if (bytes <= free) return;
  throw TransferError{
      TransferError::Kind::no_space,
      fmt::format("{} needs {} bytes, and its disk has {} free", file.shown, bytes, free)};
}

}  // namespace ollamafs
