#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <string>
#include <vector>

namespace ollamafs::test {

// A member of an archive that is being written.
struct Packed {
  enum class Type { file, directory, symlink, hardlink, device, fifo };

  std::string path;
  std::string bytes{};  // of a file; of links: where they lead
  Type type = Type::file;
};

// The formats and filters of libarchive: "ustar", "pax", "gnutar", "zip"; "none", "gzip", "zstd".
[[nodiscard]] std::string make_archive(const std::vector<Packed>& members,
                                       const std::string& format = "pax",
                                       const std::string& filter = "none");

// All files and symlinks below a directory, with `prefix` before their paths, sorted by them.
[[nodiscard]] std::vector<Packed> pack_directory(const std::filesystem::path& directory,
                                                 const std::string& prefix = "");

// Every path below a directory with what it holds: "d" for a directory, "l" and the target for a
// symlink, "f" and the bytes for a file. Empty if there is no directory.
using DirectoryContent = std::map<std::string, std::string>;
[[nodiscard]] DirectoryContent content_of(const std::filesystem::path& directory);

// What an import that failed may not have done: the paths that `after` has and `before` has not, or
// not so, but for blobs with their true digests as names and the folder of blobs. Empty: it is as
// it should be.
[[nodiscard]] std::vector<std::string> forbidden_changes(const DirectoryContent& before,
                                                         const DirectoryContent& after);

}  // namespace ollamafs::test
