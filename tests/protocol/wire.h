#pragma once

#include <linux/fuse.h>

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

namespace ollamafs::test {

// The bytes that travel between the kernel and a file system.

// What the file system answered: an errno, or 0 and a value.
template <class T>
struct Answer {
  int error = 0;
  T value{};
};

// The bytes of a structure of the protocol.
template <class T>
std::string bytes_of(const T& value) {
  return {reinterpret_cast<const char*>(&value), sizeof value};
}

// The other way round. Throws std::runtime_error if `bytes` is not of the right size.
template <class T>
T decode(std::string_view bytes) {
  if (bytes.size() != sizeof(T)) {
    throw std::runtime_error{std::to_string(bytes.size()) + " bytes instead of " +
                             std::to_string(sizeof(T))};
  }
  T value;
  std::memcpy(&value, bytes.data(), sizeof value);
  return value;
}

template <class T>
Answer<T> decode_answer(const Answer<std::string>& answer) {
  if (answer.error != 0) return {answer.error, {}};
  return {0, decode<T>(answer.value)};
}

// An entry of a listing as the kernel gets it.
struct ListedName {
  std::string name;
  std::uint64_t ino = 0;
  std::uint64_t next = 0;  // the offset at which the listing goes on behind it
  std::uint32_t type = 0;  // DT_DIR, DT_REG
  fuse_entry_out entry{};  // readdirplus only; nodeid 0: no node came with the name
};

// The entries of a reply to readdir or, with `plus`, readdirplus. Throws std::runtime_error if one
// is not all there.
inline Answer<std::vector<ListedName>> decode_listing(const Answer<std::string>& answer,
                                                      bool plus) {
  const std::size_t before = plus ? sizeof(fuse_entry_out) : 0;
  Answer<std::vector<ListedName>> result{answer.error, {}};
  for (std::string_view left = answer.value; !left.empty();) {
    fuse_dirent dirent;
    if (left.size() < before + sizeof dirent) throw std::runtime_error{"a torn entry"};
    std::memcpy(&dirent, left.data() + before, sizeof dirent);
    const std::size_t size = FUSE_DIRENT_ALIGN(before + FUSE_NAME_OFFSET + dirent.namelen);
    if (left.size() < size) throw std::runtime_error{"a torn name"};
    ListedName& listed = result.value.emplace_back();
    listed.name = left.substr(before + FUSE_NAME_OFFSET, dirent.namelen);
    listed.ino = dirent.ino;
    listed.next = dirent.off;
    listed.type = dirent.type;
    if (plus) listed.entry = decode<fuse_entry_out>(left.substr(0, before));
    left.remove_prefix(size);
  }
  return result;
}

// ---- the bodies of requests ----

inline std::string open_body(int flags) {
  fuse_open_in in{};
  in.flags = static_cast<std::uint32_t>(flags);
  return bytes_of(in);
}

// Also of readdir and readdirplus.
inline std::string read_body(std::uint64_t handle, std::uint64_t offset, std::uint32_t size) {
  fuse_read_in in{};
  in.fh = handle;
  in.offset = offset;
  in.size = size;
  return bytes_of(in);
}

inline std::string release_body(std::uint64_t handle) {
  fuse_release_in in{};
  in.fh = handle;
  return bytes_of(in);
}

inline std::string getattr_body() {
  return bytes_of(fuse_getattr_in{});
}

inline std::string lookup_body(std::string_view name) {
  return std::string{name} + '\0';
}

// Also of listxattr, without a name.
inline std::string getxattr_body(std::uint32_t size) {
  fuse_getxattr_in in{};
  in.size = size;
  return bytes_of(in);
}

}  // namespace ollamafs::test
