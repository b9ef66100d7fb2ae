#pragma once

#include <cstdint>
#include <initializer_list>
#include <string>
#include <string_view>
#include <vector>

namespace ollamafs::test {

// Writes the header of a GGUF file, as bytes.
class GgufBuilder {
 public:
  explicit GgufBuilder(std::uint32_t version = 3) : version_{version} {}

  GgufBuilder& text(std::string_view key, std::string_view value) {
    begin(key, 8);
    values_ += string(value);
    return *this;
  }
  GgufBuilder& number(std::string_view key, std::uint32_t value) {
    begin(key, 4);
    values_ += raw(value);
    return *this;
  }

  // Of any type: `bytes` is what the file has behind the type's number.
  GgufBuilder& value(std::string_view key, std::uint32_t type, std::string_view bytes) {
    begin(key, type);
    values_ += bytes;
    return *this;
  }

  GgufBuilder& tensor(std::string_view name, std::initializer_list<std::uint64_t> dimensions) {
    ++tensor_count_;
    tensors_ += string(name) + raw(static_cast<std::uint32_t>(dimensions.size()));
    for (const std::uint64_t size : dimensions) tensors_ += length(size);
    tensors_ += raw(std::uint32_t{0}) + raw(std::uint64_t{0});
    return *this;
  }

  [[nodiscard]] std::string bytes() const {
    return "GGUF" + raw(version_) + length(tensor_count_) + length(value_count_) + values_ +
           tensors_;
  }

  // A text as it is in the file; a count or a length likewise.
  [[nodiscard]] std::string string(std::string_view text) const {
    return length(text.size()) + std::string{text};
  }
  [[nodiscard]] std::string length(std::uint64_t value) const {
    return version_ == 1 ? raw(static_cast<std::uint32_t>(value)) : raw(value);
  }

  template <class T>
  [[nodiscard]] static std::string raw(T value) {
    return {reinterpret_cast<const char*>(&value), sizeof value};
  }

 private:
  void begin(std::string_view key, std::uint32_t type) {
    ++value_count_;
    values_ += string(key) + raw(type);
  }

  std::uint32_t version_;
  std::uint64_t value_count_ = 0, tensor_count_ = 0;
  std::string values_, tensors_;
};

}  // namespace ollamafs::test
