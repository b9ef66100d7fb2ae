#include "fs/tree/inode_number.h"

#include <bit>

namespace ollamafs {

std::string inode_identity(std::initializer_list<std::string_view> parts, std::string_view before) {
  std::string identity;
  identity.reserve(250);  // nearly all are shorter, so memory is asked for once
  identity += before;
  for (const std::string_view part : parts) {
    identity += std::to_string(part.size());
    identity += ':';
    identity += part;
  }
  return identity;
}

// FNV-1a for the bytes, then the finalizer of MurmurHash3, because FNV alone leaves the high bits
// of short inputs poorly mixed.
std::uint64_t inode_hash(std::string_view bytes) noexcept {
  std::uint64_t h = 0xcbf29ce484222325;
  for (const char c : bytes) {
    h ^= static_cast<unsigned char>(c);
    h *= 0x100000001b3;
  }
  h ^= h >> 33;
  h *= 0xff51afd7ed558ccd;
  h ^= h >> 33;
  h *= 0xc4ceb9fe1a85ec53;
  h ^= h >> 33;
  return h;
}

InodeNumbers::InodeNumbers(Hash hash) : hash_{hash} {
  reserve(1);
  take(kRootInode);
}

void InodeNumbers::reserve(std::size_t count) {
  given_.reserve(count);
  if (2 * count <= slots_.size()) return;
  slots_.assign(std::bit_ceil(2 * count), kFree);
  for (std::uint32_t i = 0; i < given_.size(); ++i) slots_[slot_of(given_[i])] = i;
}

// Where `number` is, or else the free slot that it would get.
std::size_t InodeNumbers::slot_of(InodeNumber number) const noexcept {
  const std::size_t mask = slots_.size() - 1;
  std::size_t slot = number & mask;
  while (slots_[slot] != kFree && given_[slots_[slot]] != number) slot = (slot + 1) & mask;
  return slot;
}

// False: the number is given out already, or must never be.
bool InodeNumbers::take(InodeNumber number) {
  if (number == 0) return false;
  if (2 * given_.size() == slots_.size()) reserve(2 * given_.size());
  std::uint32_t& slot = slots_[slot_of(number)];
  if (slot != kFree) return false;
  slot = static_cast<std::uint32_t>(given_.size());
  given_.push_back(number);
  return true;
}

InodeNumber InodeNumbers::assign(const std::string& identity, bool late) {
  const InodeNumber order = late ? kLateInode : 0;
  const InodeNumber number = (hash_(identity) & (kLateInode - 1)) | order;
  return take(number) ? number : assign(identity + '+', late);
}

std::optional<std::uint32_t> InodeNumbers::find(InodeNumber number) const noexcept {
  const std::uint32_t index = slots_[slot_of(number)];
  return index == kFree ? std::nullopt : std::optional{index};
}

}  // namespace ollamafs
