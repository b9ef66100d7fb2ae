#pragma once

#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <string>
#include <string_view>
#include <unordered_set>

namespace ollamafs {

// Inode numbers are pure functions of what a node is (design §2): the same on every mount, so that
// backups, hard-link detection and file handles survive a remount, and new content has a new
// number, so that no cache is ever stale.
using InodeNumber = std::uint64_t;

constexpr InodeNumber kRootInode = 1;  // FUSE_ROOT_ID

// Every number with this bit is larger than every number without it. `cp -r` copies in the order of
// inode numbers, and a model's manifests/ must come after its blobs/.
constexpr InodeNumber kLateInode = InodeNumber{1} << 62;

// What a node is, as bytes: its parts, each with its length before it, so that no two join alike.
[[nodiscard]] std::string inode_identity(std::initializer_list<std::string_view> parts);

// A well mixed 64-bit hash of `bytes`, the same in every release.
[[nodiscard]] std::uint64_t inode_hash(std::string_view bytes) noexcept;

// Gives out the numbers of one snapshot. Two identities with one hash get different numbers: the
// second is hashed again with a suffix. Numbers are below 2^63; 0 and kRootInode are never given
// out.
class InodeNumbers {
 public:
  using Hash = std::uint64_t (*)(std::string_view) noexcept;

  explicit InodeNumbers(Hash hash = inode_hash) : hash_{hash} {}

  // Makes room for so many numbers.
  void reserve(std::size_t count) { taken_.reserve(count); }

  // A number that this object has not given out before. With `late`, one that has kLateInode.
  [[nodiscard]] InodeNumber assign(const std::string& identity, bool late = false);

 private:
  Hash hash_;
  std::unordered_set<InodeNumber> taken_{0, kRootInode};
};

}  // namespace ollamafs
