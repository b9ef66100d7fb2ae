#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "tests/soak/crew.h"
#include "tests/support/store_builder.h"

namespace ollamafs::test {

// What one reading of a file gave.
struct Reading {
  std::string fault{};  // other bytes than there are, or an early end
  int error = 0;        // errno, of opening or reading
};

// A store of every kind of file, and what a view of it must hold by the store's files and by GNU
// tar. Does not change; safe to read from several threads.
class Content {
 public:
  explicit Content(const std::filesystem::path& root);

  [[nodiscard]] const std::filesystem::path& root() const noexcept { return store_.root(); }
  // A large archive, whose every byte comes from the daemon.
  [[nodiscard]] const std::string& archive() const noexcept { return files_.front().bytes; }
  static std::filesystem::path archive_in(const std::filesystem::path& view);

  // Reads any file of the view in any manner: from end to end, here and there, or mapped. Stops at
  // the first error.
  [[nodiscard]] Reading read_something(const std::filesystem::path& view, Random& random) const;
  // The same without mapping: where it fails, a program that maps gets a signal.
  [[nodiscard]] Reading read_unmapped(const std::filesystem::path& view, Random& random) const;
  // Opens any file, reads one range of it and closes it.
  [[nodiscard]] Reading read_a_little(const std::filesystem::path& view, Random& random) const;
  // Reads all of the large archive.
  [[nodiscard]] Reading read_archive(const std::filesystem::path& view) const;

 private:
  struct File {
    std::filesystem::path path;  // in the view
    std::string bytes;
  };

  void add_model(const std::string& name, const ManifestSpec& model);
  [[nodiscard]] const File& any_file(Random& random) const;

  StoreBuilder store_;
  std::vector<File> files_;
};

}  // namespace ollamafs::test
