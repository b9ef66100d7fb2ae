#pragma once

#include <string>

#include "fs/serve/file_system.h"

namespace ollamafs::test {

// How a directory is listed: "ok", "ENOTDIR", or the one name that stands for what cannot be had.
inline std::string listed_of(FileSystem& fs, NodeRef directory) {
  const FileSystem::Listing listing = fs.list(directory, true);
  if (!listing.possible) return "ENOTDIR";
  return listing.is_whole() ? "ok" : std::string{listing.stand_in};
}

}  // namespace ollamafs::test
