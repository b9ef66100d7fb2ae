#include "store/describe/gguf.h"

#include <fmt/format.h>
#include <sys/stat.h>

#include <algorithm>
#include <array>
#include <bit>
#include <cerrno>
#include <cstring>
#include <limits>
#include <system_error>
#include <vector>

#include "store/folder/read_file.h"

namespace ollamafs {
namespace {

static_assert(std::endian::native == std::endian::little, "values are copied as they are");

// The types of values, as the file has them.
enum class GgufType : std::uint32_t {
  uint8,
  int8,
  uint16,
  int16,
  uint32,
  int32,
  float32,
  boolean,
  string,
  array,
  uint64,
  int64,
  float64,
};

// The bytes of a value of this type; 0: they vary, or there is no such type.
std::uint64_t size_of(GgufType type) noexcept {
  switch (type) {
    case GgufType::uint8:
    case GgufType::int8:
    case GgufType::boolean:
      return 1;
    case GgufType::uint16:
    case GgufType::int16:
      return 2;
    case GgufType::uint32:
    case GgufType::int32:
    case GgufType::float32:
      return 4;
    case GgufType::uint64:
    case GgufType::int64:
    case GgufType::float64:
      return 8;
    case GgufType::string:
    case GgufType::array:
      break;
  }
  return 0;
}

// The file from its beginning, piece by piece.
class GgufBytes {
 public:
  GgufBytes(const FileCalls& calls, int fd, std::uint64_t most)
      : calls_{calls}, fd_{fd}, most_{most}, buffer_(std::min<std::uint64_t>(kPiece, most)) {
    struct stat st {};
    if (calls.fstat(fd, st) != 0) fail(errno);
    size_ = static_cast<std::uint64_t>(st.st_size);
  }

  template <class T>
  T take() {
    T value;
    copy(reinterpret_cast<char*>(&value), sizeof value);
    return value;
  }

  std::string take_string(std::uint64_t size) {
    std::string text;
    while (text.size() < size) {  // grows with what is really there
      const std::uint64_t piece = std::min<std::uint64_t>(size - text.size(), kPiece);
      const std::size_t old = text.size();
      text.resize(old + piece);
      copy(text.data() + old, piece);
    }
    return text;
  }

  void skip(std::uint64_t size) {
    const std::uint64_t in_buffer = std::min<std::uint64_t>(size, end_ - at_);
    at_ += in_buffer;
    size -= in_buffer;
    if (size > size_ - std::min(size_, offset_)) cut_short();
    offset_ += size;
  }

 private:
  static constexpr std::size_t kPiece = 256u << 10;

  [[noreturn]] static void fail(int error) {
    throw GgufError{fmt::format("cannot be read: {}",
                                std::error_code{error, std::generic_category()}.message())};
  }
  [[noreturn]] static void cut_short() { throw GgufError{"is cut short: its header has no end"}; }

  void copy(char* out, std::size_t size) {
    while (size > 0) {
      if (at_ == end_) fill();
      const std::size_t piece = std::min(size, end_ - at_);
      std::memcpy(out, buffer_.data() + at_, piece);
      at_ += piece;
      out += piece;
      size -= piece;
    }
  }

  void fill() {
    if (offset_ >= most_) {
      throw GgufError{fmt::format("has a header of more than {} bytes", most_)};
    }
    std::error_code ec;
    at_ = 0;
    end_ = read_fully(calls_, fd_, buffer_.data(),
                      std::min<std::uint64_t>(buffer_.size(), most_ - offset_), offset_, ec);
    if (ec) fail(ec.value());
    if (end_ == 0) cut_short();
    offset_ += end_;
  }

  const FileCalls& calls_;
  int fd_;
  std::uint64_t most_;
  std::uint64_t size_ = 0;  // of the file
  std::vector<char> buffer_;
  std::size_t at_ = 0, end_ = 0;  // in the buffer
  std::uint64_t offset_ = 0;      // in the file, where the buffer ends
};

class GgufReader {
 public:
  GgufReader(const FileCalls& calls, int fd, const GgufLimits& limits)
      : bytes_{calls, fd, limits.bytes}, limits_{limits} {}

  GgufHeader read() && {
    const std::uint64_t values = read_counts();
    for (std::uint64_t i = 0; i < values; ++i) read_value();
    for (std::uint64_t i = 0; i < header_.tensors; ++i) read_tensor();
    return std::move(header_);
  }

  GgufHeader read_head() && {
    const std::uint64_t values = read_counts();
    try {
      for (std::uint64_t i = 0; i < values; ++i) read_value();
    } catch (const GgufError&) {  // NOLINT(bugprone-empty-catch): the head ends here
    }
    return std::move(header_);
  }

 private:
  // Returns how many values there are.
  std::uint64_t read_counts() {
    read_magic();
    header_.tensors = take_length();
    const std::uint64_t values = take_length();
    if (values > limits_.values) too_many("values", limits_.values);
    if (header_.tensors > limits_.tensors) too_many("tensors", limits_.tensors);
    return values;
  }

  [[noreturn]] static void too_many(const char* what, std::uint64_t most) {
    throw GgufError{fmt::format("says that it has more than {} {}", most, what)};
  }

  void read_magic() {
    if (bytes_.take<std::array<char, 4>>() != std::array{'G', 'G', 'U', 'F'}) {
      throw GgufError{"is not a GGUF file"};
    }
    header_.version = bytes_.take<std::uint32_t>();
    if (header_.version < 1 || header_.version > 3) {
      throw GgufError{fmt::format("is GGUF of version {}, which is not known", header_.version)};
    }
  }

  // Counts and lengths have 32 bits in the first version.
  std::uint64_t take_length() {
    return header_.version == 1 ? bytes_.take<std::uint32_t>() : bytes_.take<std::uint64_t>();
  }

  std::string take_string() {
    const std::uint64_t size = take_length();
    if (size > limits_.string) {
      throw GgufError{fmt::format("has a text of more than {} bytes", limits_.string)};
    }
    kept_ += size;
    if (kept_ > limits_.strings) {
      throw GgufError{fmt::format("has texts of more than {} bytes", limits_.strings)};
    }
    return bytes_.take_string(size);
  }

  void skip_string() { bytes_.skip(take_length()); }

  void read_value() {
    std::string key = take_string();
    header_.values.insert_or_assign(std::move(key), take_value(bytes_.take<GgufType>()));
  }

  GgufValue take_value(GgufType type) {
    switch (type) {
      case GgufType::uint8:
        return std::uint64_t{bytes_.take<std::uint8_t>()};
      case GgufType::int8:
        return std::int64_t{bytes_.take<std::int8_t>()};
      case GgufType::uint16:
        return std::uint64_t{bytes_.take<std::uint16_t>()};
      case GgufType::int16:
        return std::int64_t{bytes_.take<std::int16_t>()};
      case GgufType::uint32:
        return std::uint64_t{bytes_.take<std::uint32_t>()};
      case GgufType::int32:
        return std::int64_t{bytes_.take<std::int32_t>()};
      case GgufType::float32:
        return double{bytes_.take<float>()};
      case GgufType::boolean:
        return bytes_.take<std::uint8_t>() != 0;
      case GgufType::string:
        return take_string();
      case GgufType::array:
        return take_array();
      case GgufType::uint64:
        return bytes_.take<std::uint64_t>();
      case GgufType::int64:
        return bytes_.take<std::int64_t>();
      case GgufType::float64:
        return bytes_.take<double>();
    }
    unknown(type);
  }

  GgufArray take_array() {
    const GgufType type = bytes_.take<GgufType>();
    const GgufArray array{take_length()};
    if (type == GgufType::string) {
      for (std::uint64_t i = 0; i < array.count; ++i) skip_string();
      return array;
    }
    const std::uint64_t size = size_of(type);
    if (size == 0) unknown(type);  // an array of arrays as well: nobody writes one
    if (array.count > limits_.bytes) too_many("elements of an array", limits_.bytes);
    bytes_.skip(array.count * size);
    return array;
  }

  [[noreturn]] static void unknown(GgufType type) {
    throw GgufError{
        fmt::format("has a value of a type that is not known, {}", static_cast<unsigned>(type))};
  }

  void read_tensor() {
    skip_string();
    const auto dimensions = bytes_.take<std::uint32_t>();
    if (dimensions > kMaxDimensions) too_many("dimensions of a tensor", kMaxDimensions);
    std::uint64_t elements = 1;
    for (std::uint32_t i = 0; i < dimensions; ++i) {
      elements = product(elements, take_length());
    }
    (void)bytes_.take<std::uint32_t>();  // its type
    (void)bytes_.take<std::uint64_t>();  // where it begins
    if (elements > kMost - header_.parameters) too_many("parameters", kMost);
    header_.parameters += elements;
  }

  static std::uint64_t product(std::uint64_t a, std::uint64_t b) {
    if (b != 0 && a > kMost / b) too_many("elements of a tensor", kMost);
    return a * b;
  }

  static constexpr std::uint32_t kMaxDimensions = 8;
  static constexpr std::uint64_t kMost = std::numeric_limits<std::int64_t>::max();

  GgufBytes bytes_;
  const GgufLimits& limits_;
  std::uint64_t kept_ = 0;  // bytes of strings
  GgufHeader header_;
};

}  // namespace

std::string GgufHeader::text(std::string_view key) const {
  const auto it = values.find(key);
  const auto* text = it == values.end() ? nullptr : std::get_if<std::string>(&it->second);
  return text ? *text : std::string{};
}

std::optional<std::uint64_t> GgufHeader::number(std::string_view key) const {
  const auto it = values.find(key);
  if (it == values.end()) return std::nullopt;
  if (const auto* number = std::get_if<std::uint64_t>(&it->second)) return *number;
  const auto* number = std::get_if<std::int64_t>(&it->second);
  if (!number || *number < 0) return std::nullopt;
  return static_cast<std::uint64_t>(*number);
}

GgufHeader read_gguf(const FileCalls& calls, int fd, const GgufLimits& limits) {
  return GgufReader{calls, fd, limits}.read();
}

GgufHeader read_gguf_head(const FileCalls& calls, int fd, std::uint64_t bytes) {
  const GgufLimits limits{.bytes = bytes, .string = bytes, .strings = bytes};
  return GgufReader{calls, fd, limits}.read_head();
}

}  // namespace ollamafs
