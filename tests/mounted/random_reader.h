#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <filesystem>
#include <random>
#include <string>

#include "store/base/unique_fd.h"

namespace ollamafs::test {

// Reads a file in every way there is, at random, and compares each result with what the file must
// hold: as fsx does, but for reading.
class RandomReader {
 public:
  // Throws std::system_error if the file cannot be opened.
  RandomReader(std::filesystem::path path, std::string content, std::uint64_t seed);

  // Does that many operations. Returns what went wrong and the operations before it; nothing if all
  // went well.
  [[nodiscard]] std::string run(std::size_t operations);

 private:
  // Each notes what it does, and returns whether the result was right.
  bool read();
  bool pread();
  bool preadv();
  bool read_direct();
  bool seek();
  bool seek_hole();
  bool map();
  bool send();
  bool advise();
  bool reopen();
  bool stat();

  [[nodiscard]] std::uint64_t below(std::uint64_t bound) {
    return bound == 0 ? 0 : random_() % bound;
  }
  [[nodiscard]] std::uint64_t some_offset();
  [[nodiscard]] std::size_t some_size();
  [[nodiscard]] std::string_view expected(std::uint64_t offset, std::size_t size) const;
  void note(std::string what);
  void open(int flags);

  const std::filesystem::path path_;
  const std::string content_;
  std::mt19937_64 random_;
  UniqueFd fd_;
  std::uint64_t position_ = 0;
  std::deque<std::string> log_;
};

}  // namespace ollamafs::test
