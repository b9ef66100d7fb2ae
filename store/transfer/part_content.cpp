#include "store/transfer/part_content.h"

#include <fcntl.h>
#include <sys/stat.h>

#include <algorithm>
#include <string>

#include "store/base/file_calls.h"
#include "store/base/unique_fd.h"
#include "store/folder/read_file.h"
#include "store/transfer/archive_source.h"

namespace ollamafs {
namespace {

// Bytes of a regular file, by default its first ones; of anything else none.
std::string bytes_of_part(const std::filesystem::path& path, bool are_last = false) {
  constexpr std::uint64_t most = 1024;
  static_assert(most >= kArchiveBeginning);
  const UniqueFd fd{::open(path.c_str(), O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC)};
  struct stat st {};
  if (!fd || ::fstat(fd.get(), &st) != 0 || !S_ISREG(st.st_mode)) return {};
  const auto size = static_cast<std::uint64_t>(st.st_size);
  std::string bytes(std::min(size, most), '\0');
  std::error_code ec;
  bytes.resize(read_fully(FileCalls::kernel(), fd.get(), bytes.data(), bytes.size(),
                          are_last ? size - bytes.size() : 0, ec));
  if (ec) bytes.clear();
  return bytes;
}

// Two blocks of zeros.
bool has_end_of_tar(const std::filesystem::path& path) {
  const std::string end = bytes_of_part(path, true);
  return std::ranges::all_of(end, [](char c) { return c == '\0'; });
}

}  // namespace

bool begins_archive(const std::filesystem::path& path) {
  return is_archive(bytes_of_part(path));
}

bool continues_archive(const std::filesystem::path& first, const std::filesystem::path& before,
                       const std::filesystem::path& next) {
  std::error_code ec;
  if (!std::filesystem::is_regular_file(next, ec)) return false;
  const std::string beginning = bytes_of_part(first);
  if (!is_archive(beginning)) return false;
  const std::string other = bytes_of_part(next);
  if (!is_archive(other)) return true;
  return is_plain_tar(beginning) && is_plain_tar(other) && !has_end_of_tar(before);
}

}  // namespace ollamafs
