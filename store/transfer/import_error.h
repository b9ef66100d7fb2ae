#pragma once

#include <cstdint>
#include <stdexcept>
#include <string>

namespace ollamafs {

// Why models could not be taken into a store. what() is printable, may have several lines, names
// the file or the member, the reason and the way out. The store is as it was, or has some more
// blobs that are right.
class ImportError : public std::runtime_error {
 public:
  enum class Kind : std::uint8_t {
    failed,     // the disk, permissions, ...
    usage,      // a name lacks, or does not fit
    not_found,  // no source
    broken,     // the source is not whole, or is no source at all
    no_space,   // the target's disk has not enough room
    refused,    // another model has the name
  };

  ImportError(Kind kind, const std::string& message) : std::runtime_error{message}, kind_{kind} {}

  [[nodiscard]] Kind kind() const noexcept { return kind_; }

 private:
  Kind kind_;
};

}  // namespace ollamafs
