#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace ollamafs::test {

// The fuzzer's bytes, taken from the front as numbers and choices. What is taken behind their end
// is zero.
class Input {
 public:
  Input(const std::uint8_t* data, std::size_t size) noexcept : data_{data}, left_{size} {}

  [[nodiscard]] bool empty() const noexcept { return left_ == 0; }

  std::uint8_t byte() noexcept {
    if (left_ == 0) return 0;
    --left_;
    return *data_++;
  }

  // `bytes` bytes, big-endian.
  std::uint64_t number(std::size_t bytes) noexcept {
    std::uint64_t value = 0;
    for (std::size_t i = 0; i < bytes; ++i) value = value << 8 | byte();
    return value;
  }

  // From 0 to `max`.
  std::uint64_t up_to(std::uint64_t max, std::size_t bytes) noexcept {
    return number(bytes) % (max + 1);
  }

 private:
  const std::uint8_t* data_;
  std::size_t left_;
};

}  // namespace ollamafs::test
