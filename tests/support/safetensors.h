#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace ollamafs::test {

// A safetensors file of this header and data.
inline std::string safetensors(std::string_view header, std::string_view data) {
  std::string file;
  for (std::uint64_t length = header.size(), i = 0; i < 8; ++i, length >>= 8) {
    file += static_cast<char>(length & 0xff);
  }
  return (file += header) += data;
}

// One of one tensor of bytes.
inline std::string one_tensor(std::string_view name, std::string_view data) {
  const std::string size = std::to_string(data.size());
  return safetensors("{\"" + std::string{name} + R"(":{"dtype":"U8","shape":[)" + size +
                         R"(],"data_offsets":[0,)" + size + "]}}",
                     data);
}

}  // namespace ollamafs::test
