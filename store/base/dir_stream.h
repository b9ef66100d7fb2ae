#pragma once

// Room store/base: What any part needs of the system: system calls, descriptors, file
// identities, text that is safe to print.

#include <dirent.h>

#include <cerrno>
#include <memory>
#include <string_view>
#include <system_error>

#include "store/base/file_calls.h"
#include "store/base/unique_fd.h"

namespace ollamafs {

struct CloseDir {
  void operator()(DIR* dir) const noexcept { ::closedir(dir); }
};

// An open directory stream, closed with it.
using DirStream = std::unique_ptr<DIR, CloseDir>;

// Calls visit(entry) for each entry of an open directory but "." and "..", in the order in which
// the kernel has them. `ec` is why it could not be listed, or not to its end. What `visit` throws
// comes out.
template <class Visit>
void for_each_dir_entry(const FileCalls& calls, UniqueFd directory, std::error_code& ec,
                        Visit&& visit) {
  ec.clear();
  const DirStream stream{::fdopendir(directory.get())};
  if (!stream) {
    ec = {errno, std::generic_category()};
    return;
  }
  (void)directory.release();  // the stream closes it
  for (;;) {
    errno = 0;
    const dirent* const entry = calls.readdir(stream.get());
    if (!entry) break;
    const std::string_view name = entry->d_name;
    if (name != "." && name != "..") visit(*entry);
  }
  if (errno != 0) ec = {errno, std::generic_category()};
}

}  // namespace ollamafs
