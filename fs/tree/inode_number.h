#pragma once

#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <limits>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace ollamafs {

// Inode numbers are pure functions of what a node is (docs/view.md §2): the same on every mount, so
// that backups, hard-link detection and file handles survive a remount, and new content has a new
// number, so that no cache is ever stale.
using InodeNumber = std::uint64_t;

constexpr InodeNumber kRootInode = 1;  // FUSE_ROOT_ID

// Every number with this bit is larger than every number without it. `cp -r` copies in the order of
// inode numbers, and a model's manifests/ must come after its blobs/.
constexpr InodeNumber kLateInode = InodeNumber{1} << 62;

// What a node is, as bytes: its parts, each with its length before it, so that no two join alike.
// `before` is what an earlier call gave for the parts before them.
[[nodiscard]] std::string inode_identity(std::initializer_list<std::string_view> parts,
                                         std::string_view before = {});

// A well mixed 64-bit hash of `bytes`, the same in every release.
[[nodiscard]] std::uint64_t inode_hash(std::string_view bytes) noexcept;

// Gives out the numbers of one snapshot. Two identities with one hash get different numbers: the
// second is hashed again with a suffix. Numbers are below 2^63; 0 and kRootInode are never given
// out. Can tell afterwards which came when: a Tree finds its nodes so.
class InodeNumbers {
 public:
  using Hash = std::uint64_t (*)(std::string_view) noexcept;

  explicit InodeNumbers(Hash hash = inode_hash);

  // Makes room for so many numbers.
  void reserve(std::size_t count);

  // A number that this object has not given out before. With `late`, one that has kLateInode.
  [[nodiscard]] InodeNumber assign(const std::string& identity, bool late = false);

  // How many numbers were given out before this one; none before kRootInode, which is from the
  // beginning. Nothing: this one was not given out.
  [[nodiscard]] std::optional<std::uint32_t> find(InodeNumber number) const noexcept;

 private:
  static constexpr std::uint32_t kFree = std::numeric_limits<std::uint32_t>::max();

  [[nodiscard]] std::size_t slot_of(InodeNumber number) const noexcept;
  bool take(InodeNumber number);

  Hash hash_;
  std::vector<InodeNumber> given_;  // in the order in which they were given out
  // A hash table with open addressing: indexes into given_. A number is a hash already, so its low
  // bits tell the slot to begin with. There are a power of two of them, half of them free.
  std::vector<std::uint32_t> slots_;
};

}  // namespace ollamafs
