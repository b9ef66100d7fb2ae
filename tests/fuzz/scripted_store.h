#pragma once

#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include "store/folder/store_dir.h"
#include "tests/support/temp_dir.h"

namespace ollamafs::test {

// A models folder as a text describes it, one entry a line:
//
//   b CONTENT       the blob of this content, under its true digest
//   f PATH CONTENT  a regular file
//   d PATH          a directory
//   l PATH TARGET   a symlink
//   p PATH          a FIFO
//   s PATH          a socket
//   z PATH SIZE     a sparse file of this many bytes
//   o MODE          how links that leave the store are taken: "refuse", "follow", or "named" for
//                   those into one directory
//
// Paths are relative to the folder and may hold any byte but blank, NUL and newline. "@0" to "@9"
// stand for the 64 hex digits of the blobs that were written so far. Lines that say nothing of this
// are passed over, and so are entries that the file system refuses.
//
// Nothing outside of its own temporary directory is written, or reached by its links: an absolute
// TARGET is meant below a directory beside the folder that holds a file `blob` and a directory
// `tree`, and ".." counts only at the beginning, and only as far as to that directory's parent.
class ScriptedStore {
 public:
  explicit ScriptedStore(std::string_view script);

  [[nodiscard]] std::filesystem::path root() const { return dir_ / "store"; }
  [[nodiscard]] std::filesystem::path outside() const { return dir_ / "outside"; }
  [[nodiscard]] OutsideLinks outside_links() const noexcept { return outside_links_; }
  [[nodiscard]] const std::vector<std::filesystem::path>& follow() const noexcept {
    return follow_;
  }

 private:
  void run(std::string_view line);
  void make(char kind, const std::string& path, const std::string& rest);
  [[nodiscard]] std::string with_digests(std::string_view text) const;
  [[nodiscard]] std::string confined(const std::string& target, std::size_t depth) const;

  TempDir dir_;
  std::vector<std::string> digests_;  // hex
  std::size_t links_ = 0;
  OutsideLinks outside_links_ = OutsideLinks::refuse;
  std::vector<std::filesystem::path> follow_;
};

}  // namespace ollamafs::test
