#pragma once

#include <cstdint>
#include <stdexcept>
#include <string>

namespace ollamafs {

// Why models could not be written out, or taken into a store. what() is printable, may have several
// lines, names the file or the member, the reason and the way out. A store that was to take them is
// as it was, or has some more blobs that are right.
class TransferError : public std::runtime_error {
 public:
  enum class Kind : std::uint8_t {
    failed,     // the disk, permissions, a reader of a pipe that went away, ...
    usage,      // a name lacks, or does not fit
    not_found,  // no source
    broken,     // a model or a source is not whole, or a blob changed while it was read
    no_space,   // the target's disk has not enough room
    refused,    // it would overwrite something, or another model has the name
  };

  TransferError(Kind kind, const std::string& message) : std::runtime_error{message}, kind_{kind} {}

  [[nodiscard]] Kind kind() const noexcept { return kind_; }

 private:
  Kind kind_;
};

}  // namespace ollamafs
