#pragma once

#include <cstdint>
#include <stdexcept>
#include <string>

namespace ollamafs {

// Why models could not be exported. what() is printable, names the file, and says what to do.
class ExportError : public std::runtime_error {
 public:
  enum class Kind : std::uint8_t {
    failed,    // a file could not be written, or the reader of a pipe went away
    broken,    // a model is not whole, or a blob changed while it was read
    no_space,  // of the target's disk
    refused,   // would overwrite something
  };

  ExportError(Kind kind, const std::string& message) : std::runtime_error{message}, kind_{kind} {}

  [[nodiscard]] Kind kind() const noexcept { return kind_; }

 private:
  Kind kind_;
};

}  // namespace ollamafs
