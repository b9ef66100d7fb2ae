#include "fs/inode_number.h"

namespace ollamafs {

std::string inode_identity(std::initializer_list<std::string_view> parts) {
  std::string identity;
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

InodeNumber InodeNumbers::assign(const std::string& identity, bool late) {
  const InodeNumber order = late ? kLateInode : 0;
  for (std::string attempt = identity;; attempt += '+') {
    const InodeNumber number = (hash_(attempt) & (kLateInode - 1)) | order;
    if (taken_.insert(number).second) return number;
  }
}

}  // namespace ollamafs
