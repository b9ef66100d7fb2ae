#include "store/folder/read_file.h"

#include <fmt/format.h>

#include <algorithm>
#include <cerrno>
#include <iterator>

#include "store/base/file_identity.h"

namespace ollamafs {

std::size_t read_fully(const FileCalls& calls, int fd, char* buffer, std::size_t size,
                       std::uint64_t offset, std::error_code& ec) noexcept {
  ec.clear();
  std::size_t done = 0;
  while (done < size) {
    const ssize_t n = calls.pread(fd, buffer + done, size - done, offset + done);
    if (n == 0) break;
    if (n > 0) {
      done += static_cast<std::size_t>(n);
    } else if (errno != EINTR) {
      ec = {errno, std::generic_category()};
      break;
    }
  }
  return done;
}

FileContent read_file(const StoreDir& store, const std::string& relative, std::uint64_t limit,
                      std::error_code& ec) {
  const StoreDir::Opened file = store.open_file(relative, ec);
  return ec ? FileContent{} : read_file(store, file, limit, nullptr, ec);
}

FileContent read_file(const StoreDir& store, const StoreDir::Opened& file, std::uint64_t limit,
                      const FileIdentity* known, std::error_code& ec) {
  ec.clear();
  FileContent content;
  content.outside = file.outside;
  if (store.calls().fstat(file.fd.get(), content.st) != 0) {
    ec = {errno, std::generic_category()};
    return {};
  }
  if (known && *known == FileIdentity::of(content.st)) return content;
  const auto size = static_cast<std::uint64_t>(content.st.st_size);
  if (size > limit) {
    ec = std::make_error_code(std::errc::file_too_large);
    return {};
  }
  content.bytes.resize(size);
  content.bytes.resize(read_fully(store.calls(), file.fd.get(), content.bytes.data(), size, 0, ec));
  if (ec) return {};
  return content;
}

bool is_shortage(const std::error_code& ec) noexcept {
  return ec == std::errc::too_many_files_open || ec == std::errc::too_many_files_open_in_system ||
         ec == std::errc::not_enough_memory || ec == std::errc::interrupted;
}

void refuse_shortage(const StoreDir& store, const std::string& relative,
                     const std::error_code& ec) {
  if (is_shortage(ec)) throw std::system_error{ec, (store.path() / relative).string()};
}

// All but what tells of the file itself: an error nobody thought of is not taken for a fact.
bool is_disk_failure(const std::error_code& ec) noexcept {
  constexpr int kFacts[] = {ENOENT, ENOTDIR, EISDIR, EACCES, EPERM,
                            ELOOP,  EXDEV,   EINVAL, EFBIG,  ENAMETOOLONG};
  return ec && !is_shortage(ec) && std::ranges::find(kFacts, ec.value()) == std::end(kFacts);
}

std::string open_failure(const std::error_code& ec) {
  if (ec == std::errc::no_such_file_or_directory) return "is missing";
  if (ec == std::errc::invalid_argument) return "is not a regular file";
  if (ec == std::errc::too_many_symbolic_link_levels) return "is a symlink that leads nowhere";
  if (ec == std::errc::cross_device_link) {
    return "is a symlink that leads out of the store: name its target with -o follow=";
  }
  return fmt::format("cannot be read: {}", ec.message());
}

}  // namespace ollamafs
