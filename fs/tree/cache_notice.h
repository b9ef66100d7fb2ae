#pragma once

// Room fs/tree: Directories and files with their inode numbers, and how one tree differs from
// the next.

#include <cstdint>
#include <functional>
#include <list>
#include <string>

#include "fs/tree/inode_number.h"

namespace ollamafs {

// Something that the kernel was told, may still keep, and that is not so any more.
struct CacheNotice {
  enum class What : std::uint8_t {
    entry,       // the name `name` in the directory `node`
    attributes,  // what stat(2) shows of `node`
    content,     // that, and the bytes of the file or the listing of the directory
    told,        // nothing: all before this was given; `node` is the number of a change, see
                 // ManifestGuard
  };
  What what;
  InodeNumber node;
  std::string name{};

  auto operator<=>(const CacheNotice&) const = default;
};

// In the order in which they must be given. A list, so that to hand them on cannot fail.
using CacheNotices = std::list<CacheNotice>;
using OnStale = std::function<void(CacheNotices)>;

}  // namespace ollamafs
