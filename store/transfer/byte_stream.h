#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "store/base/progress.h"
#include "store/base/unique_fd.h"

namespace ollamafs {

// The bytes of a file, of the parts of a file that was split, or of a pipe, from front to back. Not
// for several threads at once. Throws std::system_error that names the file, and Interrupted, also
// while a pipe gives nothing.
class ByteStream {
 public:
  // Of files that are open, one after the other, and their names. Reads from where the one file of
  // a single one stands.
  // `progress`, which must outlive this, is only asked whether to stop.
  ByteStream(std::vector<UniqueFd> parts, std::vector<std::string> names,
             Progress& progress = Progress::none());

  // Whether all parts are regular files: then skip(), seek() and size() cost nothing.
  [[nodiscard]] bool is_seekable() const noexcept { return is_seekable_; }
  [[nodiscard]] std::uint64_t size() const noexcept { return size_; }  // if it is seekable
  [[nodiscard]] std::uint64_t position() const noexcept { return position_; }

  // The first bytes, up to `size`, without going on. To be called before anything is read.
  [[nodiscard]] std::string_view peek(std::size_t size);

  // Some of the next bytes, at least one unless all was read. Good until the next call.
  [[nodiscard]] std::span<const char> read();

  // Of a seekable one.
  void seek(std::uint64_t position);

 private:
  [[nodiscard]] std::size_t read_some(char* out, std::size_t size);
  void wait_for_bytes(int fd);

  std::vector<UniqueFd> parts_;
  std::vector<std::string> names_;
  Progress* progress_;                 // never null
  std::vector<std::uint64_t> starts_;  // of the parts, if it is seekable
  std::vector<char> buffer_;
  std::size_t peeked_ = 0;  // bytes at the front of the buffer that read() has to give yet
  bool is_seekable_ = true;
  std::uint64_t size_ = 0;
  std::uint64_t position_ = 0;
  std::size_t part_ = 0;
};

}  // namespace ollamafs
