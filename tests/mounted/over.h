#pragma once

#include <sys/mount.h>

#include <cerrno>
#include <filesystem>
#include <system_error>

namespace ollamafs::test {

// A file that stands in another's place until the end of the scope. Throws std::system_error if it
// cannot.
class Over {
 public:
  Over(const std::filesystem::path& file, const std::filesystem::path& place) : place_{place} {
    if (::mount(file.c_str(), place.c_str(), nullptr, MS_BIND, nullptr) != 0) {
      throw std::system_error{errno, std::generic_category(), place.string()};
    }
  }
  ~Over() { ::umount2(place_.c_str(), MNT_DETACH); }
  Over(const Over&) = delete;
  Over& operator=(const Over&) = delete;

 private:
  std::filesystem::path place_;
};

}  // namespace ollamafs::test
