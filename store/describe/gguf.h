#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <variant>

#include "store/base/file_calls.h"

namespace ollamafs {

// Why a file is not a GGUF file, or none that can be read. what() goes on from the file's name: "is
// cut short".
class GgufError : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

// An array of a GGUF header; its elements are passed over.
struct GgufArray {
  std::uint64_t count = 0;

  bool operator==(const GgufArray&) const = default;
};

// What stands behind a key: numbers of less than 64 bits are widened.
using GgufValue = std::variant<std::uint64_t, std::int64_t, double, bool, std::string, GgufArray>;

// What a GGUF file says of itself before its weights begin.
struct GgufHeader {
  std::uint32_t version = 0;
  std::map<std::string, GgufValue, std::less<>> values;  // any bytes in keys and strings
  std::uint64_t tensors = 0;
  std::uint64_t parameters = 0;  // elements of all tensors

  // A string, or empty if there is none of that key.
  [[nodiscard]] std::string text(std::string_view key) const;

  // A whole number, or nothing if there is none of that key or a negative one.
  [[nodiscard]] std::optional<std::uint64_t> number(std::string_view key) const;
};

// What is read of a header at most. Real ones are far below it.
struct GgufLimits {
  std::uint64_t bytes = 256u << 20;
  std::uint64_t values = 1u << 16;
  std::uint64_t tensors = 1u << 20;
  std::uint64_t string = 16u << 20;   // bytes of one string
  std::uint64_t strings = 64u << 20;  // bytes of all that are kept
};

// Reads the header of an open GGUF file, of version 1 to 3, little endian as all files are that
// Ollama runs. The file may hold anything: never more is read, or kept in memory, than the limits
// say. Throws GgufError.
[[nodiscard]] GgufHeader read_gguf(const FileCalls& calls, int fd, const GgufLimits& limits = {});

// Reads the values that stand in the first `bytes` bytes of such a file, and nothing else: the name
// of the architecture and its numbers come before the tokens, which are megabytes. Tensors are not
// counted. Values behind the first that cannot be read are left out. Throws GgufError if it is no
// GGUF file.
[[nodiscard]] GgufHeader read_gguf_head(const FileCalls& calls, int fd, std::uint64_t bytes);

}  // namespace ollamafs
